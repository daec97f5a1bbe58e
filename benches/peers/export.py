#!/usr/bin/env python3
"""Builds Xception and the single layers in Keras and writes each in every runtime's format.

The weights are random (a fixed seed), with the batch norms moved off their initial values. For
Xception: .keras (sepconv), .tflite (LiteRT), .onnx (all others), the input and Keras's logits. For a
single layer: .tflite, .onnx from NCHW to NCHW, and .nhwc.onnx, the same between two transposes.

TensorFlow is used here and in no measurement.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import to_onnx
from layers import LAYERS

SEED = 1
SIZE = 299


def randomise(model, rng):
    """Statistics, scales and biases as training leaves them: away from 0 and 1."""
    for variable in model.variables:
        kind, shape = variable.name, tuple(variable.shape)
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.3, shape).astype("float32"))
        elif kind in ("beta", "moving_mean", "bias"):
            variable.assign(rng.uniform(-0.2, 0.2, shape).astype("float32"))


def write_tflite(model, path):
    """As f32, the weights constant and the batch fixed at 1, so that all of it goes to XNNPACK."""
    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    frozen = convert_variables_to_constants_v2(concrete)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)
    path.write_bytes(converter.convert())


def export_xception(out):
    """Xception with 1000 classes, to logits."""
    model = keras.applications.Xception(weights=None, classifier_activation=None)
    rng = np.random.default_rng(SEED)
    randomise(model, rng)
    x = rng.uniform(-1, 1, (1, SIZE, SIZE, 3)).astype("float32")
    np.save(out / "x.npy", x)
    np.save(out / "keras.npy", model.predict(x, verbose=0))
    model.save(out / "xception.keras")
    write_tflite(model, out / "xception.tflite")
    to_onnx.save(model, out / "xception.onnx")


def export_layer(layer, out):
    """One layer with a bias and without activation."""
    keras.utils.set_random_seed(SEED)
    inputs = keras.Input((layer.size, layer.size, layer.channels))
    options = dict(strides=layer.stride, padding="same")
    if layer.kind == "dw":
        made = keras.layers.DepthwiseConv2D(layer.kernel, **options)
    elif layer.kind == "pw":
        made = keras.layers.Conv2D(layer.out, 1, **options)
    else:
        made = keras.layers.SeparableConv2D(layer.out, layer.kernel, **options)
    model = keras.Model(inputs, made(inputs))
    randomise(model, np.random.default_rng(SEED))
    write_tflite(model, out / f"{layer.slug}.tflite")
    to_onnx.save(model, out / f"{layer.slug}.onnx")
    to_onnx.save(model, out / f"{layer.slug}.nhwc.onnx", nhwc=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write to")
    args = parser.parse_args()
    keras.utils.set_random_seed(SEED)
    args.out.mkdir(parents=True, exist_ok=True)
    export_xception(args.out)
    for layer in LAYERS:
        export_layer(layer, args.out)
    (args.out / "complete").touch()


if __name__ == "__main__":
    main()
