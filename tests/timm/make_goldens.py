"""Writes goldens/<model>_<size>[_os<stride>].json: what timm's networks compute from the synthetic weights and
picture of tests/keras/synthetic.py.

    python make_goldens.py

Each file holds, for some modules, the node of sepconv that it is, the output's shape, mean, standard deviation
and largest magnitude (summed in float64) and 16 samples at the flat positions
synthetic.indices("golden/<size>/<node>", ...), then the logits.
"""

import pathlib

import timm
import torch

import modules
from modules import golden, synthetic

SAMPLES = 16
# Of one member of each family, with 10 classes, at sizes whose halves are odd and even.
OTHERS = [
    ("mobilenetv2_035", 45),
    ("mobilenetv3_small_050", 45),
    ("tf_mobilenetv3_large_minimal_100", 46),
    ("tf_mobilenetv3_small_075", 45),
    ("mnasnet_small", 48),
    ("mnasnet_050", 33),
    ("semnasnet_050", 45),
    ("efficientnet_lite0", 33),
    ("tf_efficientnet_b0", 46),
    ("tf_efficientnetv2_b0", 45),
    ("convnext_atto", 45),
    ("convnext_pico_ols", 46),
    ("convnext_tiny_hnf", 32),
    ("ghostnet_050", 45),
]
CLASSES = 10
FOLDER = pathlib.Path(__file__).parent / "goldens"
# Of legacy_xception, at 75 and 96 pixels: pools over even and odd extents in different blocks.
CASES = [
    ("xception41", 96, 32),
    ("xception65", 71, 32),
    ("xception65", 71, 16),
    ("xception65", 71, 8),
    ("xception71", 71, 32),
    ("legacy_xception", 75, 32),
    ("legacy_xception", 96, 32),
]


def nodes(name):
    """Nodes of sepconv and the modules that they are."""
    if name == "legacy_xception":
        blocks = [1, 2, 3, 11, 12]
        sums = [(modules.numbered("add", b - 1), f"block{b}") for b in blocks]
        return [("block1_conv2_act", "act2"), *sums, ("block14_sepconv2_act", "act4")]
    last = {"xception41": 12, "xception65": 20, "xception71": 22}[name]
    entry = last - {12: 8, 20: 16, 22: 16}[last] - 1
    names = ["stem.1.bn.act", *(f"blocks.{b}" for b in [*range(entry), last - 2, last - 1])]
    names.append(f"blocks.{last}.stack.conv3.act_pw")
    return [(n, n) for n in names]


def sums(model):
    """The first, a middle and the last of the blocks that end in a sum."""
    names = modules.sums(model)
    return [names[0], names[len(names) // 2], names[-1]]


def others():
    for name, size in OTHERS:
        model = modules.create(name, num_classes=CLASSES)
        modules.fill(model)
        names = sums(model)
        logits, values = modules.run(model, synthetic.picture(size), names)
        head = {
            "model": name,
            "size": size,
            "timm": timm.__version__,
            "torch": torch.__version__,
        }
        values = zip(names, values, strict=True)
        golden.write(FOLDER / f"{name}_{size}.json", head, values, logits, SAMPLES)
        print(name, size, "done", flush=True)


def main():
    torch.set_num_threads(1)
    others()
    for name, size, stride in CASES:
        options = {} if name == "legacy_xception" else {"output_stride": stride}
        model = modules.create(name, **options)
        modules.fill(model)
        pairs = nodes(name)
        picture = synthetic.picture(size)
        logits, values = modules.run(model, picture, [module for _, module in pairs])
        head = {
            "model": name,
            "size": size,
            "output_stride": stride,
            "timm": timm.__version__,
            "torch": torch.__version__,
        }
        values = zip((node for node, _ in pairs), values, strict=True)
        suffix = "" if stride == 32 else f"_os{stride}"
        golden.write(FOLDER / f"{name}_{size}{suffix}.json", head, values, logits, SAMPLES)
        print(name, size, stride, "done", flush=True)


if __name__ == "__main__":
    main()
