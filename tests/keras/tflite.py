#!/usr/bin/env python3
"""Converts random Keras models with TensorFlow, runs them in LiteRT and in sepconv, and compares the outputs.

usage: tflite.py SEPCONV [--work DIR]      (needs requirements.txt)

MobileNet, MobileNetV2 and Xception with random weights become .tflite files in float32, with weights in float16, and
in int8. Logits of `SEPCONV run` must give LiteRT's class and agree within 1e-5 of the largest, or, of int8, at least
99 % of them within one step of the output's scale.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from compare import randomise
from make_tflite import INT8_ENDS, calibrated, converted, litert

TOLERANCE = 1e-5
MODELS = [
    ("mobilenet", keras.applications.MobileNet, 224),
    ("mobilenet-v2", keras.applications.MobileNetV2, 224),
    ("xception", keras.applications.Xception, 299),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/tflite"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(11)
    rng = np.random.default_rng(11)
    failed = 0
    for name, make, side in MODELS:
        keras.backend.clear_session()
        pictures = keras.Input((side, side, 3), batch_size=1)
        model = make(input_tensor=pictures, weights=None, classifier_activation=None)
        randomise(model, rng)
        x = rng.uniform(-1, 1, (1, side, side, 3)).astype("float32")
        np.save(args.work / "x.npy", x)
        half = {"optimizations": [tf.lite.Optimize.DEFAULT],
                "target_spec": tf.lite.TargetSpec(supported_types=[tf.float16])}
        pictures = np.concatenate([x, rng.uniform(-1, 1, (3, side, side, 3)).astype("float32")])
        kinds = {"float32": {}, "float16": half, "int8": {**calibrated(pictures), **INT8_ENDS}}
        for kind, options in kinds.items():
            start = time.time()
            file = args.work / f"{name}-{kind}.tflite"
            file.write_bytes(converted(model, **options))
            expected, step = litert(file.read_bytes(), x)
            y = args.work / "y.npy"
            subprocess.run([args.sepconv, "run", "--weights", file, "--input", args.work / "x.npy",
                            "--output", y], check=True)
            got = np.load(y)
            assert got.shape == expected.shape, (got.shape, expected.shape)
            delta = np.abs(got - expected)
            # LiteRT may have several largest integers.
            same = expected[0, got.argmax()] == expected.max()
            if step:
                steps = np.round(delta / step)
                within = (steps <= 1).mean()
                good = within >= 0.99
                found = f"{within:.1%} within a step, at most {steps.max():.0f} steps"
            else:
                error = delta.max() / np.abs(expected).max()
                good = error <= TOLERANCE
                found = f"max|delta|/max|ref| {error:.2e}"
            failed += not (good and same)
            print(f"{file.name:30} {found}, top 1 {'same' if same else 'DIFFERS'}"
                  f"  ({file.stat().st_size} bytes, {time.time() - start:.0f} s)", flush=True)
    print(f"tflite: {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
