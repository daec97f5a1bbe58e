#!/usr/bin/env python3
"""Builds whole networks and single layers in Keras and writes each in every runtime's format.

The weights are random (a fixed seed), with the batch norms moved off their initial values; those of
networks normalise the pictures that the networks are quantized by, as after training. For a network:
.keras (sepconv), .tflite (LiteRT), .onnx (all others), some pictures, of which the first is the input,
and Keras's logits; for those that are measured in 8-bit integers .int8.tflite, .int8.onnx and
.int8.xml (OpenVINO). For a single layer: .tflite, .onnx from NCHW to NCHW, and .nhwc.onnx, the same
between two transposes.

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

import quantize
import to_onnx
from layers import LAYERS
from networks import LATER, NETWORKS

SEED = 1
PICTURES = 8  # by which networks are quantized


def randomise(model, rng):
    """Statistics, scales and biases as training leaves them: away from 0 and 1."""
    for variable in model.variables:
        kind, shape = variable.name, tuple(variable.shape)
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.3, shape).astype("float32"))
        elif kind in ("beta", "moving_mean", "bias"):
            variable.assign(rng.uniform(-0.2, 0.2, shape).astype("float32"))


def draw(rng, size):
    """Pictures in [-1, 1] of different colours and contrasts: noise alone would be averaged away."""
    def some(low, high, *shape):
        return rng.uniform(low, high, (PICTURES, *shape, 3)).astype("float32")

    coarse = some(-0.6, 0.6, 1, 1) + some(0.1, 0.8, 1, 1) * some(-1, 1, 6, 6)
    smooth = tf.image.resize(coarse, (size, size)).numpy()
    return np.clip(smooth + some(-0.2, 0.2, size, size), -1, 1)


def normalise(model, pictures):
    """Gives the batch norms the statistics that these pictures have."""
    norms = [l for l in model.layers if isinstance(l, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0
    model(pictures, training=True)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def with_depthwise(model):
    """The same network with convolutions of one channel a group, as ConvNeXt has, as depthwise ones:
    TensorFlow's converter leaves them grouped, which takes XNNPACK twice the time."""
    def copied(layer):
        if isinstance(layer, keras.layers.Conv2D) and 1 < layer.groups == layer.filters:
            options = dict(strides=layer.strides, padding=layer.padding, use_bias=layer.use_bias)
            return keras.layers.DepthwiseConv2D(layer.kernel_size, name=layer.name, **options)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=copied)
    weights = zip(model.get_weights(), copy.weights, strict=True)
    # (7, 7, 1, channels) and (7, 7, channels, 1) are the same numbers in the same order.
    copy.set_weights([weight.reshape(of.shape) for weight, of in weights])
    return copy


def tflite(model):
    """A converter with the weights constant and the batch fixed at 1, so that all goes to XNNPACK."""
    shape = (1, *model.input_shape[1:])
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    frozen = convert_variables_to_constants_v2(concrete)
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)


def made(network):
    """The network without weights of training, from its first layer that is measured to the logits."""
    make = getattr(keras.applications, network.keras)
    options = {"input_shape": (network.size, network.size, 3), "weights": None}
    model = make(classifier_activation=None, **options)
    if network.first is None:
        return model
    rest = keras.Model(model.get_layer(network.first).input, model.output, name=model.name)
    # Its layers know of the first graph, too; those of a copy don't.
    return keras.models.model_from_json(rest.to_json())


def export_network(network, out):
    """A network in f32. The first of the pictures is the input."""
    model = made(network)
    rng = np.random.default_rng(SEED)
    randomise(model, rng)
    pictures = draw(rng, network.size)
    normalise(model, pictures)
    pictures = np.split(pictures, PICTURES)
    path = lambda suffix: out / f"{network.slug}.{suffix}"
    np.save(path("x.npy"), pictures[0])
    np.save(path("pictures.npy"), np.concatenate(pictures))
    np.save(path("keras.npy"), model.predict(pictures[0], verbose=0))
    model.save(path("keras"))
    to_onnx.save(model, path("onnx"))
    path("tflite").write_bytes(tflite(with_depthwise(model)).convert())
    if network not in NETWORKS:
        return
    quantize.litert(tflite(model), path("int8.tflite"), pictures)
    quantize.onnx_runtime(path("onnx"), path("int8.onnx"), pictures)
    quantize.openvino(path("onnx"), path("int8.xml"), pictures)


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
    (out / f"{layer.slug}.tflite").write_bytes(tflite(model).convert())
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
    for network in NETWORKS + LATER:
        export_network(network, args.out)
    for layer in LAYERS:
        export_layer(layer, args.out)


if __name__ == "__main__":
    main()
