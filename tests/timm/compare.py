#!/usr/bin/env python3
"""Runs random timm networks in timm and in sepconv and compares every output.

usage: compare.py SEPCONV [--work DIR] [--only PREFIX]      (needs requirements.txt)

Each network, its norms, statistics, biases and layer scales moved off their initial values, is saved by
`safetensors.torch.save_file`. `SEPCONV run` on a random batch of 2 must agree with timm within 1e-4 of the
largest |logit|, and give the same top 5; so must features in the middle asked for by name, and models of
another number of input channels and classes, or of none. Xceptions run at 299x299, 224x224 and 150x201, the
others at 224x224 (or their own size if it is smaller) and 129x165, at which padding differs most.

Inputs are drawn until timm's own first six logits lie 2e-4 of the largest apart, since
nearer ones may change places within the tolerance. `SEPCONV classify` of a PNG file must give the logits of
timm's own transforms (resizing, crop, mean, deviation).

`tf_` networks, whose tensors other networks have, too, are named in the header; all others are recognised.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
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
# All others that sepconv knows.
OTHERS = """
    mobilenetv2_035 mobilenetv2_050 mobilenetv2_075 mobilenetv2_100 mobilenetv2_110d mobilenetv2_120d
    mobilenetv2_140 mobilenetv3_large_075 mobilenetv3_large_100 mobilenetv3_large_150d mobilenetv3_small_050
    mobilenetv3_small_075 mobilenetv3_small_100 tf_mobilenetv3_large_075 tf_mobilenetv3_large_100
    tf_mobilenetv3_large_minimal_100 tf_mobilenetv3_small_075 tf_mobilenetv3_small_100
    tf_mobilenetv3_small_minimal_100 mnasnet_050 mnasnet_075 mnasnet_100 mnasnet_140 mnasnet_small semnasnet_050
    semnasnet_075 semnasnet_100 semnasnet_140 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3
    efficientnet_b4 tf_efficientnet_b0 tf_efficientnet_b1 tf_efficientnet_b2 tf_efficientnet_b3
    tf_efficientnet_b4 efficientnet_lite0 efficientnet_lite1 efficientnet_lite2 efficientnet_lite3
    efficientnet_lite4 tf_efficientnet_lite0 tf_efficientnet_lite1 tf_efficientnet_lite2
    tf_efficientnet_lite3 tf_efficientnet_lite4 tf_efficientnetv2_b0 tf_efficientnetv2_b1
    tf_efficientnetv2_b2 tf_efficientnetv2_b3 efficientnetv2_s tf_efficientnetv2_s convnext_atto
    convnext_atto_ols convnext_femto convnext_femto_ols convnext_pico convnext_pico_ols convnext_nano
    convnext_nano_ols convnext_tiny convnext_tiny_hnf convnext_small ghostnet_050 ghostnet_100 ghostnet_130
""".split()
# Of another number of input channels and classes, or without a classifier.
OPTIONS = {
    "mobilenetv3_small_100": [{"in_chans": 1, "num_classes": 11}, {"num_classes": 0}],
    "mobilenetv2_050": [{"in_chans": 4, "num_classes": 7}, {"num_classes": 0}],
    "convnext_atto": [{"in_chans": 2, "num_classes": 9}, {"num_classes": 0}],
    "ghostnet_050": [{"in_chans": 5, "num_classes": 6}, {"num_classes": 0}],
}


def randomise(model):
    """Statistics and scales as training leaves them: away from 0 and 1."""
    norms = []
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.7, 1.3)
                for tensor in (module.bias, module.running_mean):
                    tensor.uniform_(-0.2, 0.2)
            elif isinstance(module, torch.nn.LayerNorm):
                module.weight.uniform_(0.7, 1.3)
                module.bias.uniform_(-0.2, 0.2)
            elif getattr(module, "bias", None) is not None:
                module.bias.uniform_(-0.2, 0.2)
            if getattr(module, "has_skip", False):
                # Branches are smaller than what they are added to, or deep networks amplify each rounding:
                # timm's own f32 of tf_efficientnetv2_s was 0.04 from its f64.
                norms.append([m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)][-1])
        for norm in norms:
            norm.weight.uniform_(0.2, 0.4)
        for name, tensor in model.named_parameters():
            if name.endswith(".gamma"):
                tensor.uniform_(0.2, 0.6)


def middle(model):
    """The middle one of the blocks that end in a sum."""
    sums = modules.sums(model)
    return sums[len(sums) // 2]


def apart(logits):
    """Whether the first classes of each picture are told apart by the tolerance."""
    first = -np.sort(-logits)[:, :6]
    return (first[:, :-1] - first[:, 1:]).min() > 2 * TOLERANCE * np.abs(logits).max()


def picture(rng):
    """Smooth colours and noise."""
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), "uint8"))
    pixels = np.asarray(small.resize((401, 300), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((pixels + rng.integers(-9, 10, pixels.shape)).clip(0, 255).astype("uint8"))


def transformed(model, image):
    """What timm makes of a picture, N×H×W×C."""
    config = timm.data.resolve_model_data_config(model)
    x = timm.data.create_transform(**config, is_training=False)(image)
    return x.permute(1, 2, 0)[None].contiguous().numpy()


def difference(got, expected):
    assert got.shape == expected.shape, (got.shape, expected.shape)
    assert np.isfinite(got).all()
    return np.abs(got - expected).max() / np.abs(expected).max()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("sepconv", help="the binary")
    parser.add_argument("--work", type=Path, default=Path("target/compare"))
    parser.add_argument("--only", default="", help="names of networks start with this")
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
        metadata = {"architecture": name} if name.startswith("tf_") else None
        save_file(model.state_dict(), file, metadata=metadata)
        node, module = MODELS.get(name) or [middle(model)] * 2
        for size in sizes:
            for _ in range(20):
                x = rng.uniform(-1, 1, (2, *size, channels)).astype("float32")
                logits, [features] = modules.run(model, x, [module])
                if apart(logits):
                    break
            np.save(x_file, x)
            command = [args.sepconv, "run", "--weights", file, "--input", x_file]
            command += ["--output", y_file, "--output", f"{node}={z_file}"]
            subprocess.run(command, check=True)
            got = np.load(y_file)
            top5 = (np.argsort(-got)[:, :5] == np.argsort(-logits)[:, :5]).all()
            what = f"{name} {size[0]}x{size[1]}"
            check(what, difference(got, logits), top5)
            check(f"{what} {node}", difference(np.load(z_file), features))

        return model

    def classify(name, model):
        image = picture(rng)
        image.save(args.work / "picture.png")
        logits, _ = modules.run(model, transformed(model, image), [])
        command = [args.sepconv, "classify", "--json", "--weights", file, args.work / "picture.png"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        got = np.array([json.loads(output)["logits"]])
        check(f"{name} picture", difference(got, logits), (np.argmax(got) == np.argmax(logits)).all())

    def others(name):
        if not name.startswith(args.only):
            return
        side = min(224, *timm.models.get_pretrained_cfg(name).input_size[1:])
        sizes = [(side, side), (129, 165)]
        classify(name, compare(name, sizes, 3, {}))
        for options in OPTIONS.get(name, []):
            compare(name, sizes[1:], options.get("in_chans", 3), options)

    for name in MODELS:
        if name.startswith(args.only):
            compare(name, SIZES, 3, {})
    if not args.only:
        compare("xception41", SIZES[2:], 5, {"in_chans": 5, "num_classes": 11})
        compare("legacy_xception", SIZES[2:], 1, {"in_chans": 1, "num_classes": 11})

    for name in OTHERS:
        others(name)

    print(f"compare: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
