#!/usr/bin/env python3
"""Quantizes random Keras networks by sepconv, ONNX Runtime and LiteRT, and compares how close each stays to f32.

usage: accuracy.py SEPCONV [--work DIR] [--only NETWORK]      (needs requirements.txt)

Xception, MobileNetV1 and V2 get random weights and batch norms with the statistics of random pictures (export.py).
Each tool gets the same eight pictures to calibrate by. The logits of eight others are compared with `SEPCONV run`
in f32: their correlation, and how many have the same first class. `--keep-until 0` makes sepconv's a network of
integers alone, as the other two are; its default keeps some layers in f32. Fails if the default's correlation is
more than 0.002 below that of one of the others.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import export
import quantize
import runtimes
import to_onnx
from networks import NETWORKS

BELOW = 0.002
DEFAULT = "sepconv"
OURS = {
    "sepconv, integers alone": ["--keep-until", "0"],
    "sepconv, integers alone, min-max": ["--keep-until", "0", "--range", "min-max"],
    DEFAULT: [],
}
PEERS = [runtimes.OnnxRuntimeInt8, runtimes.LiteRTInt8]


def ours(sepconv, folder, options, pictures):
    """Logits of sepconv's f32 and of its integers, made with these options of `quantize`."""
    x, y = folder / "x.npy", folder / "y.npy"
    np.save(x, np.concatenate(pictures))
    made = folder / "int8.safetensors"
    command = [sepconv, "quantize", "--weights", folder / "model.keras", "--output", made]
    subprocess.run([*command, "--calibrate", folder / "pictures.npy", *options],
                   check=True, capture_output=True)
    subprocess.run([sepconv, "run", "--weights", made, "--input", x, "--output", y], check=True)
    return np.load(y)


def peer(kind, path, pictures):
    runtime = kind(path, 1)
    logits = []
    for picture in pictures:
        runtime.feed(picture)
        runtime.run()
        logits.append(runtime.output().copy())
    return np.concatenate(logits)


def compared(network, sepconv, work):
    """The logits of one network: f32's, and by tool those of integers."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(export.SEED)
    model = getattr(keras.applications, network.keras)(weights=None, classifier_activation=None)
    rng = np.random.default_rng(export.SEED)
    export.randomise(model, rng)
    pictures, others = export.draw(rng, network.size), export.draw(rng, network.size)
    export.normalise(model, pictures)
    others = np.split(others, len(others))
    np.save(work / "pictures.npy", pictures)
    model.save(work / "model.keras")
    to_onnx.save(model, work / "model.onnx")
    split = np.split(pictures, len(pictures))
    quantize.onnx_runtime(work / "model.onnx", work / "int8.onnx", split)
    quantize.litert(export.tflite(model), work / "int8.tflite", split)

    x, y = work / "x.npy", work / "y.npy"
    np.save(x, np.concatenate(others))
    command = [sepconv, "run", "--weights", work / "model.keras", "--input", x, "--output", y]
    subprocess.run(command, check=True)
    exact = np.load(y)
    found = {name: ours(sepconv, work, options, others) for name, options in OURS.items()}
    for kind in PEERS:
        found[f"{kind.name} {runtimes.version(kind)}"] = peer(kind, work / kind.format, others)
    return exact, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/accuracy"))
    parser.add_argument("--only", help="the slug of one network")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    failed = False
    print("| network | quantized by | correlation | first class as in f32 |\n|---|---|---|---|")
    for network in NETWORKS:
        if args.only not in (None, network.slug):
            continue
        exact, found = compared(network, args.sepconv, args.work)
        correlations = {name: np.corrcoef(exact.ravel(), y.ravel())[0, 1] for name, y in found.items()}
        best = max(value for name, value in correlations.items() if name not in OURS)
        for name, y in found.items():
            same = int((y.argmax(axis=1) == exact.argmax(axis=1)).sum())
            print(f"| {network.label} | {name} | {correlations[name]:.4f} | {same} of {len(exact)} |", flush=True)
        failed |= correlations[DEFAULT] < best - BELOW
    print(f"accuracy: {'failed' if failed else 'passed'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
