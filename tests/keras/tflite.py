#!/usr/bin/env python3
"""Converts random Keras models with TensorFlow, runs them in LiteRT and in sepconv, and compares the outputs.

usage: tflite.py SEPCONV [--work DIR]      (needs requirements.txt)

MobileNet, MobileNetV2 and Xception with random weights become .tflite files in float32 and with weights in float16.
Logits of `SEPCONV run` must agree with LiteRT's within 1e-5 of the largest, and give the same class.
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
from make_tflite import converted, litert

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
        for kind, options in [("float32", {}), ("float16", half)]:
            start = time.time()
            file = args.work / f"{name}-{kind}.tflite"
            file.write_bytes(converted(model, **options))
            expected = litert(file.read_bytes(), x)
            y = args.work / "y.npy"
            subprocess.run([args.sepconv, "run", "--weights", file, "--input", args.work / "x.npy",
                            "--output", y], check=True)
            got = np.load(y)
            assert got.shape == expected.shape, (got.shape, expected.shape)
            error = np.abs(got - expected).max() / np.abs(expected).max()
            same = got.argmax() == expected.argmax()
            failed += not (error <= TOLERANCE and same)
            print(f"{file.name:30} max|delta|/max|ref| {error:.2e}, top 1 {'same' if same else 'DIFFERS'}"
                  f"  ({file.stat().st_size} bytes, {time.time() - start:.0f} s)")
    print(f"tflite: {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
