"""Writes fixtures/models.zip: small Keras models in every file format that sepconv reads, filled by synthetic.py.

    every.*     a Functional model with each supported kind of layer
    nested.*    a Sequential model with a frozen Functional and a Sequential model inside
    shared.keras, two_outputs.keras    models that must be refused
    deep_type.h5    an attribute whose datatype nests 7000 levels deep

and golden.json: samples of what each layer of the two models computes. The weights need no goldens: they are
the formula's.
"""

import json
import os
import pathlib
import tempfile
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import h5py
import keras
import numpy as np
from keras import layers

import synthetic

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
FOLDER = pathlib.Path(tempfile.mkdtemp())
SAMPLES = 16


def every():
    """Every kind of layer, on 13 x 11 pictures."""
    i = layers.Input((13, 11, 3), name="input")
    a = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="conv")(i)
    b = layers.Conv2D(8, 3, groups=2, padding="same", use_bias=False, name="conv_groups")(a)
    b = layers.BatchNormalization(scale=False, name="norm_center")(b)
    b = layers.Activation("silu", name="act_silu")(b)
    c = layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="elu", name="conv_dilated")(a)
    c = layers.BatchNormalization(center=False, epsilon=0.01, name="norm_scale")(c)
    x = layers.Add(name="add")([a, b, c])
    x = layers.ZeroPadding2D(((0, 1), (2, 1)), name="pad")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="depthwise")(x)
    x = layers.ReLU(6.0, name="relu6")(x)
    d = layers.DepthwiseConv2D((3, 1), padding="same", name="depthwise_bias")(x)
    d = layers.ELU(0.5, name="elu")(d)
    e = layers.SeparableConv2D(
        12, (1, 3), padding="same", depth_multiplier=2, activation="relu6", name="separable"
    )(x)
    e = layers.SpatialDropout2D(0.1, name="spatial_dropout")(e)
    x = layers.Concatenate(name="concat")([d, e])
    x = layers.MaxPooling2D(3, strides=1, padding="same", name="max_pool")(x)
    x = layers.AveragePooling2D(2, strides=1, padding="same", name="average_pool")(x)
    x = layers.SeparableConv2D(16, 3, padding="same", use_bias=False, name="separable_plain")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Activation("hard_silu", name="act_hard_silu")(x)
    x = layers.Conv2D(16, 1, name="pointwise")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.ZeroPadding2D(1, name="pool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool_valid")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(8, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Dense(5, activation="softmax", name="classes")(x)
    return keras.Model(i, x, name="every")


def nested():
    """A transfer-learning model: a frozen base whose layer `mix` is called like one outside."""
    i = layers.Input((9, 8, 3), name="base_input")
    x = layers.Conv2D(6, 3, use_bias=False, name="mix")(i)
    x = layers.BatchNormalization(name="base_norm")(x)
    y = layers.SeparableConv2D(6, 3, padding="same", name="base_separable")(x)
    x = layers.add([x, y], name="base_add")
    base = keras.Model(i, x, name="base")
    base.trainable = False
    tail = keras.Sequential(
        [layers.Dense(7, activation="relu", name="tail_hidden"), layers.Dense(4), layers.Softmax()], name="tail"
    )
    return keras.Sequential(
        [
            layers.Input((9, 8, 3)),
            layers.Conv2D(3, 1, name="mix"),
            base,
            layers.GlobalAveragePooling2D(keepdims=False, name="pool"),
            tail,
        ],
        name="nested",
    )


def save(model, name):
    synthetic.fill(model)
    model.save(FOLDER / f"{name}.keras")
    model.save_weights(FOLDER / f"{name}.weights.h5")
    model.save(FOLDER / f"{name}.h5")


def keras2_config(node):
    """A configuration as Keras 2 wrote it: lists for tensors, batch_input_shape, axis as a list."""
    if isinstance(node, list):
        return [keras2_config(n) for n in node]
    if not isinstance(node, dict):
        return node
    node = {k: keras2_config(v) for k, v in node.items() if k not in ("module", "registered_name", "build_config")}
    if "batch_shape" in node:
        node["batch_input_shape"] = node.pop("batch_shape")
    if "axis" in node:
        node["axis"] = [3]
    if isinstance(node.get("dtype"), dict):
        node["dtype"] = "float32"
    if "inbound_nodes" in node:
        calls = []
        for call in node["inbound_nodes"]:
            tensors = call["args"][0]
            tensors = tensors if isinstance(tensors, list) else [tensors]
            calls.append([[*t["config"]["keras_history"], {}] for t in tensors])
        node["inbound_nodes"] = calls
    ends = [k for k in ("input_layers", "output_layers") if k in node]
    for key in ends:
        node[key] = node[key] if isinstance(node[key][0], list) else [node[key]]
    return node


def write_keras2(model, name, dtype="f4", **storage):
    """A full-model file in Keras 2's dialect: fixed-width byte strings, names ending in :0, attributes in
    chunks."""

    def attribute(group, key, values, chunks=1):
        if chunks == 1:
            group.attrs[key] = np.array([v.encode() for v in values])
            return
        for i, part in enumerate(np.array_split([v.encode() for v in values], chunks)):
            group.attrs[f"{key}{i}"] = part

    with h5py.File(FOLDER / name, "w") as file:
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["backend"] = b"tensorflow"
        config = {"class_name": "Functional", "config": keras2_config(json.loads(model.to_json())["config"])}
        file.attrs["model_config"] = json.dumps(config).encode()
        root = file.create_group("model_weights")
        attribute(root, "layer_names", [layer.name for layer in model.layers], 3)
        for layer in model.layers:
            group = root.create_group(layer.name)
            names = [f"{layer.name}/{synthetic.variable_name(layer, v)}:0" for v in layer.weights]
            if names:
                attribute(group, "weight_names", names)
            else:
                group.attrs["weight_names"] = []
            for path, variable in zip(names, layer.weights, strict=True):
                group.create_dataset(path, data=variable.numpy().astype(dtype), **storage)


def write_weights_only(source, target, **kwargs):
    """The weights of a full-model file alone, as Keras 2's save_weights wrote them."""
    with h5py.File(FOLDER / source) as full, h5py.File(FOLDER / target, "w", **kwargs) as file:
        weights = full["model_weights"]
        for key, value in weights.attrs.items():
            file.attrs[key] = value
        for key in weights:
            weights.copy(key, file)


def deflated(source, target):
    """The same .keras file with compressed entries, as a zip tool would repack it."""
    with zipfile.ZipFile(FOLDER / source) as old, zipfile.ZipFile(FOLDER / target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))


def deep_type(target):
    """An attribute of 60,000 bytes, then its header changed: the datatype now reaches over the value, which
    reads as variable-length sequences of variable-length sequences of ..."""
    name = b"padding"
    with h5py.File(FOLDER / target, "w") as file:
        file.create_group("layers")
        file.attrs[name.decode()] = np.bytes_(b"Q" * 60000)
    data = bytearray((FOLDER / target).read_bytes())
    at = data.index(name + b"\0")
    levels = 7000
    data[at - 4 : at - 2] = (8 * levels).to_bytes(2, "little")
    data[at + 8 : at + 8 + 8 * levels] = bytes.fromhex("1900000010000000") * levels
    (FOLDER / target).write_bytes(data)


def flatten(model, picture):
    """The outputs of all layers by name, nested ones included; softmaxes replaced by their logits."""
    values = {}
    taken = set()

    def run(model, prefix, x):
        tensors = {}
        last = x
        for layer in model.layers:
            if isinstance(layer, layers.InputLayer):
                tensors[layer.name] = x
                continue
            if isinstance(model, keras.Sequential):
                operand = last
            else:
                history = [t._keras_history.operation.name for t in layer._inbound_nodes[0].input_tensors]
                operand = [tensors[n] for n in history]
                operand = operand if len(operand) > 1 else operand[0]
            if hasattr(layer, "layers"):
                last = run(layer, f"{prefix}{layer.name}/", operand)
            else:
                name = prefix + layer.name if layer.name in taken else layer.name
                taken.add(name)
                if getattr(layer, "activation", None) is keras.activations.softmax:
                    layer.activation = keras.activations.linear
                    name += "/logits"
                last = layer(operand, training=False) if not isinstance(layer, layers.Add) else layer(operand)
                values[name] = np.asarray(last)
            tensors[layer.name] = last
        return last

    run(model, "", picture)
    return values


def number(value):
    return float(str(np.float32(value)))


def golden(model, name):
    """Samples of all layers on the picture called input/<name>."""
    shape = model.input_shape[1:]
    picture = synthetic.uniform(f"input/{name}", int(np.prod(shape))).astype(np.float32).reshape(1, *shape)
    whole = np.asarray(model(picture, training=False))[0]
    nodes = []
    for node, value in flatten(model, picture).items():
        positions = synthetic.indices(f"golden/{name}/{node}", SAMPLES, value.size)
        nodes.append(
            {
                "node": node,
                "shape": list(value.shape),
                "max_abs": number(np.abs(value).max()),
                "indices": positions,
                "samples": [number(value.flat[i]) for i in positions],
            }
        )
    return {"model": name, "shape": list(picture.shape), "probabilities": [number(v) for v in whole], "nodes": nodes}


def main():
    FIXTURES.mkdir(exist_ok=True)
    model = every()
    save(model, "every")
    write_keras2(model, "every_keras2.h5")
    write_keras2(model, "every_f16.h5", dtype="<f2")
    write_keras2(model, "every_packed.h5", dtype=">f8", chunks=True, compression="gzip", shuffle=True)
    write_weights_only("every_keras2.h5", "every_weights_only.h5")
    write_weights_only("every_keras2.h5", "every_latest.h5", libver="latest")
    deep_type("deep_type.h5")
    deflated("every.keras", "every_deflated.keras")
    other = nested()
    save(other, "nested")

    keras.utils.set_random_seed(1)
    i = layers.Input((4, 4, 2), name="input")
    conv = layers.Conv2D(2, 1, name="twice")
    keras.Model(i, conv(conv(i))).save(FOLDER / "shared.keras")
    keras.Model(i, [conv(i), layers.ReLU()(i)]).save(FOLDER / "two_outputs.keras")

    # HDF5 leaves much room empty: packed, the files are a fifth of their size.
    with zipfile.ZipFile(FIXTURES / "models.zip", "w") as archive:
        for path in sorted(FOLDER.iterdir()):
            entry = zipfile.ZipInfo(path.name)
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)

    goldens = [golden(model, "every"), golden(other, "nested")]
    lines = []
    for g in goldens:
        nodes = ",\n".join(json.dumps(n) for n in g.pop("nodes"))
        lines.append("{" + json.dumps(g)[1:-1] + ',\n"nodes": [\n' + nodes + "\n]}")
    (FIXTURES / "golden.json").write_text("[" + ",\n".join(lines) + "]\n")


if __name__ == "__main__":
    main()
