#!/usr/bin/env python3
"""Runs random timm Xceptions in timm and in sepconv and compares every output.

usage: compare.py SEPCONV [--work DIR]      (needs requirements.txt)

xception41, 65, 71 and legacy_xception, their batch norms moved off their initial values, are saved by
`safetensors.torch.save_file`. `SEPCONV run` on a random batch of 2 at 299x299, 224x224 and 150x201 must
agree with timm within 1e-4 of the largest |logit|, and give the same top 5; so must features in the middle
asked for by name, and a model of another number of input channels and classes.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import modules

TOLERANCE = 1e-4
SIZES = [(299, 299), (224, 224), (150, 201)]
# By model: a node in the middle and timm's module.
MODELS = {
    "xception41": ("blocks.10", "blocks.10"),
    "xception65": ("blocks.18", "blocks.18"),
    "xception71": ("blocks.4", "blocks.4"),
    "legacy_xception": ("add_2", "block3"),
}


def randomise(model):
    """Statistics and scales as training leaves them: away from 0 and 1."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.7, 1.3)
                for tensor in (module.bias, module.running_mean):
                    tensor.uniform_(-0.2, 0.2)


def difference(got, expected):
    assert got.shape == expected.shape, (got.shape, expected.shape)
    assert np.isfinite(got).all()
    return np.abs(got - expected).max() / np.abs(expected).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/compare"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    file, x_file, y_file, z_file = (
        args.work / name for name in ["x.safetensors", "x.npy", "y.npy", "node.npy"]
    )
    torch.manual_seed(7)
    rng = np.random.default_rng(7)
    passed = failed = 0

    def check(what, error, top5=True):
        nonlocal passed, failed
        good = error <= TOLERANCE and top5
        passed, failed = passed + good, failed + (not good)
        print(f"{what:40} max|delta|/max|ref| {error:.2e}, top 5 {'same' if top5 else 'DIFFER'}")

    def compare(name, sizes, channels, options):
        model = modules.create(name, **options)
        randomise(model)
        save_file(model.state_dict(), file)
        node, module = MODELS[name]
        for size in sizes:
            x = rng.uniform(-1, 1, (2, *size, channels)).astype("float32")
            np.save(x_file, x)
            logits, [features] = modules.run(model, x, [module])
            command = [args.sepconv, "run", "--weights", file, "--input", x_file]
            command += ["--output", y_file, "--output", f"{node}={z_file}"]
            subprocess.run(command, check=True)
            got = np.load(y_file)
            top5 = (np.argsort(-got)[:, :5] == np.argsort(-logits)[:, :5]).all()
            what = f"{name} {size[0]}x{size[1]}"
            check(what, difference(got, logits), top5)
            check(f"{what} {node}", difference(np.load(z_file), features))

    for name in MODELS:
        compare(name, SIZES, 3, {})
    compare("xception41", SIZES[2:], 5, {"in_chans": 5, "num_classes": 11})
    compare("legacy_xception", SIZES[2:], 1, {"in_chans": 1, "num_classes": 11})

    print(f"compare: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
