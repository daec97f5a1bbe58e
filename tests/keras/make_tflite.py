#!/usr/bin/env python3
"""Writes fixtures/tflite.zip: small TensorFlow Lite models with random weights, and what LiteRT computes from them.

    every.tflite    every operator that sepconv reads, as TensorFlow converts them from Keras
    every_f16.tflite    the same with weights in float16, which an operator makes wider
    every_weights8.tflite    the same with weights in int8, and real numbers between layers
    every_int8.tflite    the same in integers, but for its ends and what has no kernel of integers
    int8_LAYER.tflite    one operator of integers, from input to output
    unsupported.tflite    three operators that sepconv doesn't read
    int16.tflite    values of int16 around an operator that sepconv doesn't read
    described.tflite    a model of integers with metadata: how pixels become the input, names of classes
    NAME.x, NAME.y    little-endian float32: an input, and LiteRT's output
"""

import io
import os
import pathlib
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from tensorflow.lite.python import schema_py_generated as schema

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


def every():
    i = layers.Input((17, 14, 3), batch_size=1, name="picture")
    x = layers.Rescaling(1 / 3, offset=-0.25)(i)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu6")(x)
    a = layers.Conv2D(8, (1, 3), dilation_rate=2, padding="same", activation="elu")(x)
    b = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", use_bias=False)(x)
    b = layers.LeakyReLU(negative_slope=0.25)(b)
    b = layers.Conv2D(8, 3, groups=2, padding="same")(b)
    b = layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_normal")(b)
    x = layers.Add()([a, b])
    x = layers.Subtract()([x, a])
    x = layers.ReLU()(x)
    y = layers.ZeroPadding2D(((1, 0), (0, 2)))(x)
    y = layers.DepthwiseConv2D(3, strides=2)(y)
    y = layers.Activation("hard_silu")(y)
    z = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    z = layers.AveragePooling2D(2, strides=1, padding="same")(z)
    z = layers.Activation("silu")(z)
    z = layers.Resizing(4, 4)(z)
    x = layers.Concatenate()([y, z])
    x = layers.SeparableConv2D(10, 3, padding="same", activation="tanh")(x)
    x = layers.BatchNormalization(
        beta_initializer="random_normal", moving_mean_initializer="random_normal")(x)
    x = layers.Resizing(8, 8, interpolation="nearest")(x)
    features = layers.GlobalAveragePooling2D(keepdims=True)(x)
    features = layers.Conv2D(6, 1, activation="sigmoid")(features)
    features = layers.Reshape((6,))(features)
    x = layers.GlobalMaxPooling2D()(x)
    # More than the 1024 weights below which they stay real numbers.
    x = layers.Dense(120, activation="relu")(x)
    x = layers.Dense(6)(x)
    x = layers.Add()([x, features])
    x = layers.Dense(5, activation="softmax")(x)
    return keras.Model(i, x, name="every")


# One operator each, of integers.
SINGLE = {
    "conv": layers.Conv2D(9, 3, strides=2, padding="same", activation="relu6"),
    "grouped": layers.Conv2D(8, 3, groups=2, bias_initializer="random_normal"),
    "pointwise": layers.Conv2D(5, 1, bias_initializer="random_normal"),
    "depthwise": layers.DepthwiseConv2D(3, padding="same", bias_initializer="random_normal"),
    "multiplier": layers.DepthwiseConv2D((3, 2), depth_multiplier=2, strides=2, activation="relu"),
    "dense": keras.Sequential([layers.Flatten(), layers.Dense(7, bias_initializer="random_normal")]),
    "max_pool": layers.MaxPooling2D(3, strides=2, padding="same"),
    "average_pool": layers.AveragePooling2D(3, strides=2, padding="same"),
    "mean": layers.GlobalAveragePooling2D(),
    "add": lambda x: layers.Add()([x, layers.Conv2D(4, 1)(x)]),
    "concat": lambda x: layers.Concatenate()([x, layers.Conv2D(3, 1, activation="relu")(x)]),
    "pad": layers.ZeroPadding2D(((1, 2), (0, 3))),
    "hard_swish": layers.Activation("hard_silu"),
    "sigmoid": layers.Activation("sigmoid"),
    "tanh": layers.Activation("tanh"),
    "leaky_relu": layers.LeakyReLU(negative_slope=0.125),
    "softmax": keras.Sequential([layers.GlobalAveragePooling2D(), layers.Softmax()]),
    "resize": layers.Resizing(13, 9),
}


def single(layer):
    i = layers.Input((9, 8, 4), batch_size=1, name="picture")
    return keras.Model(i, layer(i), name="single")


def classes():
    """Pictures of three channels to five classes."""
    i = layers.Input((17, 14, 3), batch_size=1, name="picture")
    x = layers.SeparableConv2D(8, 3, strides=2, activation="relu")(i)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(i, layers.Softmax()(layers.Dense(5)(x)), name="classes")


def unsupported():
    i = layers.Input((6, 6, 4), batch_size=1, name="picture")
    x = layers.Multiply()([i, layers.Activation("tanh")(i)])
    x = ops.transpose(x, (0, 2, 1, 3))
    x = ops.cos(x)
    x = layers.Conv2D(2, 1)(x)
    return keras.Model(i, x, name="unsupported")


def int16(pictures):
    """Values of int16 and weights of int8."""
    i = layers.Input((9, 8, 4), batch_size=1, name="picture")
    x = layers.Conv2D(8, 3, activation="relu")(i)
    x = layers.Conv2D(5, 1)(ops.transpose(x, (0, 2, 1, 3)))
    sets = tf.lite.OpsSet
    target = tf.lite.TargetSpec(supported_ops=[
        sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, sets.TFLITE_BUILTINS])
    return converted(keras.Model(i, x, name="int16"), **calibrated(pictures), target_spec=target)


def table(builder, fields):
    """A table of {slot: (kind, value)}."""
    builder.StartObject(max(fields) + 1)
    for slot, (kind, value) in fields.items():
        if kind == "byte":
            builder.PrependUint8Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return builder.EndObject()


def vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def description(mean, std, files):
    """ModelMetadata: pixels are scaled so, and the output has these files of labels, by name and locale."""
    b = flatbuffers.Builder(1024)
    at = lambda offset: ("offset", offset)
    mean, std = (b.CreateNumpyVector(np.array(x, "<f4")) for x in (mean, std))
    options = table(b, {0: at(mean), 1: at(std)})
    unit = table(b, {0: ("byte", 1), 1: at(options)})
    input = table(b, {4: at(vector(b, [unit]))})
    found = []
    for name, locale in files:
        name, locale = b.CreateString(name), b.CreateString(locale)
        found.append(table(b, {0: at(name), 2: ("byte", 2), 3: at(locale)}))
    output = table(b, {6: at(vector(b, found))})
    inputs, outputs = vector(b, [input]), vector(b, [output])
    graph = table(b, {2: at(inputs), 3: at(outputs)})
    b.Finish(table(b, {3: at(vector(b, [graph]))}), b"M001")
    return bytes(b.Output())


def described(file, metadata, labels):
    """The model with metadata, and files of labels in a ZIP archive behind it."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file, 0))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data, entry.name, entry.buffer = list(metadata), "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    b = flatbuffers.Builder(1024)
    b.Finish(model.Pack(b), b"TFL3")
    whole = io.BytesIO(bytes(b.Output()))
    with zipfile.ZipFile(whole, "a") as archive:
        for name, lines in labels.items():
            archive.writestr(zipfile.ZipInfo(name), "".join(f"{line}\n" for line in lines))
    return whole.getvalue()


def converted(model, **options):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    for key, value in options.items():
        setattr(converter, key, value)
    return converter.convert()


def calibrated(pictures):
    """Options by which a model becomes one of integers, for pictures like these."""
    data = lambda: ([picture[None]] for picture in pictures)
    return {"optimizations": [tf.lite.Optimize.DEFAULT], "representative_dataset": data}


INT8_ENDS = {"inference_input_type": tf.int8, "inference_output_type": tf.int8}


def litert(file, x):
    """The output as real numbers, and the step between them, 0 if they are not of integers."""
    interpreter = tf.lite.Interpreter(model_content=file)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero = given["quantization"]
    if scale:
        x = np.clip(np.round(x / scale) + zero, -128, 127).astype("i1")
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    y = interpreter.get_tensor(wanted["index"])
    scale, zero = wanted["quantization"]
    return ((y.astype("f4") - zero) * np.float32(scale) if scale else y), scale


def main():
    keras.utils.set_random_seed(3)
    model = every()
    pictures = np.random.default_rng(3).uniform(-1, 1, (4, 17, 14, 3)).astype("<f4")
    optimized = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    files = {
        "every": converted(model),
        "every_f16": converted(
            model, **optimized, target_spec=tf.lite.TargetSpec(supported_types=[tf.float16])),
        "every_weights8": converted(model, **optimized),
        "every_int8": converted(model, **calibrated(pictures)),
    }
    others = np.random.default_rng(4).uniform(-1, 1, (4, 9, 8, 4)).astype("<f4")
    for name, layer in SINGLE.items():
        files[f"int8_{name}"] = converted(single(layer), **calibrated(others), **INT8_ENDS)
    files["described"] = converted(classes(), **calibrated(pictures), **INT8_ENDS)
    with zipfile.ZipFile(FIXTURES / "tflite.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        def write(name, data):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)

        plain = files.pop("described")
        for name, file in files.items():
            write(f"{name}.tflite", file)
            x = (others if name.startswith("int8_") else pictures)[:1]
            y, step = litert(file, x)
            write(f"{name}.x", x.tobytes())
            write(f"{name}.y", y.astype("<f4").tobytes())
            write(f"{name}.step", np.array([step], "<f4").tobytes())
        write("unsupported.tflite", converted(unsupported()))
        write("int16.tflite", int16(others))
        names = [f"class {i}" for i in range(5)]
        labels = {"labels.de.txt": [f"Klasse {i}" for i in range(5)], "labels.txt": names}
        about = description([100, 110, 120], [50, 60, 70], [("labels.de.txt", "de"), ("labels.txt", "")])
        write("described.tflite", described(plain, about, labels))


if __name__ == "__main__":
    main()
