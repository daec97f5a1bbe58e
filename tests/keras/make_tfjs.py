#!/usr/bin/env python3
"""Writes fixtures/tfjs.zip: a small Keras 2 model with random weights in the envelopes of TensorFlow.js.

    float32/model.json    with its weights in two files
    uint8/, uint16/, float16/    the same, quantized
    module/model.min.js, group1-shard1of1.min.js    the same in uint8 as a bundler writes it, weights in base64
    memory.json    the same in uint8 in one file, weights in base64
    graph/model.json    what is no layers model
    x, y_TYPE    little-endian float32: an input, and Keras's output for weights of the type

The format is that of `tensorflowjs_converter`, whose package is large; it is written here from its documentation.
"""

import base64
import json
import os
import pathlib
import re
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tf_keras as keras
from tf_keras import layers

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


def model():
    i = layers.Input((12, 10, 3), name="picture")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="Conv1")(i)
    x = layers.BatchNormalization(name="bn_Conv1")(x)
    x = layers.ReLU(6.0, name="Conv1_relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    y = layers.BatchNormalization(name="depthwise_BN")(y)
    y = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="separable")(y)
    x = layers.Add(name="add")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    # As many as a minifier writes as 1e3.
    x = layers.Dense(1000, activation="hard_sigmoid", name="hidden")(x)
    x = layers.Dense(4, activation="softmax", name="classes")(x)
    return keras.Model(i, x, name="small")


def quantized(array, kind):
    """An array as it is stored, its numbers, and what the manifest says of it."""
    if kind == "float32":
        return array, array, None
    if kind == "float16":
        half = array.astype("<f2")
        return half, half.astype("<f4"), {"dtype": kind, "original_dtype": "float32"}
    steps = np.iinfo(kind).max
    low, high = min(0.0, float(array.min())), max(0.0, float(array.max()))
    scale = (high - low) / steps or 1.0
    # 0 stays 0.
    low = -round(-low / scale) * scale
    stored = np.clip(np.round((array - low) / scale), 0, steps).astype(np.dtype(kind).newbyteorder("<"))
    numbers = (stored.astype("f8") * scale + low).astype("<f4")
    return stored, numbers, {"dtype": kind, "min": low, "scale": scale, "original_dtype": "float32"}


def specs(net, kind):
    """The list of weights and their bytes. Puts the stored numbers into the model."""
    listed, data = [], b""
    for variable in net.weights:
        stored, numbers, quantization = quantized(variable.numpy().astype("<f4"), kind)
        variable.assign(numbers)
        spec = {"name": variable.name.split(":")[0], "shape": list(variable.shape), "dtype": "float32"}
        if quantization:
            spec["quantization"] = quantization
        listed.append(spec)
        data += stored.tobytes()
    return listed, data


def literal(value):
    """A JavaScript literal as a minifier writes it."""
    match value:
        case dict():
            keys = (k if re.fullmatch(r"\w+", k) else json.dumps(k) for k in value)
            return "{" + ",".join(f"{k}:{literal(v)}" for k, v in zip(keys, value.values())) + "}"
        case list():
            return "[" + ",".join(map(literal, value)) + "]"
        case bool():
            return "!0" if value else "!1"
        case int() if value and value % 1000 == 0:
            return f"{value // 1000}e3"
        case float():
            return repr(value).replace("0.", ".", 1) if abs(value) < 1 else repr(value)
        case _:
            return json.dumps(value)


def module(content):
    return ("!function(e){if(\"object\"==typeof exports)module.exports=e();else{window.model=e()}}(function(){"
            f"return{{1:[function(e,t,a){{t.exports={content}}},{{}}]}}}});").encode()


def main():
    keras.utils.set_random_seed(5)
    rng = np.random.default_rng(5)
    net = model()
    for variable in net.weights:
        base = 1.0 if "gamma" in variable.name or "variance" in variable.name else 0.0
        variable.assign(base + rng.uniform(-0.3, 0.3, variable.shape))
    original = net.get_weights()
    x = rng.uniform(-1, 1, (1, 12, 10, 3)).astype("<f4")
    topology = {"keras_version": keras.__version__, "backend": "tensorflow",
                "model_config": json.loads(net.to_json())}
    head = {"format": "layers-model", "generatedBy": "keras", "convertedBy": None, "modelTopology": topology}
    with zipfile.ZipFile(FIXTURES / "tfjs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        def write(name, data):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)

        write("x", x.tobytes())
        for kind in ("float32", "uint8", "uint16", "float16"):
            net.set_weights(original)
            listed, data = specs(net, kind)
            write(f"y_{kind}", net.predict(x, verbose=0).astype("<f4").tobytes())
            half = len(data) // 2
            paths = ["group1-shard1of2.bin", "group1-shard2of2.bin"]
            manifest = {**head, "weightsManifest": [{"paths": paths, "weights": listed}]}
            write(f"{kind}/model.json", json.dumps(manifest))
            for path, part in zip(paths, (data[:half], data[half:])):
                write(f"{kind}/{path}", part)
            if kind == "uint8":
                text = base64.b64encode(data).decode()
                manifest["weightsManifest"][0]["paths"] = ["group1-shard1of1"]
                write("module/model.min.js", module(literal(manifest)))
                write("module/group1-shard1of1.min.js", module(json.dumps(text)))
                write("memory.json", json.dumps({**head, "weightSpecs": listed, "weightData": text}))
        graph = {"format": "graph-model", "modelTopology": {"node": [], "library": {}}, "weightsManifest": []}
        write("graph/model.json", json.dumps(graph))


if __name__ == "__main__":
    main()
