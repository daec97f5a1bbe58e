"""Writes fixtures/cases.zip: small models as people save them, by Keras 3 (.keras and .h5) and Keras 2 (.h5), and
fixtures/cases.json: what each library's own `predict` gives for two arrays, and for a picture if they take pictures.

usage: make_cases.py [NAME ...]      NAMEs make these cases anew; the others stay as they are

Needs requirements.txt, tf_keras 2.21 and Pillow. Weights are multiples of 1/64, so that the archive stays small.
"""

import json
import os
import pathlib
import sys
import tempfile
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import h5py
import keras
import numpy as np
import PIL.Image
import tensorflow as tf
import tf_keras

import synthetic

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
FOLDER = pathlib.Path(tempfile.mkdtemp())
SIDE = 12
# What `classify` is given.
PICTURE = PIL.Image.fromarray(
    np.uint8(np.array(synthetic.uniform("picture", SIDE * SIDE * 3)).reshape(SIDE, SIDE, 3) * 127.5 + 127.5)
)


class Cases:
    """Each method makes a model of the library `k`; `pixels` names those that take 0 to 255, `compiled` those that
    Keras 3 computes only if XLA compiles them (TensorFlow itself has no dilated transposed convolution for CPUs)."""

    pixels = {"guide", "augmented", "preprocess_tf", "preprocess_torch"}
    compiled = {"transposed", "sequence_transposed"}

    def __init__(self, k):
        self.k, self.l = k, k.layers

    def names(self):
        public = [n for n in dir(self) if not n.startswith("_") and n not in ("k", "l", "names", "pixels", "compiled")]
        return sorted(public)

    def _input(self, *shape):
        return self.l.Input(shape or (SIDE, SIDE, 3))

    def _base(self, name="base", pooling=None, channels=3):
        """A relative of Xception: convolution, depthwise, separable, projection, sum."""
        l = self.l
        i = l.Input((SIDE, SIDE, channels))
        x = l.Conv2D(4, 3, strides=2, use_bias=False, name="stem")(i)
        x = l.BatchNormalization(name="stem_bn")(x)
        x = l.Activation("relu", name="stem_act")(x)
        r = l.Conv2D(6, 1, use_bias=False, name="projection")(x)
        r = l.BatchNormalization(name="projection_bn")(r)
        x = l.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
        x = l.SeparableConv2D(6, 3, padding="same", use_bias=False, name="separable")(x)
        x = l.BatchNormalization(name="separable_bn")(x)
        x = l.Add(name="sum")([x, r])
        if pooling:
            x = getattr(l, f"Global{pooling}Pooling2D")(name="pool")(x)
        return self.k.Model(i, x, name=name)

    def _model(self, i, x):
        return self.k.Model(i, x)

    def _head(self, i, *layers):
        """The base on a picture, pooled, then these."""
        x = self._base(pooling="Average")(i)
        for layer in layers:
            x = layer(x)
        return self._model(i, x)

    def _on_map(self, *layers):
        """These on a feature map, then pooled."""
        i = self._input()
        x = self._base()(i)
        for layer in layers:
            x = layer(x)
        return self._model(i, self.l.GlobalAveragePooling2D()(x))

    # Transfer learning as the official guide has it.

    def guide(self):
        l, i = self.l, self._input()
        x = self.k.Sequential([l.RandomFlip("horizontal"), l.RandomRotation(0.1)])(i)
        x = l.Rescaling(1 / 127.5, offset=-1)(x)
        base = self._base()
        base.trainable = False
        x = l.GlobalAveragePooling2D()(base(x, training=False))
        model = self._model(i, l.Dense(1)(l.Dropout(0.2)(x)))
        model.compile(loss=self.k.losses.BinaryCrossentropy(from_logits=True))
        return model

    def augmented(self):
        l, i = self.l, self._input()
        # Keras 2 would then make another picture at each call.
        training = {"training": True} if self.k is keras else {}
        x = l.RandomZoom(0.1)(l.RandomFlip()(i), **training)
        x = l.Rescaling([1 / 255, 1 / 200, 1 / 255], offset=[0.0, 0.5, -0.25])(l.RandomContrast(0.1)(x))
        x = l.GlobalAveragePooling2D()(self._base()(x))
        return self._model(i, l.Dense(4, activation="softmax")(x))

    def preprocess_tf(self):
        i = self._input()
        x = self._base(pooling="Max")(self.k.applications.xception.preprocess_input(i))
        return self._model(i, self.l.Dense(4, activation="softmax")(x))

    def preprocess_torch(self):
        i = self._input()
        x = self.k.applications.imagenet_utils.preprocess_input(i, mode="torch")
        return self._model(i, self.l.Dense(4, activation="softmax")(self._base(pooling="Average")(x)))

    def constants(self):
        i = self._input()
        x = 1.0 - i * np.float32(0.5) + np.array([1.0, -0.5, 0.25], "float32")
        x = (2.0 * x - 1.0) / np.float32(3)
        return self._model(i, self.l.GlobalAveragePooling2D()(self._base()(x)))

    def frozen_partly(self):
        """Legacy files list what is frozen last."""
        l, i = self.l, self._input()
        base = self._base()
        for layer in base.layers[:4]:
            layer.trainable = False
        x = l.GlobalAveragePooling2D()(base(i))
        return self._model(i, l.Dense(4, activation="softmax")(x))

    def logits_of_four(self):
        model = self._head(self._input(), self.l.Dense(4))
        model.compile(loss=self.k.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def logits_of_two_heads(self):
        l, i = self.l, self._input()
        x = self._base(pooling="Average")(i)
        model = self._model(i, [l.Dense(3, name="labels")(x), l.Dense(2, name="box")(x)])
        model.compile(loss={"labels": self.k.losses.BinaryCrossentropy(from_logits=True), "box": "mse"})
        return model

    def regression(self):
        model = self._head(self._input(), self.l.Dense(1))
        model.compile(loss="mse")
        return model

    # Names.

    def names_in_head(self):
        l, i = self.l, self._input()
        x = l.GlobalAveragePooling2D()(self._base()(i))
        return self._model(i, l.Dense(4, name="stem")(l.Dense(5, activation="relu", name="projection")(x)))

    def names_in_two_models(self):
        l, i = self.l, self._input()
        x = l.Concatenate()([self._base("one", "Average")(i), self._base("two", "Max")(i)])
        return self._model(i, l.Dense(4, activation="softmax")(x))

    # Heads.

    def dense_one_sigmoid(self):
        return self._head(self._input(), self.l.Dense(1, activation="sigmoid"))

    def many_sigmoids(self):
        return self._head(self._input(), self.l.Dense(5), self.l.Activation("sigmoid"))

    def softmax_then_nothing(self):
        l = self.l
        tail = [l.Reshape((1, 1, 4)), l.Flatten(), l.Dropout(0.1), l.Activation("linear"), l.Reshape((4,))]
        return self._head(self._input(), l.Dense(4, activation="softmax"), *tail)

    def softmax_of_a_map(self):
        """MobileNet's head of Keras 2.0."""
        l = self.l
        layers = [l.Reshape((1, 1, 6)), l.Dropout(0.1), l.Conv2D(4, 1), l.Activation("softmax"), l.Reshape((4,))]
        return self._head(self._input(), *layers)

    def softmax_layer(self):
        return self._head(self._input(), self.l.Dense(4), self.l.Softmax())

    def softmax_hidden(self):
        l, i = self.l, self._input()
        x = self._base(pooling="Average")(i)
        return self._model(i, l.Dense(4)(l.Add()([l.Dense(6, activation="softmax")(x), x])))

    def ensemble(self):
        l, i = self.l, self._input()
        member = lambda name: l.Dense(4, activation="softmax")(self._base(name, "Average")(i))
        return self._model(i, l.Average()([member("a"), member("b"), member("c")]))

    def difference(self):
        l, i = self.l, self._input()
        return self._model(i, l.Subtract()([self._base("a", "Average")(i), self._base("b", "Max")(i)]))

    def functions(self):
        l = self.l
        names = ["tanh", "hard_sigmoid", "softplus", "sigmoid"]
        return self._head(self._input(), *[l.Dense(7, activation=name) for name in names], l.Dense(3))

    def rectifiers(self):
        l = self.l
        relu = l.ReLU(max_value=1.5, negative_slope=0.25, threshold=0.125)
        leaky = l.LeakyReLU(0.125)
        return self._head(self._input(), l.Dense(9), relu, l.Dense(9), leaky, l.Dense(9), l.PReLU(), l.Dense(3))

    def norm_in_head(self):
        l = self.l
        return self._head(self._input(), l.Dense(5), l.BatchNormalization(), l.Activation("relu"), l.Dense(4))

    def concat_axis_1(self):
        l, i = self.l, self._input()
        x = self._base(pooling="Average")(i)
        return self._model(i, l.Dense(4)(l.Concatenate(axis=1)([l.Dense(3)(x), l.Dense(5, activation="relu")(x)])))

    def keep_dims(self):
        l, i = self.l, self._input()
        x = l.GlobalMaxPooling2D(keepdims=True)(self._base()(i))
        return self._model(i, l.Activation("relu")(l.Dense(5)(x)))

    def keep_no_dims(self):
        l, i = self.l, self._input()
        x = l.GlobalAveragePooling2D()(self._base()(i))
        return self._model(i, l.Activation("elu")(l.Dense(5)(x)))

    def identities(self):
        l = self.l
        layers = [l.GaussianNoise(0.1), l.GaussianDropout(0.1), l.AlphaDropout(0.1), l.ActivityRegularization(l2=1e-3)]
        return self._head(self._input(), *layers, l.Dense(4))

    # Feature maps.

    def dense_on_map(self):
        return self._on_map(self.l.Dense(5, activation="relu"), self.l.SpatialDropout2D(0.1))

    def flatten(self):
        l, i = self.l, self._input()
        x = l.Flatten()(self._base()(i))
        return self._model(i, l.Dense(4, activation="softmax")(x))

    def flatten_vector(self):
        return self._head(self._input(), self.l.Flatten(), self.l.Dense(4))

    def reshapes(self):
        l = self.l
        return self._on_map(l.Reshape((-1,)), l.Reshape((5, 6, 5)), l.Reshape((3, -1, 5)), l.Conv2D(3, 2))

    def pads(self):
        l = self.l
        tail = [l.ZeroPadding2D(1), l.AveragePooling2D(2), l.ZeroPadding2D(((1, 0), (0, 2))), l.Dense(3)]
        return self._on_map(l.ZeroPadding2D(2), l.Conv2D(4, 3, strides=2, padding="same"), *tail)

    def pads_and_pools(self):
        l = self.l
        layers = [l.ZeroPadding2D(1), l.MaxPooling2D(3, strides=1), l.ReLU(), l.ZeroPadding2D(1)]
        return self._on_map(*layers, l.MaxPooling2D(2), l.ZeroPadding2D(1), l.ZeroPadding2D(1), l.DepthwiseConv2D(3))

    def crops(self):
        return self._on_map(self.l.Cropping2D(((1, 0), (0, 2))), self.l.CenterCrop(2, 2))

    def center_crop_of_less(self):
        return self._on_map(self.l.CenterCrop(7, 4), self.l.Conv2D(3, 2))

    def resizes(self):
        l = self.l
        hows = [("bilinear", 7, 9), ("nearest", 10, 4), ("bicubic", 5, 6)]
        return self._on_map(*[l.Resizing(h, w, how) for how, h, w in hows], l.Conv2D(3, 2))

    def resize_with_crop(self):
        return self._on_map(self.l.Resizing(3, 6, crop_to_aspect_ratio=True), self.l.Conv2D(3, 2))

    def prelu_of_maps(self):
        l = self.l
        return self._on_map(l.PReLU(shared_axes=[1, 2]), l.Conv2D(4, 2), l.PReLU(), l.Conv2D(3, 2))

    def functions_of_maps(self):
        l = self.l
        return self._on_map(l.Conv2D(4, 2, activation="sigmoid"), l.Conv2D(4, 2, activation="tanh"), l.LeakyReLU(0.25))

    def gray_tripled(self):
        i = self._input(SIDE, SIDE, 1)
        x = self._base(pooling="Average")(self.l.Concatenate()([i, i, i]))
        return self._model(i, self.l.Dense(4, activation="softmax")(x))

    def norms_of_axes(self):
        norm = self.l.LayerNormalization
        return self._on_map(norm(axis=[1, 2, 3]), norm(axis=[1, 2], scale=False), norm(axis=1), norm(axis=[2, 3], center=False))

    def transposed(self):
        l = self.l
        dilation = (2, 3) if self.k is keras else 2
        return self._on_map(
            l.Conv2DTranspose(4, 3, strides=2, padding="same", output_padding=0),
            l.Conv2DTranspose(3, (4, 3), strides=(3, 2), padding="same", output_padding=(1, 0)),
            l.Conv2DTranspose(5, (2, 3), dilation_rate=dilation, activation="relu"),
            l.Conv2DTranspose(4, (3, 2), dilation_rate=2, padding="same"),
            l.Conv2DTranspose(3, 2, strides=2, output_padding=1),
        )

    # Sequences.

    def _on_sequence(self, *layers):
        """These on a sequence of 24 steps."""
        x = i = self._input(24, 5)
        for layer in layers:
            x = layer(x)
        return self._model(i, x)

    def sequence(self):
        l = self.l
        return self._on_sequence(
            l.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu"),
            l.BatchNormalization(),
            l.SeparableConv1D(8, 5, padding="same", depth_multiplier=2),
            l.DepthwiseConv1D(3, strides=2, use_bias=False),
            l.Conv1D(8, 2, groups=2, activation="elu"),
            l.ZeroPadding1D((2, 1)),
            l.Conv1D(4, 3, padding="causal" if self.k is tf_keras else "valid"),
            l.MaxPooling1D(3, strides=2),
            l.GlobalAveragePooling1D(),
            l.Dense(3, activation="softmax"),
        )

    def sequence_shapes(self):
        l = self.l
        return self._on_sequence(
            l.ZeroPadding1D((1, 2)),
            l.Cropping1D((0, 3)),
            l.AveragePooling1D(5, strides=3, padding="same"),
            l.UpSampling1D(2),
            l.SpatialDropout1D(0.1),
            l.LayerNormalization(axis=[1, 2]),
            l.PReLU(),
            l.Permute((2, 1)),
            l.PReLU(shared_axes=[1]),
            l.Reshape((10, -1)),
            l.LayerNormalization(axis=1),
            l.GlobalMaxPooling1D(keepdims=True),
        )

    def sequence_transposed(self):
        l = self.l
        dilation = 2 if self.k is keras else 1
        layers = [l.Conv1DTranspose(4, 3, strides=2, padding="same", output_padding=0)]
        layers.append(l.Conv1DTranspose(3, 3, dilation_rate=dilation))
        return self._on_sequence(*layers, l.Conv1DTranspose(6, 2, strides=3, padding="same", activation="tanh"))

    def steps(self):
        l = self.l
        layers = [l.Dense(12, activation="relu"), l.BatchNormalization(), l.LayerNormalization(), l.PReLU(), l.Flatten()]
        layers += [l.Reshape((4, 3)), l.Conv1D(6, 2, activation="relu"), l.ZeroPadding1D(1), l.AveragePooling1D(2, strides=1)]
        layers += [l.PReLU(), l.UpSampling1D(2), l.SeparableConv1D(4, 3), l.Permute((2, 1)), l.LayerNormalization(axis=[1, 2])]
        return self._on_sequence(*[l.TimeDistributed(layer) for layer in layers + [l.GlobalAveragePooling1D(), l.Dense(5)]])

    def film(self):
        l, i = self.l, self._input(3, SIDE, 10, 3)
        x = l.TimeDistributed(l.Conv2D(4, 3, padding="same", activation="relu"))(i)
        x = l.BatchNormalization()(x)
        x = l.Add()([x, l.TimeDistributed(l.SeparableConv2D(4, 3, padding="same"))(x)])
        x = l.Concatenate()([x, l.Activation("tanh")(x)])
        x = l.TimeDistributed(l.Conv2DTranspose(3, 2, strides=2))(l.TimeDistributed(l.MaxPooling2D())(x))
        maps = l.Dense(2)(x)
        x = l.Conv1D(5, 2)(l.TimeDistributed(l.GlobalAveragePooling2D())(maps))
        outputs = [l.Dense(3)(l.GlobalAveragePooling1D()(x)), maps]
        outputs.append(l.TimeDistributed(l.Dense(3))(l.TimeDistributed(l.Flatten())(maps)))
        return self._model(i, outputs)

    def film_of_models(self):
        l, i = self.l, self._input(3, SIDE, SIDE, 3)
        x = l.TimeDistributed(self._base(pooling="Average"), name="pictures")(i)
        v = l.Input((6,))
        vectors = self.k.Model(v, l.Dense(4)(l.Dense(5, activation="relu")(v)), name="vectors")
        return self._model(i, l.Conv1D(3, 2)(l.TimeDistributed(vectors)(x)))

    def steps_of_maps(self):
        l, i = self.l, self._input()
        x = self._base()(i)
        for layer in [l.Conv1D(5, 3), l.GlobalMaxPooling1D(keepdims=True), l.Flatten()]:
            x = l.TimeDistributed(layer)(x)
        return self._model(i, x)

    def dots(self):
        l, i = self.l, self._input()
        x = self._base(pooling="Average")(i)
        a, b = l.Dense(7)(x), l.Dense(7)(x)
        s, t = l.Reshape((5, 7))(l.Dense(35)(x)), l.Reshape((7, 4))(l.Dense(28)(x))
        s = l.Conv1D(7, 2)(s)
        outputs = [
            l.Dot(axes=1)([a, b]), l.Dot(axes=-1, normalize=True)([a, b]), l.Dot(axes=(2, 1), normalize=True)([s, t]),
            l.Dot(axes=(1, 2))([a, s]), l.Dot(axes=(-1, 1))([s, b]), l.Dot(axes=1)([s, s]), l.Dot(axes=2)([s, s]),
        ]
        return self._model(i, outputs)

    def repeated(self):
        l = self.l
        return self._head(self._input(), l.Dense(5), l.RepeatVector(6), l.Conv1D(4, 3), l.TimeDistributed(l.Dense(2)))

    # Calls, inputs, outputs.

    def layer_twice(self):
        i = self._input()
        twice = self.l.Conv2D(3, 3, padding="same", name="twice")
        behind = self.l.Dense(3, name="behind")
        return self._model(i, self.l.GlobalAveragePooling2D()(twice(behind(twice(i)))))

    def model_twice(self):
        l, i = self.l, self._input()
        base = self._base(pooling="Average")
        x = l.Concatenate()([base(i), base(l.ZeroPadding2D(1)(l.Cropping2D(1)(i)))])
        return self._model(i, l.Dense(4)(x))

    def model_of_two_inputs(self):
        l, i = self.l, self._input()
        a, b = l.Input((SIDE, SIDE, 3)), l.Input((6,))
        inner = self.k.Model([a, b], l.Add()([self._base(pooling="Average")(a), b]), name="inner")
        return self._model(i, inner([i, l.Dense(6)(l.GlobalMaxPooling2D()(i))]))

    def outputs(self):
        l, i = self.l, self._input()
        x = self._base(pooling="Average")(i)
        return self._model(i, [l.Dense(4, activation="softmax", name="kind")(x), l.Dense(1, name="age")(x)])

    def dictionaries(self):
        l, i = self.l, self.l.Input((SIDE, SIDE, 3), name="picture")
        x = self._base(pooling="Average")(i)
        outputs = {"kind": l.Dense(4, activation="softmax", name="a")(x), "age": l.Dense(1, name="b")(x)}
        return self.k.Model({"picture": i}, outputs)

    def lists_of_one(self):
        i = self._input()
        return self.k.Model([i], [self.l.Dense(4)(self._base(pooling="Average")(i))])

    def _policy(self, name):
        policies = self.k.mixed_precision
        policies.set_global_policy(name)
        model = self._head(self._input(), self.l.Dense(4), self.l.Activation("softmax", dtype="float32"))
        policies.set_global_policy("float32")
        return model

    def policy_mixed_float16(self):
        return self._policy("mixed_float16")

    def policy_mixed_bfloat16(self):
        return self._policy("mixed_bfloat16")

    def policy_float16(self):
        """Whose variables are stored in 16 bits, too."""
        return self._policy("float16")


def fill(model, name):
    """Numbers of the formula, rounded so that they take few bits; variances stay away from 0."""
    for number, variable in enumerate(model.weights):
        if not str(variable.dtype).split("'")[-2:][0].startswith("float"):
            continue
        shape = tuple(variable.shape)
        value = np.array(synthetic.uniform(f"{name}/{number}", int(np.prod(shape)))).reshape(shape)
        kind = variable.name.split("/")[-1].split(":")[0]
        if kind in ("gamma", "moving_variance"):
            value = 1 + 0.5 * value
        elif kind not in ("bias", "beta", "moving_mean", "alpha"):
            value = value * 1.5 / np.sqrt(max(1, np.prod(shape[:-1])))
        variable.assign(np.round(value * 64) / 64)


def predict(model, x, compiled):
    """The outputs by name, those of a dictionary in the order of their keys."""
    keys = getattr(model, "output", None)
    inputs = {"picture": x} if isinstance(model.input, dict) else x
    call = lambda inputs: model(inputs, training=False)
    values = tf.function(call, jit_compile=True)(inputs) if compiled else call(inputs)
    if isinstance(keys, dict):
        return [(key, np.asarray(values[key], np.float32)) for key in sorted(values)]
    values = values if isinstance(values, (list, tuple)) else [values]
    return [(name, np.asarray(value, np.float32)) for name, value in zip(model.output_names, values, strict=True)]


def renamed(source, target):
    """The arrays of the nested model under the names that TensorFlow 1 gave them in a second session."""
    with h5py.File(FOLDER / source) as old, h5py.File(FOLDER / target, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value
        old.copy("model_weights", new)
        group = new["model_weights/base"]
        names = []
        for number, name in enumerate(group.attrs["weight_names"]):
            name = name.decode() if isinstance(name, bytes) else name
            array = group[name][()]
            del group[name]
            other = f"layer_{number}_1/{name.split('/')[-1]}"
            group.create_dataset(other, data=array)
            names.append(other.encode())
        group.attrs["weight_names"] = names


def main():
    cases, names = [], sys.argv[1:]
    known = json.loads((FIXTURES / "cases.json").read_text()) if names else []
    for library, tag in [(keras, "keras3"), (tf_keras, "keras2")]:
        made = Cases(library)
        for name in made.names():
            if names and name not in names:
                cases += [case for case in known if case["name"] == name and case["files"][0].endswith(f"{tag}.h5")]
                continue
            library.backend.clear_session()
            model = getattr(made, name)()
            fill(model, name)
            shape = (2, *model.inputs[0].shape[1:])
            x = np.array(synthetic.uniform(f"input/{name}", int(np.prod(shape)))).astype(np.float32).reshape(shape)
            pixels, compiled = name in Cases.pixels, name in Cases.compiled and library is keras
            if pixels:
                x = np.round(x * 127.5 + 127.5).astype(np.float32)
            files = [f"{name}.{tag}.h5"]
            if tag == "keras3":
                files.append(f"{name}.keras")
            for file in files:
                model.save(FOLDER / file)
            if name == "frozen_partly":
                renamed(files[0], f"renamed.{tag}.h5")
                files.append(f"renamed.{tag}.h5")
            of_picture = []
            if len(shape) == 4:
                picture = np.asarray(PICTURE if shape[-1] == 3 else PICTURE.convert("L"), np.float32)
                picture = picture.reshape(1, *shape[1:])
                picture = picture if pixels else picture / np.float32(127.5) - 1
                of_picture = predict(model, picture, compiled)[0][1].ravel()
            outputs = [
                {"name": key, "shape": list(value.shape), "values": [float(str(v)) for v in value.ravel()]}
                for key, value in predict(model, x, compiled)
            ]
            # What Keras computes in 16 bits, and sepconv in 32.
            tolerance = {"policy_mixed_bfloat16": 2e-2}.get(name, 2e-3) if "policy" in name else 1e-5
            cases.append({"name": name, "files": files, "shape": list(shape), "pixels": pixels,
                          "tolerance": tolerance, "outputs": outputs,
                          "picture": [float(str(v)) for v in of_picture]})
    PICTURE.save(FOLDER / "picture.png")
    if names:
        with zipfile.ZipFile(FIXTURES / "cases.zip") as archive:
            for name in set(archive.namelist()) - {path.name for path in FOLDER.iterdir()}:
                (FOLDER / name).write_bytes(archive.read(name))
    with zipfile.ZipFile(FIXTURES / "cases.zip", "w") as archive:
        for path in sorted(FOLDER.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    lines = ",\n".join(json.dumps(case) for case in cases)
    (FIXTURES / "cases.json").write_text(f"[{lines}\n]\n")
    print(len(cases), "cases,", (FIXTURES / "cases.zip").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
