"""Synthetic weights and pictures by formula: the numpy twin of src/weights/synthetic.rs.

Element i (row-major) of the tensor called "layer/variable" comes from

    seed = FNV-1a-64 of the name's UTF-8 bytes
    z    = splitmix64's mix of (seed + (i + 1) * 0x9E3779B97F4A7C15), all modulo 2^64
    u    = (z >> 40) / 2^23 - 1                      24 bits: exact, in [-1, 1)

and is scaled in float64, then rounded to float32:

    kernel                                        sqrt(6 / fan_in) * u
    depthwise_kernel, pointwise_kernel            sqrt(3 / fan_in) * u
    gamma                                         1 + 0.1 u
    moving_variance                               1 + 0.3 u
    bias, beta, moving_mean                       0.1 u
    input/<size>                                  u

fan_in is kh*kw*C/groups of a convolution, kh*kw of a depthwise one, C of a dense layer. The 6 is He's uniform
limit, which keeps the variance of a layer behind a ReLU. A separable convolution's two kernels get 3 each, so
that the layer halves the variance behind a ReLU: Xception's twelve residual sums then grow slowly.
"""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def fnv1a(name):
    """64-bit FNV-1a of a name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


def mix(z):
    """splitmix64's output function on an array of uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(name, count):
    """`count` float64 values in [-1, 1)."""
    with np.errstate(over="ignore"):
        z = mix(np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def indices(name, count, length):
    """`count` positions below `length`: 24 random bits scaled down."""
    with np.errstate(over="ignore"):
        z = mix(np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)
    return [int(v) * length >> 24 for v in (z >> np.uint64(40))]


def tensor(layer, variable, shape):
    """One weight tensor as float32."""
    u = uniform(f"{layer}/{variable}", int(np.prod(shape)))
    if variable == "depthwise_kernel":
        value = np.sqrt(3.0 / (shape[0] * shape[1])) * u
    elif variable == "pointwise_kernel":
        value = np.sqrt(3.0 / int(np.prod(shape[:-1]))) * u
    elif variable == "kernel":
        value = np.sqrt(6.0 / int(np.prod(shape[:-1]))) * u
    elif variable == "gamma":
        value = 1.0 + 0.1 * u
    elif variable == "moving_variance":
        value = 1.0 + 0.3 * u
    elif variable in ("bias", "beta", "moving_mean"):
        value = 0.1 * u
    else:
        raise ValueError(f"no formula for {layer}/{variable}")
    return value.astype(np.float32).reshape(shape)


def picture(size):
    """The input picture [1, size, size, 3]."""
    return uniform(f"input/{size}", size * size * 3).astype(np.float32).reshape(1, size, size, 3)


def layers(model):
    """The layers of a model and of the models in it, each with the name that sepconv gives it: the Keras
    name, behind the model's where an earlier layer has it."""
    taken = set()

    def walk(model, prefix):
        for layer in model.layers:
            if hasattr(layer, "layers"):
                yield from walk(layer, f"{prefix}{layer.name}/")
            else:
                name = prefix + layer.name if layer.name in taken else layer.name
                taken.add(name)
                yield name, layer

    return list(walk(model, ""))


def variable_name(layer, variable):
    """sepconv calls a depthwise layer's kernel what Keras 2 called it."""
    depthwise = type(layer).__name__ == "DepthwiseConv2D" and variable.name == "kernel"
    return "depthwise_kernel" if depthwise else variable.name


def fill(model):
    """Gives every variable of a Keras model its synthetic value."""
    for name, layer in layers(model):
        for variable in layer.weights:
            value = tensor(name, variable_name(layer, variable), tuple(variable.shape))
            variable.assign(value)
