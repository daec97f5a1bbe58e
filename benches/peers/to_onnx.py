"""Writes a Keras model of convolutions as ONNX.

NCHW from the input to the output, so that nothing is transposed on the way; batch norms and scales by
channel are folded into the layers in front of them (in double precision, as exporters do); padding is
explicit; a separable convolution is a depthwise one and a pointwise one, the only form that ONNX has.
Layer norm and dense layers on pixels, which ConvNeXt has, are NHWC between two transposes; GELU is made
of Erf, swish of Sigmoid and Mul: all as PyTorch's exporter writes them, and as runtimes expect them.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


class _Writer:
    """Nodes and weights as they come, and the value of each Keras operation: its name and its layout,
    "nchw", "nhwc" or "flat" (N×C)."""

    def __init__(self):
        self.nodes = []
        self.weights = []
        self.values = {}
        self.moved = {}

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

    def in_layout(self, value, layout):
        """A value's name, in the layout that is asked for."""
        name, has = value
        if has == layout:
            return name
        moved = f"{name}/{layout}"
        if moved not in self.moved:
            how = {
                ("nchw", "flat"): ("Flatten", {}),
                ("nchw", "nhwc"): ("Transpose", {"perm": [0, 2, 3, 1]}),
                ("nhwc", "nchw"): ("Transpose", {"perm": [0, 3, 1, 2]}),
            }
            op, attributes = how[has, layout]
            self.moved[moved] = self.node(op, [name], moved, **attributes)
        return self.moved[moved]

    def constant(self, op, x, number, name):
        return self.node(op, [x, self.weight(f"{name}/number", number)], name)

    def activation(self, function, x, name):
        """An activation of Keras, by its name there."""
        if function == "relu":
            return self.node("Relu", [x], name)
        if function == "sigmoid":
            return self.node("Sigmoid", [x], name)
        if function == "hard_silu":
            return self.node("HardSwish", [x], name)
        if function == "silu":
            return self.node("Mul", [x, self.node("Sigmoid", [x], f"{name}/sigmoid")], name)
        if function == "gelu":
            root = self.constant("Div", x, math.sqrt(2), f"{name}/scaled")
            erf = self.node("Erf", [root], f"{name}/erf")
            twice = self.constant("Add", erf, 1, f"{name}/twice")
            return self.constant("Mul", self.node("Mul", [x, twice], f"{name}/double"), 0.5, name)
        raise ValueError(f"{name}: no ONNX for {function}")


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
    """The layer's last kernel with outputs in the last axis, and its bias, with the batch norm or scale
    behind it."""
    kernel = np.asarray(layer.weights[-1 - layer.use_bias], dtype=np.float64)
    bias = np.asarray(layer.bias, dtype=np.float64) if layer.use_bias else None
    if norm is None:
        return kernel, bias
    if type(norm).__name__ == "LayerScale":
        scale = np.asarray(norm.gamma, dtype=np.float64)
        return kernel * scale, None if bias is None else bias * scale
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


def _conv(writer, layer, x, norm):
    """A convolution of any of the three kinds."""
    kind, name = type(layer).__name__, layer.name
    stride, window = list(layer.strides), layer.kernel_size
    pads = _pads(layer, window, stride)
    kernel, bias = _fold(layer, norm)
    if kind == "DepthwiseConv2D":
        return writer.conv(x, name, _depthwise(kernel), bias, stride, pads, kernel.shape[2])
    kernel = np.transpose(kernel, (3, 2, 0, 1))
    if kind == "Conv2D":
        return writer.conv(x, name, kernel, bias, stride, pads, layer.groups)
    taps = _depthwise(np.asarray(layer.depthwise_kernel))
    x = writer.conv(x, f"{name}_dw", taps, None, stride, pads, len(taps))
    return writer.conv(x, name, kernel, bias, [1, 1], [0] * 4)


def _dense(writer, layer, value, norm):
    """A dense layer of a picture's features, or of each pixel's channels."""
    name = layer.name
    kernel, bias = _fold(layer, norm)
    kernel, bias = writer.weight(f"{name}/kernel", kernel), writer.weight(f"{name}/bias", bias)
    if len(layer.input.shape) == 2:
        inputs = [writer.in_layout(value, "flat"), kernel, bias]
        return writer.node("Gemm", inputs, name), "flat"
    products = writer.node("MatMul", [writer.in_layout(value, "nhwc"), kernel], f"{name}/products")
    return writer.node("Add", [products, bias], name), "nhwc"


def _pool(writer, layer, x):
    kind, name = type(layer).__name__, layer.name
    if kind == "GlobalAveragePooling2D":
        return writer.node("GlobalAveragePool", [x], name)
    stride, window = list(layer.strides), list(layer.pool_size)
    pads = _pads(layer, window, stride)
    return writer.node("MaxPool", [x], name, kernel_shape=window, strides=stride, pads=pads)


def _relu(writer, layer, x):
    name = layer.name
    assert layer.negative_slope == 0 and layer.threshold == 0
    if layer.max_value is None:
        return writer.node("Relu", [x], name)
    bounds = [writer.weight(f"{name}/{bound}", bound) for bound in (0, layer.max_value)]
    return writer.node("Clip", [x, *bounds], name)


def _layer_norm(writer, layer, value):
    layout = "flat" if len(layer.input.shape) == 2 else "nhwc"
    inputs = [writer.in_layout(value, layout)]
    for weight in ("gamma", "beta"):
        inputs.append(writer.weight(f"{layer.name}/{weight}", getattr(layer, weight)))
    epsilon = layer.epsilon
    return writer.node("LayerNormalization", inputs, layer.name, axis=-1, epsilon=epsilon), layout


def _layer(writer, layer, inputs, norm):
    """Writes one layer and returns its value."""
    kind, name = type(layer).__name__, layer.name
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    value = inputs[0]
    x = lambda: writer.in_layout(value, "nchw")
    if kind in ("Conv2D", "SeparableConv2D", "DepthwiseConv2D"):
        made = _conv(writer, layer, x(), norm), "nchw"
    elif kind == "Dense":
        made = _dense(writer, layer, value, norm)
    elif kind == "Activation":
        return writer.activation(activation, value[0], name), value[1]
    elif kind == "LayerNormalization":
        return _layer_norm(writer, layer, value)
    elif kind == "ReLU":
        return _relu(writer, layer, x()), "nchw"
    elif kind in ("MaxPooling2D", "GlobalAveragePooling2D"):
        return _pool(writer, layer, x()), "nchw"
    elif kind in ("Add", "Multiply"):
        both = [writer.in_layout(value, "nchw") for value in inputs]
        return writer.node("Mul" if kind == "Multiply" else "Add", both, name), "nchw"
    else:
        raise ValueError(f"{name}: no ONNX for this {kind}")
    if activation == "linear":
        return made
    return writer.activation(activation, made[0], f"{name}/{activation}"), made[1]


def _sources(operation):
    """The operations whose outputs an operation takes."""
    tensors = operation.input if isinstance(operation.input, list) else [operation.input]
    return [tensor._keras_history.operation for tensor in tensors]


def _number(operation):
    """The number that an operation of a tensor and a number has."""
    arguments = operation._inbound_nodes[0].arguments.args
    return arguments[1] if len(arguments) == 2 and isinstance(arguments[1], float) else None


def _hard_sigmoid(operation):
    """Where relu6(x + 3) · (1 / 6) begins, as MobileNetV3 writes it, if that ends here."""
    chain = [operation]
    for _ in range(2):
        chain += _sources(chain[-1])
    kinds = [type(of).__name__ for of in chain]
    if kinds != ["Multiply", "ReLU", "Add"] or _number(chain[2]) != 3:
        return None
    assert chain[1].max_value == 6 and abs(_number(operation) * 6 - 1) < 1e-6
    return chain[2]


def _passes_on(layer):
    """Whether a layer does nothing here: the layer in front does it or the one behind, or none."""
    kind = type(layer).__name__
    if kind in ("Flatten", "Reshape"):
        assert layer.input.shape[1:-1] in ((1, 1), ()), "of one pixel"
        return True
    nothing = kind == "Activation" and layer.activation.__name__ == "linear"
    return nothing or kind in ("BatchNormalization", "LayerScale", "ZeroPadding2D", "Dropout")


def _operations(writer, model):
    """Writes a model's operations, all but the input."""
    values = writer.values
    norms = {
        _sources(layer)[0].name: layer
        for layer in model.layers
        if type(layer).__name__ in ("BatchNormalization", "LayerScale")
    }
    sigmoids = {}
    for operation in model.operations:
        if type(operation).__name__ == "Multiply" and _number(operation) is not None:
            sigmoids[operation.name] = _hard_sigmoid(operation)
    inside = {of for start in sigmoids.values() for of in (start, *_users(start))}
    for operation in model.operations:
        kind, name = type(operation).__name__, operation.name
        if kind == "InputLayer" or operation in inside and name not in sigmoids:
            continue
        if name in sigmoids:
            [source] = _sources(sigmoids[name])
            x, layout = values[source.name]
            values[name] = writer.node("HardSigmoid", [x], name, alpha=1 / 6, beta=0.5), layout
            continue
        inputs = [values[source.name] for source in _sources(operation)]
        if kind == "Sequential":
            for layer in operation.layers:
                inputs = [_layer(writer, layer, inputs, None)]
            values[name] = inputs[0]
        elif _passes_on(operation):
            values[name] = inputs[0]
        else:
            values[name] = _layer(writer, operation, inputs, norms.get(name))


def _users(operation):
    """The operations that take an operation's output."""
    return [node.operation for node in operation._outbound_nodes]


def save(model, path, nhwc=False):
    """Writes `model`; with `nhwc` its input and output are NHWC, transposed inside the graph."""
    writer = _Writer()
    _, height, width, channels = model.input_shape
    shape = [1, height, width, channels] if nhwc else [1, channels, height, width]
    [first] = [of for of in model.operations if type(of).__name__ == "InputLayer"]
    writer.values[first.name] = "input", "nhwc" if nhwc else "nchw"
    _operations(writer, model)
    [last] = [tensor._keras_history.operation for tensor in model.outputs]
    out_shape = [1, *model.output_shape[1:]]
    layout = "flat" if len(out_shape) == 2 else "nhwc" if nhwc else "nchw"
    output = writer.in_layout(writer.values[last.name], layout)
    if layout == "nchw":
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
