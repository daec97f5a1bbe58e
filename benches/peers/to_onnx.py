"""Writes a Keras model of convolutions as ONNX.

NCHW from the input to the output, so that nothing is transposed on the way; batch norms are folded
into the convolutions in front of them (in double precision, as exporters do); padding is explicit;
a separable convolution is a depthwise one and a pointwise one, the only form that ONNX has. The
result has no operators but Conv, Relu, Clip, MaxPool, Add, GlobalAveragePool, Flatten and Gemm.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


class _Writer:
    """Nodes and weights as they come."""

    def __init__(self):
        self.nodes = []
        self.weights = []

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name, value):
        value = np.asarray(value, dtype=np.float32, order="C")
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def conv(self, x, name, kernel, bias, stride, pads, groups=1):
        """kernel: (out, in / groups, height, width)."""
        inputs = [x, self.weight(f"{name}/kernel", kernel)]
        if bias is not None:
            inputs.append(self.weight(f"{name}/bias", bias))
        return self.node(
            "Conv",
            inputs,
            name,
            kernel_shape=kernel.shape[2:],
            strides=stride,
            pads=pads,
            group=groups,
        )


def _pads(layer, kernel, stride):
    """[top, left, bottom, right] as Keras pads, by the layer or by one of zeros in front of it."""
    if layer.padding == "valid":
        [source] = _sources(layer)
        if type(source).__name__ == "ZeroPadding2D":
            (top, bottom), (left, right) = source.padding
            return [top, left, bottom, right]
        return [0] * 4
    before, after = [], []
    for size, k, s in zip(layer.input.shape[1:3], kernel, stride):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    return before + after


def _fold(layer, norm):
    """The layer's last kernel with outputs in the last axis, and its bias, batch norm included."""
    kernel = np.asarray(layer.weights[-1 - layer.use_bias], dtype=np.float64)
    bias = np.asarray(layer.bias, dtype=np.float64) if layer.use_bias else None
    if norm is None:
        return kernel, bias
    variance, mean, beta, gamma = (
        np.asarray(v, dtype=np.float64)
        for v in (norm.moving_variance, norm.moving_mean, norm.beta, norm.gamma)
    )
    scale = gamma / np.sqrt(variance + norm.epsilon)
    if type(layer).__name__ == "DepthwiseConv2D":
        kernel = kernel * scale[:, None]  # (height, width, channels, 1)
    else:
        kernel = kernel * scale
    return kernel, beta + ((0 if bias is None else bias) - mean) * scale


def _depthwise(kernel):
    """Keras's (height, width, channels, 1) as (channels, 1, height, width)."""
    assert kernel.shape[3] == 1, "no multiplier"
    return np.transpose(kernel, (2, 3, 0, 1))


def _layer(writer, layer, inputs, norm):
    """Writes one layer and returns the name of its output."""
    kind, name = type(layer).__name__, layer.name
    if kind in ("Conv2D", "SeparableConv2D", "DepthwiseConv2D"):
        stride, window = list(layer.strides), layer.kernel_size
        pads = _pads(layer, window, stride)
        if kind == "DepthwiseConv2D":
            kernel, bias = _fold(layer, norm)
            groups = kernel.shape[2]
            return writer.conv(inputs[0], name, _depthwise(kernel), bias, stride, pads, groups)
        kernel, bias = _fold(layer, norm)
        kernel = np.transpose(kernel, (3, 2, 0, 1))
        if kind == "Conv2D":
            return writer.conv(inputs[0], name, kernel, bias, stride, pads)
        taps = _depthwise(np.asarray(layer.depthwise_kernel))
        x = writer.conv(inputs[0], f"{name}_dw", taps, None, stride, pads, len(taps))
        return writer.conv(x, name, kernel, bias, [1, 1], [0] * 4)
    if kind == "Activation" and layer.activation.__name__ == "relu":
        return writer.node("Relu", inputs, name)
    if kind == "ReLU":
        assert layer.negative_slope == 0 and layer.threshold == 0
        bounds = [writer.weight(f"{name}/{bound}", bound) for bound in (0, layer.max_value)]
        return writer.node("Clip", inputs + bounds, name)
    if kind == "MaxPooling2D":
        stride, window = list(layer.strides), list(layer.pool_size)
        pads = _pads(layer, window, stride)
        return writer.node(
            "MaxPool", inputs, name, kernel_shape=window, strides=stride, pads=pads
        )
    if kind == "Add":
        return writer.node("Add", inputs, name)
    if kind == "GlobalAveragePooling2D":
        x = writer.node("GlobalAveragePool", inputs, f"{name}_4d")
        return x if layer.keepdims else writer.node("Flatten", [x], name)
    if kind == "Reshape" and len(layer.target_shape) == 1:
        assert layer.input.shape[1:3] == (1, 1)
        return writer.node("Flatten", inputs, name)
    if kind == "Dense":
        kernel = writer.weight(f"{name}/kernel", layer.kernel)
        bias = writer.weight(f"{name}/bias", layer.bias)
        x = writer.node("Gemm", [inputs[0], kernel, bias], name)
        if layer.activation.__name__ == "linear":
            return x
    raise ValueError(f"{name}: no ONNX for this {kind}")


def _sources(layer):
    """The layers whose outputs a layer takes."""
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in tensors]


def _passes_on(layer):
    """Whether a layer does nothing here: the convolution in front does it or the one behind, or none."""
    kind = type(layer).__name__
    nothing = kind == "Activation" and layer.activation.__name__ == "linear"
    return nothing or kind in ("BatchNormalization", "ZeroPadding2D", "Dropout")


def save(model, path, nhwc=False):
    """Writes `model`; with `nhwc` its input and output are NHWC, transposed inside the graph."""
    writer = _Writer()
    norms = {
        _sources(layer)[0].name: layer
        for layer in model.layers
        if type(layer).__name__ == "BatchNormalization"
    }
    _, height, width, channels = model.input_shape
    shape = [1, channels, height, width]
    values = {}
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "InputLayer":
            values[layer.name] = "input"
            if nhwc:
                shape = [1, height, width, channels]
                values[layer.name] = writer.node("Transpose", ["input"], "nchw", perm=[0, 3, 1, 2])
            continue
        inputs = [values[source.name] for source in _sources(layer)]
        if _passes_on(layer):
            values[layer.name] = inputs[0]
        else:
            values[layer.name] = _layer(writer, layer, inputs, norms.get(layer.name))
    output = values[model.layers[-1].name]
    out_shape = [1, *model.output_shape[1:]]
    if nhwc:
        output = writer.node("Transpose", [output], "nhwc", perm=[0, 2, 3, 1])
    elif len(out_shape) == 4:
        out_shape = [1, out_shape[3], *out_shape[1:3]]
    graph = helper.make_graph(
        writer.nodes,
        model.name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, out_shape)],
        writer.weights,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
