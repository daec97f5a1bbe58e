"""timm's networks by sepconv's layers: which module each is, and its variables in sepconv's layout."""

import sys
from pathlib import Path

import numpy as np
import timm
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "keras"))
import golden
import synthetic


def sums(model):
    """The blocks that end in a sum, in order: names of modules, and of sepconv's nodes."""
    kinds = ("ConvNeXtBlock", "GhostBottleneck")
    return [
        name
        for name, module in model.named_modules()
        if getattr(module, "has_skip", False) or type(module).__name__ in kinds
    ]


def numbered(kind, n):
    return f"{kind}_{n}" if n else kind


def legacy_layers():
    """sepconv's (Keras's) layer by the module's name in legacy_xception."""
    layers = {"fc": "predictions"}
    for i in (1, 2):
        layers |= {f"conv{i}": f"block1_conv{i}", f"bn{i}": f"block1_conv{i}_bn"}
    for i in (1, 2):
        name = f"block14_sepconv{i}"
        layers |= {f"conv{i + 2}": name, f"bn{i + 2}": f"{name}_bn"}
    strided = {1: 0, 2: 1, 3: 2, 12: 3}
    for block in range(1, 13):
        if block in strided:
            n = strided[block]
            layers[f"block{block}.skip"] = numbered("conv2d", n)
            layers[f"block{block}.skipbn"] = numbered("batch_normalization", n)
        at = 0 if block == 1 else 1
        for i in range(1, 3 if block in strided else 4):
            name = f"block{block + 1}_sepconv{i}"
            layers |= {f"block{block}.rep.{at}": name, f"block{block}.rep.{at + 1}": f"{name}_bn"}
            at += 3
    return layers


def fill(model):
    """Gives every parameter and statistic of a timm model its synthetic value."""
    legacy = type(model).__name__ == "Xception"
    layers = legacy_layers() if legacy else {}

    def put(tensor, layer, variable, shape, turn):
        value = turn(synthetic.tensor(layer, variable, shape))
        assert value.shape == tuple(tensor.shape), (layer, variable, value.shape, tensor.shape)
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def convolution(layer, module):
        """Puts the kernel, and returns the layer that has the bias."""
        outputs, inputs, kh, kw = module.weight.shape
        if module.groups > 1:
            if legacy:
                layer = layers[layer.removesuffix(".conv1")]
            shape, turn = (kh, kw, outputs, 1), lambda v: v.transpose(2, 3, 0, 1)
            put(module.weight, layer, "depthwise_kernel", shape, turn)
            return layer
        variable = "kernel"
        if layer.endswith(".pointwise"):
            layer, variable = layers[layer.removesuffix(".pointwise")], "pointwise_kernel"
        shape, turn = (kh, kw, inputs, outputs), lambda v: v.transpose(3, 2, 0, 1)
        put(module.weight, layer, variable, shape, turn)
        return layer

    def plain(layer, **tensors):
        for variable, tensor in tensors.items():
            if tensor is not None:
                put(tensor, layer, variable, tuple(tensor.shape), lambda v: v)

    with torch.no_grad():
        for name, module in model.named_modules():
            layer = layers.get(name, name)
            if isinstance(module, nn.BatchNorm2d):
                plain(layer, gamma=module.weight, beta=module.bias)
                plain(layer, moving_mean=module.running_mean, moving_variance=module.running_var)
            elif isinstance(module, nn.LayerNorm):
                plain(layer, gamma=module.weight, beta=module.bias)
            elif isinstance(module, nn.Linear):
                outputs, inputs = module.weight.shape
                put(module.weight, layer, "kernel", (inputs, outputs), lambda v: v.T)
                plain(layer, bias=module.bias)
            elif isinstance(module, nn.Conv2d):
                plain(convolution(layer, module), bias=module.bias)
            if isinstance(getattr(module, "gamma", None), nn.Parameter):
                plain(f"{name}.gamma", gamma=module.gamma)


def create(name, **options):
    """A timm model at inference."""
    return timm.create_model(name, pretrained=False, **options).eval()


def run(model, x, modules):
    """The logits of a picture N×H×W×C, and those modules' outputs, N×H×W×C."""
    values = {}

    def hook(name):
        # A copy: what follows may work in place.
        return lambda module, args, y: values.update({name: y.permute(0, 2, 3, 1).numpy().copy()})

    hooks = [model.get_submodule(name).register_forward_hook(hook(name)) for name in modules]
    with torch.no_grad():
        logits = model(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()).numpy()
    for handle in hooks:
        handle.remove()
    return logits, [values[name] for name in modules]
