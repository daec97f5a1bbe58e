#!/usr/bin/env python3
"""Quantizes the small Xception of the demo and counts how many held-out digits it still has right.

usage: digits.py SEPCONV [--work DIR] [--sheet]

Needs numpy and scikit-learn (assets/requirements.txt), which ships the digits. They are split as
assets/train_digits.py splits them. SEPCONV quantizes assets/digits.keras by the 200 pictures for validation, then
computes the logits of the 400 test pictures in f32 and in 8-bit integers, by each rule for ranges. Checks that
  - f32 has 399 of 400 right, as the training script had,
  - 8-bit integers by the default rule 397 or more.

With --sheet, writes the digits of tests/digits.rs anew: tests/images/digits-600.png has the 200 pictures for
validation, then the 400 test pictures, 20 in a row; digits-600.txt has their classes.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

ASSETS = Path(__file__).parent.parent.parent / "assets"
SEED, N_TEST, N_VALIDATION = 2024, 400, 200
BLOCK = 4
RULES = ["min-max", "percentile", "mse"]


def tensor(grey):
    """[n, 8, 8] grey values -> [n, 32, 32, 3] network input in -1..1."""
    x = np.asarray(grey, np.float32).repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)
    return np.repeat((x / np.float32(127.5) - np.float32(1))[..., None], 3, axis=-1)


def write_sheet(grey, classes):
    """Digits in rows of 20, and their classes in one line."""
    from PIL import Image

    images = Path(__file__).parent.parent / "images"
    sheet = grey.reshape(-1, 20, 8, 8).swapaxes(1, 2).reshape(-1, 160)
    Image.fromarray(sheet).save(images / "digits-600.png", optimize=True)
    (images / "digits-600.txt").write_text("".join(map(str, classes)) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/digits"))
    parser.add_argument("--sheet", action="store_true", help="write the digits of tests/digits.rs anew")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    digits = load_digits()
    grey = np.round(digits.images * 255 / 16).astype(np.uint8)
    split = {"stratify": digits.target, "random_state": SEED}
    rest, test, labels, truth = train_test_split(grey, digits.target, test_size=N_TEST, **split)
    _, validation, _, seen = train_test_split(
        rest, labels, test_size=N_VALIDATION, stratify=labels, random_state=SEED)
    if args.sheet:
        write_sheet(np.concatenate([validation, test]), np.concatenate([seen, truth]))
    calibrate, x, y = (args.work / name for name in ["calibrate.npy", "x.npy", "y.npy"])
    np.save(calibrate, tensor(validation))
    np.save(x, tensor(test))

    def logits(model):
        subprocess.run([args.sepconv, "run", "--weights", model, "--input", x, "--output", y], check=True)
        return np.load(y)

    def right(logits):
        return int((logits.argmax(axis=1) == truth).sum())

    exact = logits(ASSETS / "digits.keras")
    print(f"f32: {right(exact)} of {N_TEST} right")
    failed = right(exact) != 399
    for rule in ["default", *RULES]:
        model = args.work / f"digits.{rule}.safetensors"
        command = [args.sepconv, "quantize", "--weights", ASSETS / "digits.keras", "--calibrate", calibrate]
        command += ["--output", model] + (["--range", rule] if rule != "default" else [])
        subprocess.run(command, check=True, capture_output=rule != "default")
        rounded = logits(model)
        correlation = np.corrcoef(exact.ravel(), rounded.ravel())[0, 1]
        print(f"{rule}: {right(rounded)} of {N_TEST} right, correlation of logits {correlation:.5f}, "
              f"{model.stat().st_size} bytes")
        failed |= rule == "default" and right(rounded) < 397
    print(f"digits: {'failed' if failed else 'passed'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
