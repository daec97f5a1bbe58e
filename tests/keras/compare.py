#!/usr/bin/env python3
"""Runs a random Keras Xception in Keras and in sepconv and compares every output.

usage: compare.py SEPCONV [--work DIR]      (needs requirements.txt)

`keras.applications.Xception(weights=None)`, its batch norms moved off their initial values, is saved
as .keras, .weights.h5 and legacy .h5. `SEPCONV run` on a random batch of 3 at 299x299, 224x224 and
200x320 must agree with Keras within 1e-4 of the largest |logit|, and give the same top 5; so must
the output of block 4 asked for by its layer name, and the features of a model without top. The same for
random MobileNets of two widths and a random Inception V3, at an even and an odd size.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

TOLERANCE = 1e-4
# What sepconv calls a model, how it is made, sizes, pictures, and a node in its middle.
MODELS = [
    # The end of block 4.
    ("xception", keras.applications.Xception, [(299, 299), (224, 224), (200, 320)], 3, "add_2"),
    ("mobilenet", keras.applications.MobileNet, [(224, 224), (161, 96)], 2, "conv_pw_5_relu"),
    ("mobilenet-0.5", partial(keras.applications.MobileNet, alpha=0.5), [(128, 97)], 2, "conv_dw_4_relu"),
    ("inception-v3", keras.applications.InceptionV3, [(299, 299), (150, 140)], 2, "mixed4"),
]


def randomise(model, rng):
    """Statistics and scales as training leaves them: away from 0 and 1."""
    for variable in model.variables:
        kind, shape = variable.name, tuple(variable.shape)
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.7, 1.3, shape).astype("float32"))
        elif kind in ("beta", "moving_mean"):
            variable.assign(rng.uniform(-0.2, 0.2, shape).astype("float32"))


def difference(got, expected):
    assert got.shape == expected.shape, (got.shape, expected.shape)
    assert np.isfinite(got).all()
    return np.abs(got - expected).max() / np.abs(expected).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/compare"))
    args = parser.parse_args()
    work = args.work
    work.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(7)
    keras.backend.clear_session()
    headless = keras.applications.Xception(weights=None, include_top=False)
    randomise(headless, rng)
    headless_file = work / "headless.keras"
    headless.save(headless_file)

    passed = failed = 0

    def check(what, error, top5=True):
        nonlocal passed, failed
        good = error <= TOLERANCE and top5
        passed, failed = passed + good, failed + (not good)
        print(f"{what:40} max|delta|/max|ref| {error:.2e}, top 5 {'same' if top5 else 'DIFFER'}")

    for name, make, sizes, batch, node in MODELS:
        keras.backend.clear_session()
        options = {"weights": None, "classifier_activation": None}
        model = make(input_shape=(*sizes[0], 3), **options)
        randomise(model, rng)
        files = [work / f"{name}.keras", work / f"{name}.weights.h5", work / f"{name}.h5"]
        model.save(files[0])
        model.save_weights(files[1])
        model.save(files[2])
        weights = model.get_weights()
        for size in sizes:
            x = rng.uniform(-1, 1, (batch, *size, 3)).astype("float32")
            np.save(work / "x.npy", x)
            # The same layers and weights on another input size.
            keras.backend.clear_session()
            sized = make(input_shape=(*size, 3), **options)
            sized.set_weights(weights)
            both = keras.Model(sized.input, [sized.output, sized.get_layer(node).output])
            logits, expected = both.predict(x, verbose=0)
            for file in files:
                y, z = work / "y.npy", work / "node.npy"
                command = [args.sepconv, "run", "--weights", file, "--input", work / "x.npy", "--output", y]
                command += ["--output", f"{node}={z}"]
                # A file of weights alone has no architecture; it is taken for Xception's.
                alone = file.name.endswith(".weights.h5") and name != "xception"
                subprocess.run(command + (["--model", name] if alone else []), check=True)
                got = np.load(y)
                top5 = (np.argsort(-got)[:, :5] == np.argsort(-logits)[:, :5]).all()
                what = f"{file.name} {size[0]}x{size[1]}"
                check(what, difference(got, logits), top5)
                check(f"{what} {node}", difference(np.load(z), expected))
            if name == "xception":
                y = work / "features.npy"
                command = [args.sepconv, "run", "--weights", headless_file, "--input", work / "x.npy"]
                subprocess.run([*command, "--output", y], check=True)
                features = headless.predict(x, verbose=0)
                check(f"no top {size[0]}x{size[1]}", difference(np.load(y), features))

    print(f"compare: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
