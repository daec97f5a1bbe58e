#!/usr/bin/env python3
"""Writes the networks that the adapters are tested and timed on, as ONNX with random weights.

mobilenet_v1.onnx   MobileNetV1 (arXiv 1704.04861), 1000 classes, to logits; ReLU6
blocks.onnx         its 13 separable blocks alone, 32 channels in
xception.onnx       Xception (arXiv 1610.02357), 1000 classes, to logits; ReLU

NCHW, of any height and width; batch norms are folded, so that convolutions have biases. Padding is
explicit and the same on all sides, as in PyTorch's versions. The seeds are fixed: the files are the
same wherever numpy's generator is.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
CLASSES = 1000
# Outputs and stride of MobileNetV1's separable blocks (its Table 1).
BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
BLOCKS += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]


class Network:
    """Nodes and weights as they come. A value is (name, channels)."""

    def __init__(self, name, seed, channels):
        self.name, self.rng = name, np.random.default_rng(seed)
        self.nodes, self.weights = [], []
        self.shape = ["batch", channels, "height", "width"]
        self.input = ("input", channels)

    def node(self, op, inputs, channels, **attributes):
        output = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output, channels

    def weight(self, name, value):
        self.weights.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def conv(self, x, channels, kernel=3, stride=1, pad=0, groups=1):
        """With a bias. Weights keep the size of values (He et al., arXiv 1502.01852)."""
        name, channels_in = x
        shape = (channels, channels_in // groups, kernel, kernel)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        index = len(self.nodes)
        return self.node(
            "Conv",
            [
                name,
                self.weight(f"kernel{index}", self.rng.normal(0, scale, shape)),
                self.weight(f"bias{index}", self.rng.uniform(-0.1, 0.1, channels)),
            ],
            channels,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=groups,
        )

    def relu(self, x):
        return self.node("Relu", [x[0]], x[1])

    def relu6(self, x):
        for name, value in (("zero", 0.0), ("six", 6.0)):
            if not any(w.name == name for w in self.weights):
                self.weight(name, np.array(value))
        return self.node("Clip", [x[0], "zero", "six"], x[1])

    def add(self, x, y):
        return self.node("Add", [x[0], y[0]], x[1])

    def max_pool(self, x):
        window = dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        return self.node("MaxPool", [x[0]], x[1], **window)

    def separable(self, x, channels):
        x = self.conv(x, x[1], pad=1, groups=x[1])
        return self.conv(x, channels, kernel=1)

    def head(self, x):
        """Mean over pixels and a dense layer."""
        x = self.node("GlobalAveragePool", [x[0]], x[1])
        x = self.node("Flatten", [x[0]], x[1])
        scale = 1 / np.sqrt(x[1])
        kernel = self.weight("dense", self.rng.normal(0, scale, (x[1], CLASSES)))
        bias = self.weight("dense_bias", self.rng.uniform(-0.1, 0.1, CLASSES))
        return self.node("Gemm", [x[0], kernel, bias], CLASSES)

    def save(self, output, rank, folder):
        shape = ["batch", output[1], "out_height", "out_width"][:rank]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [value("input", TensorProto.FLOAT, self.shape)],
            [value(output[0], TensorProto.FLOAT, shape)],
            self.weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(proto, full_check=True)
        onnx.save(proto, folder / f"{self.name}.onnx")


def mobilenet_blocks(net, x):
    for channels, stride in BLOCKS:
        x = net.relu6(net.conv(x, x[1], stride=stride, pad=1, groups=x[1]))
        x = net.relu6(net.conv(x, channels, kernel=1))
    return x


def mobilenet_v1(folder):
    net = Network("mobilenet_v1", 1, 3)
    x = net.relu6(net.conv(net.input, 32, stride=2, pad=1))
    net.save(net.head(mobilenet_blocks(net, x)), 2, folder)


def blocks(folder):
    net = Network("blocks", 2, 32)
    net.save(mobilenet_blocks(net, net.input), 4, folder)


def xception(folder):
    net = Network("xception", 3, 3)
    x = net.relu(net.conv(net.input, 32, stride=2))
    x = net.relu(net.conv(x, 64))
    for channels in (128, 256, 728):
        residual = net.conv(x, channels, kernel=1, stride=2)
        # The first of these blocks follows a ReLU.
        y = x if channels == 128 else net.relu(x)
        y = net.relu(net.separable(y, channels))
        x = net.add(net.max_pool(net.separable(y, channels)), residual)
    for _ in range(8):
        y = x
        for _ in range(3):
            y = net.separable(net.relu(y), 728)
        x = net.add(y, x)
    residual = net.conv(x, 1024, kernel=1, stride=2)
    y = net.relu(net.separable(net.relu(x), 728))
    x = net.add(net.max_pool(net.separable(y, 1024)), residual)
    x = net.relu(net.separable(x, 1536))
    net.save(net.head(net.relu(net.separable(x, 2048))), 2, folder)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="to write to")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for network in (mobilenet_v1, blocks, xception):
        network(args.folder)


if __name__ == "__main__":
    main()
