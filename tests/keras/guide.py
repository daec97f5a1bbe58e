#!/usr/bin/env python3
"""The official transfer-learning guide's model, and `preprocess_input` inside a model, by Keras 2 and 3.

usage: guide.py SEPCONV [--work DIR]      (needs requirements.txt)

Both are built as Keras's documentation has them, on an Xception without top and with random weights, and saved
as .keras and .h5. `SEPCONV classify` on a picture must say what the library's own sigmoid and softmax say, to 1e-5.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import PIL.Image
import tf_keras

TOLERANCE = 1e-5


def guide(k):
    """https://keras.io/guides/transfer_learning: augmentation, Rescaling, Xception, one logit."""
    base_model = k.applications.Xception(weights=None, input_shape=(150, 150, 3), include_top=False)
    base_model.trainable = False
    inputs = k.Input(shape=(150, 150, 3))
    augmentation = k.Sequential([k.layers.RandomFlip("horizontal"), k.layers.RandomRotation(0.1)])
    scale_layer = k.layers.Rescaling(scale=1 / 127.5, offset=-1)
    x = base_model(scale_layer(augmentation(inputs)), training=False)
    x = k.layers.GlobalAveragePooling2D()(x)
    x = k.layers.Dropout(0.2)(x)
    model = k.Model(inputs, k.layers.Dense(1)(x))
    model.compile(optimizer="adam", loss=k.losses.BinaryCrossentropy(from_logits=True))
    return model


def preprocessed(k):
    """https://www.tensorflow.org/tutorials/images/transfer_learning: preprocess_input in the model."""
    base_model = k.applications.Xception(weights=None, input_shape=(150, 150, 3), include_top=False)
    base_model.trainable = False
    inputs = k.Input(shape=(150, 150, 3))
    x = k.applications.xception.preprocess_input(inputs)
    x = base_model(x, training=False)
    x = k.layers.GlobalAveragePooling2D()(x)
    return k.Model(inputs, k.layers.Dense(7, activation="softmax")(x))


def randomise(model, rng):
    """Statistics and scales as training leaves them, and a head whose outputs differ."""
    for variable in model.weights:
        kind, shape = variable.name.split("/")[-1].split(":")[0], tuple(variable.shape)
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.3, shape).astype("float32"))
        elif kind in ("beta", "moving_mean"):
            variable.assign(rng.uniform(-0.2, 0.2, shape).astype("float32"))
    kernel = model.layers[-1].kernel
    kernel.assign(rng.normal(0, 0.1, tuple(kernel.shape)).astype("float32"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/guide"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    picture = args.work / "picture.png"
    PIL.Image.fromarray(rng.integers(0, 256, (200, 180, 3), "uint8")).save(picture)

    passed = failed = 0
    for library in (keras, tf_keras):
        x = np.asarray(library.utils.load_img(picture, target_size=(150, 150)), np.float32)[None]
        for make in (guide, preprocessed):
            model = make(library)
            randomise(model, rng)
            expected = np.asarray(model(x, training=False), np.float64)[0]
            if make is guide:
                expected = 1 / (1 + np.exp(-expected))
            for suffix in ("keras", "h5"):
                file = args.work / f"{make.__name__}.{suffix}"
                model.save(file)
                command = [args.sepconv, "classify", "--json", "--weights", file, picture]
                said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                error = np.abs(np.array(said["probabilities"]) - expected).max()
                good = error <= TOLERANCE and said["preprocess"]["mode"] == "none"
                passed, failed = passed + good, failed + (not good)
                version = f"Keras {library.__version__}"
                print(f"{make.__name__} by {version:13} .{suffix:6} {expected.max():.4f}, |delta| {error:.1e}")
    print(f"guide: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
