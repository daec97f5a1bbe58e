#!/usr/bin/env python3
"""Runs random networks of Keras Applications, and of segmentation, in Keras and in sepconv and compares every output.

usage: applications.py SEPCONV [--work DIR] [--light] [NAME ...]      (needs requirements.txt)

The 26 networks of `keras.applications` below, their statistics and scales moved off their initial values, are saved
as .keras and legacy .h5. `SEPCONV run` on a random batch of 2 must agree with Keras within 1e-4 of the largest
magnitude, and give the same top 5. The same holds for a DeepLabV3+ on Xception (dilated separable convolutions, ASPP
with image pooling, a bilinear decoder) and a U-Net of separable and transposed convolutions, but the top 5 of their
maps may differ. With --light the networks are small ones of the same layers, one of sequences, and one of transposed
convolutions, in less than a minute. NAMEs choose networks.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import applications, layers
from keras.src.applications.convnext import ConvNeXt

from compare import difference

TOLERANCE = 1e-4
BATCH = 2


def network(make, size, preprocesses=False, **options):
    """A network of Keras Applications for inputs of one size, and whether it takes pixels of 0 to 255."""
    options = {"weights": None, "input_shape": (size, size, 3), **options}
    if options.get("include_top", True):
        options["classifier_activation"] = None
    return partial(make, **options), preprocesses


def features(make, size, **options):
    return network(make, size, include_top=False, **options)


def separable(x, filters, name, rate=1, stride=1):
    x = layers.SeparableConv2D(
        filters, 3, strides=stride, dilation_rate=rate, padding="same", use_bias=False, name=name
    )(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def conv(x, filters, name, kernel=1):
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def deeplab(size, classes=21, width=64):
    """DeepLabV3+ (Chen et al., 2018) on Keras's Xception with an output stride of 16."""
    base = applications.Xception(weights=None, include_top=False, input_shape=(size, size, 3))
    config = json.loads(base.to_json())
    for layer in config["config"]["layers"]:
        name, of = layer["name"], layer["config"]
        if name == "block13_pool" or (layer["class_name"] == "Conv2D" and of["filters"] == 1024):
            of["strides"] = [1, 1]
        if name.startswith("block14_sepconv") and layer["class_name"] == "SeparableConv2D":
            of["dilation_rate"] = [2, 2]
    base = keras.models.model_from_json(json.dumps(config))
    low, x = base.get_layer("block3_sepconv1").input, base.output
    (low_size, high_size) = (low.shape[1:3], x.shape[1:3])
    branches = [conv(x, width, "aspp_1x1")]
    branches += [separable(x, width, f"aspp_rate{rate}", rate) for rate in (6, 12, 18)]
    pooled = conv(layers.GlobalAveragePooling2D(keepdims=True)(x), width, "aspp_pool")
    branches.append(layers.UpSampling2D(high_size, interpolation="bilinear")(pooled))
    x = conv(layers.Concatenate()(branches), width, "aspp")
    x = layers.UpSampling2D(4, interpolation="bilinear")(layers.Dropout(0.1)(x))
    x = layers.Resizing(*low_size)(x)
    x = layers.Concatenate()([x, conv(low, 48, "low")])
    x = separable(separable(x, width, "decoder1"), width, "decoder2")
    x = layers.UpSampling2D(4, interpolation="bilinear")(layers.Conv2D(classes, 1)(x))
    return keras.Model(base.input, layers.Resizing(size, size)(x), name="deeplab")


def unet(size, width=16, depth=3, classes=5):
    """A U-Net (Ronneberger, Fischer, Brox, 2015) of separable convolutions."""
    x = inputs = keras.Input((size, size, 3))
    skips = []
    for i in range(depth):
        x = separable(separable(x, width << i, f"down{i}a"), width << i, f"down{i}b")
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = separable(x, width << depth, "middle")
    for i in reversed(range(depth)):
        kernel = 2 + i % 2
        x = layers.Conv2DTranspose(width << i, kernel, strides=2, padding="same", name=f"up{i}")(x)
        x = layers.Concatenate()([x, skips[i]])
        x = separable(x, width << i, f"up{i}a")
    return keras.Model(inputs, layers.Conv2D(classes, 1)(x), name="unet")


def sequences(length=64, channels=3, width=8, classes=4):
    """A network of sequences: causal and separable convolutions, an up-sampling decoder, attention by dot products."""
    x = inputs = keras.Input((length, channels))
    for i, rate in enumerate((1, 2, 4)):
        y = layers.Conv1D(width, 3, padding="causal", dilation_rate=rate, activation="relu", name=f"causal{i}")(x)
        y = layers.SeparableConv1D(width, 5, padding="same", depth_multiplier=2, name=f"separable{i}")(y)
        y = layers.BatchNormalization(name=f"separable{i}_bn")(y)
        x = layers.Add()([y, layers.Conv1D(width, 1, name=f"skip{i}")(x)])
    skip = x
    x = layers.MaxPooling1D(2)(layers.DepthwiseConv1D(3, padding="same", name="depthwise")(x))
    x = layers.AveragePooling1D(3, strides=2, padding="same")(layers.SpatialDropout1D(0.1)(x))
    x = layers.LayerNormalization(axis=[1, 2], name="norm")(layers.PReLU(name="prelu")(x))
    x = layers.TimeDistributed(layers.Dense(2 * width, activation="gelu"), name="steps")(x)
    x = layers.TimeDistributed(layers.Reshape((width, 2)))(x)
    x = layers.TimeDistributed(layers.Conv1D(4, 3, padding="same", activation="relu"), name="rows")(x)
    x = layers.TimeDistributed(layers.BatchNormalization(), name="rows_bn")(x)
    x = layers.TimeDistributed(layers.Flatten())(x)
    x = layers.Conv1DTranspose(width, 3, strides=2, padding="same", output_padding=1, name="up")(x)
    x = layers.Cropping1D(1)(layers.ZeroPadding1D(1)(layers.UpSampling1D(2)(x)))
    scores = layers.Dot(axes=2, normalize=True)([x, skip])
    x = layers.Dot(axes=(2, 1))([layers.Softmax()(scores), skip])
    pooled = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(skip)])
    weight = layers.Dot(axes=1, normalize=True)([pooled, layers.Dense(2 * width, name="query")(pooled)])
    repeated = layers.RepeatVector(length)(layers.Multiply()([layers.Dense(width, name="value")(pooled), weight]))
    x = layers.Permute((2, 1))(layers.Concatenate()([x, repeated]))
    x = layers.Conv1DTranspose(classes, 3, dilation_rate=2, name="dilated")(layers.Permute((2, 1))(x))
    return keras.Model(inputs, x, name="sequences")


def decoder(size=24, width=6, classes=5):
    """Transposed convolutions with output padding and dilation, and normalization over several axes."""
    x = inputs = keras.Input((size, size, 3))
    x = layers.SeparableConv2D(width, 3, strides=3, padding="same", name="stem")(x)
    x = layers.LayerNormalization(axis=[1, 2, 3], name="norm")(x)
    x = layers.Conv2DTranspose(width, 3, strides=3, padding="same", output_padding=1, name="same")(x)
    x = layers.LayerNormalization(axis=[1, 2], center=False, name="norm_of_maps")(layers.PReLU(name="prelu")(x))
    x = layers.Conv2DTranspose(width, (4, 5), strides=(3, 2), padding="same", output_padding=(1, 1), name="uneven")(x)
    x = layers.Conv2DTranspose(width, (3, 2), dilation_rate=(2, 3), activation="relu", name="dilated")(x)
    x = layers.Conv2DTranspose(width, 2, dilation_rate=3, padding="same", name="dilated_same")(x)
    x = layers.Conv2DTranspose(classes, 2, strides=2, output_padding=1, name="valid")(x)
    return keras.Model(inputs, layers.Resizing(size, size)(x), name="decoder")


A = applications
NETWORKS = {
    "xception": network(A.Xception, 299),
    "xception-no-top": features(A.Xception, 299),
    "xception-avg": features(A.Xception, 299, pooling="avg"),
    "xception-max": features(A.Xception, 299, pooling="max"),
    "xception-avg-150": features(A.Xception, 150, pooling="avg"),
    "mobilenet-0.5": network(A.MobileNet, 224, alpha=0.5),
    "mobilenet-0.75": network(A.MobileNet, 224, alpha=0.75),
    "mobilenet": network(A.MobileNet, 224),
    "mobilenet-no-top": features(A.MobileNet, 224),
    "mobilenet-avg": features(A.MobileNet, 224, pooling="avg"),
    "mobilenet-v2": network(A.MobileNetV2, 224),
    "mobilenet-v2-avg": features(A.MobileNetV2, 224, pooling="avg"),
    "mobilenet-v3-small": network(A.MobileNetV3Small, 224, True),
    "mobilenet-v3-large": network(A.MobileNetV3Large, 224, True),
    "mobilenet-v3-minimalistic": network(
        A.MobileNetV3Small, 224, minimalistic=True, include_preprocessing=False
    ),
    "efficientnet-b0": network(A.EfficientNetB0, 224, True),
    "efficientnet-v2-b0": network(A.EfficientNetV2B0, 224, True),
    "inception-v3": network(A.InceptionV3, 299),
    "inception-resnet-v2": network(A.InceptionResNetV2, 299),
    "resnet50": network(A.ResNet50, 224),
    "resnet50-v2": network(A.ResNet50V2, 224),
    "densenet121": network(A.DenseNet121, 224),
    "nasnet-mobile": network(A.NASNetMobile, 224),
    "convnext-tiny": network(A.ConvNeXtTiny, 224, True),
    "vgg16": network(A.VGG16, 224),
    "vgg16-avg": features(A.VGG16, 224, pooling="avg"),
}
MAPS = {
    "deeplab": (partial(deeplab, 256), False),
    "unet": (partial(unet, 128), False),
}
LIGHT = {
    "mobilenet-v2": network(A.MobileNetV2, 96, alpha=0.35),
    "mobilenet-v3-small": network(A.MobileNetV3Small, 96, True, alpha=0.75),
    "mobilenet-v3-minimalistic": network(
        A.MobileNetV3Small, 64, minimalistic=True, include_preprocessing=False
    ),
    "efficientnet-b0": network(A.EfficientNetB0, 64, True),
    "convnext": network(
        partial(ConvNeXt, depths=[1, 1, 2, 1], projection_dims=[16, 32, 64, 96]),
        64, True, default_size=64, name="convnext",
    ),
    "unet": (partial(unet, 48, width=8), False),
    "sequences": (sequences, False),
    "decoder": (decoder, False),
}


def randomise(model, rng):
    """Statistics and scales as training leaves them: away from 0 and 1."""
    ranges = {
        "gamma": (0.7, 1.3),
        "moving_variance": (0.7, 1.3),
        "variance": (0.7, 1.3),
        "beta": (-0.2, 0.2),
        "bias": (-0.2, 0.2),
        "moving_mean": (-0.2, 0.2),
        "mean": (-0.2, 0.2),
    }
    for layer in model.layers:
        for variable in layer.variables:
            kind = "gamma" if type(layer).__name__ == "LayerScale" else variable.name
            if kind in ranges:
                variable.assign(rng.uniform(*ranges[kind], tuple(variable.shape)).astype("float32"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path("target/applications"))
    parser.add_argument("--light", action="store_true", help="small networks of the same layers")
    args = parser.parse_intermixed_args()
    args.work.mkdir(parents=True, exist_ok=True)
    networks = LIGHT if args.light else {**NETWORKS, **MAPS}
    for name in args.names:
        if name not in networks:
            parser.error(f"NAME: expected one of {', '.join(networks)}, got {name}")

    passed, failed = 0, []
    for name, (make, preprocesses) in networks.items():
        if args.names and name not in args.names:
            continue
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        rng = np.random.default_rng(7)
        model = make()
        randomise(model, rng)
        lo, hi = (0, 255) if preprocesses else (-1, 1)
        x = rng.uniform(lo, hi, (BATCH, *model.input_shape[1:])).astype("float32")
        np.save(args.work / "x.npy", x)
        expected = model.predict(x, batch_size=BATCH, verbose=0)
        for suffix in ("keras", "h5"):
            file, y = args.work / f"{name}.{suffix}", args.work / "y.npy"
            model.save(file)
            command = [args.sepconv, "run", "--weights", file, "--input", args.work / "x.npy", "--output", y]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode != 0:
                what, good = run.stderr.strip()[:300], False
            else:
                got = np.load(y)
                error = difference(got, expected)
                top5 = (np.argsort(-got)[..., :5] == np.argsort(-expected)[..., :5]).all()
                # In maps of many pixels or steps some have two classes as likely as each other.
                good = error <= TOLERANCE and (top5 or expected.ndim > 2)
                same = "same" if top5 else "other"
                what = f"max|delta|/max|ref| {error:.2e} of {np.abs(expected).max():.3g}, {same} top 5"
            print(f"{file.name:32} {what}", flush=True)
            passed += good
            failed += [] if good else [file.name]
            file.unlink()
    print(f"applications: {passed} passed, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
