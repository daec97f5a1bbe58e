#!/usr/bin/env python3
"""Quantizes random Keras networks by sepconv, ONNX Runtime and LiteRT, and compares how close each stays to f32.

usage: accuracy.py SEPCONV [--work DIR] [--only NETWORK]      (needs requirements.txt)

Xception, MobileNetV1 and V2 get random weights and batch norms with the statistics of random pictures (export.py).
Each tool gets the same eight pictures to calibrate by. The logits of eight others are compared with `SEPCONV run`
in f32: their correlation, and how many have the same first class. With `--keep-until 0` all layers of sepconv's
network are of integers, as those of the other two; by default some stay f32. Fails if the default's correlation is
more than 0.002 below that of one of the others.
"""

import argparse
import os
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
from turns import Sepconv

BELOW = 0.002
DEFAULT = "sepconv"
OURS = {
    "sepconv, integers alone": ["--keep-until", "0"],
    "sepconv, integers alone, min-max": ["--keep-until", "0", "--range", "min-max"],
    DEFAULT: [],
}
PEERS = [runtimes.OnnxRuntimeInt8, runtimes.LiteRTInt8]


def ours(sepconv, folder, options):
    """The logits of sepconv's integers, made with these options of `quantize`."""
    made = folder / "int8.safetensors"
    sepconv.quantize(folder / "model.keras", folder / "pictures.npy", made, options)
    return sepconv.output(made, folder / "x.npy")


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
    model = export.made(network)
    rng = np.random.default_rng(export.SEED)
    export.randomise(model, rng)
    pictures, others = export.draw(rng, network.size), export.draw(rng, network.size)
    export.normalise(model, pictures)
    np.save(work / "pictures.npy", pictures)
    np.save(work / "x.npy", others)
    others = np.split(others, len(others))
    model.save(work / "model.keras")
    to_onnx.save(model, work / "model.onnx")
    split = np.split(pictures, len(pictures))
    quantize.onnx_runtime(work / "model.onnx", work / "int8.onnx", split)
    quantize.litert(export.tflite(model), work / "int8.tflite", split)

    exact = sepconv.output(work / "model.keras", work / "x.npy")
    found = {name: ours(sepconv, work, options) for name, options in OURS.items()}
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
    sepconv, failed = Sepconv(args.sepconv, os.cpu_count()), False
    print("| network | quantized by | correlation | first class as in f32 |\n|---|---|---|---|")
    for network in NETWORKS:
        if args.only not in (None, network.slug):
            continue
        exact, found = compared(network, sepconv, args.work)
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
