"""Makes a PyTorch module of an ONNX file of the few operators that `to_onnx.py` writes."""

import onnx
import torch
from onnx import numpy_helper


class Graph(torch.nn.Module):
    """The file's nodes in their order. Tensors are NCHW in shape; how they lie in memory is the input's matter."""

    def __init__(self, path):
        super().__init__()
        graph = onnx.load(str(path)).graph
        self.input, self.output = graph.input[0].name, graph.output[0].name
        weights = {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()) for w in graph.initializer}
        self.steps = []
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            make = getattr(self, f"_{node.op_type.lower()}")
            step = make([weights[name] for name in node.input if name in weights], attributes)
            if isinstance(step, torch.nn.Module):
                self.add_module(str(len(self.steps)), step)
            self.steps.append((step, [name for name in node.input if name not in weights], node.output[0]))

    def forward(self, x):
        values = {self.input: x}
        for step, inputs, output in self.steps:
            values[output] = step(*(values[name] for name in inputs))
        return values[self.output]

    @staticmethod
    def _conv(weights, attributes):
        kernel, *bias = weights
        out, per_group, height, width = kernel.shape
        groups = attributes["group"]
        top, left, bottom, right = attributes["pads"]
        even = (top, left) == (bottom, right)
        conv = torch.nn.Conv2d(
            per_group * groups, out, (height, width), attributes["strides"],
            padding=(top, left) if even else 0, groups=groups, bias=bool(bias),
        )
        conv.weight.data = kernel
        if bias:
            conv.bias.data = bias[0]
        # A convolution of PyTorch's pads both sides alike.
        return conv if even else torch.nn.Sequential(torch.nn.ZeroPad2d((left, right, top, bottom)), conv)

    @staticmethod
    def _maxpool(_weights, attributes):
        top, left, bottom, right = attributes["pads"]
        # Windows that end outside are cut off there: as good as padding at the end.
        assert top <= bottom <= top + 1 and left <= right <= left + 1, attributes
        return torch.nn.MaxPool2d(
            attributes["kernel_shape"], attributes["strides"], (top, left), ceil_mode=True
        )

    @staticmethod
    def _relu(_weights, _attributes):
        return torch.nn.ReLU()

    @staticmethod
    def _add(_weights, _attributes):
        return torch.add

    @staticmethod
    def _globalaveragepool(_weights, _attributes):
        return torch.nn.AdaptiveAvgPool2d(1)

    @staticmethod
    def _flatten(_weights, _attributes):
        return torch.nn.Flatten()

    @staticmethod
    def _gemm(weights, _attributes):
        kernel, bias = weights
        linear = torch.nn.Linear(*kernel.shape)
        linear.weight.data, linear.bias.data = kernel.T.contiguous(), bias
        return linear
