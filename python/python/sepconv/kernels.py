"""Single layers on arrays: weights packed once, plans made for each shape when it first comes.

>>> import numpy as np
>>> from sepconv import kernels
>>> rng = np.random.default_rng(0)
>>> layer = kernels.Separable(
...     rng.standard_normal((3, 3, 64, 1), dtype="float32"),     # as Keras's SeparableConv2D
...     rng.standard_normal((64, 128), dtype="float32"),
...     activation="relu",
... )
>>> layer(np.zeros((1, 19, 19, 64), "float32")).shape
(1, 19, 19, 128)

Every output is one chain of fused multiply-adds: bias, then taps and channels ascending. So results
have the same bits on every CPU and any number of threads. Padding is left out of sums.

All layers take these keyword arguments:

- ``bias``: (O,), float32.
- ``stride``, ``dilation``: a number, or one for the height and one for the width.
- ``padding``: ``"same"`` or ``"valid"`` as in Keras, a number, or (top, bottom, left, right).
- ``activation``: applied to the output; a name as in Keras, such as ``"relu"``, ``"relu6"``,
  ``"silu"`` or ``"gelu"``, or the bounds (lo, hi) of a clamp. ``input_activation``: applied to the
  input before.
- ``dtype``: of inputs, ``"float32"``, ``"float16"`` or ``"bfloat16"`` (of the package ml_dtypes).
  ``out_dtype``: of outputs and residuals, by default the same. Weights have the type of their
  array. All arithmetic is f32; an output is rounded once.
- ``level``, ``arithmetic``, ``amx``, ``threads``: as of `sepconv.Model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from . import _sepconv
from ._arrays import check_out, checked_threads, dense

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Conv", "Depthwise", "Pointwise", "Separable"]

# Of numpy's dtypes, those of the kernels.
_NAMES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_MOST_PLANS = 16


class _Layer:
    """What all layers do: see the module."""

    __slots__ = ("_arguments", "_dtype", "_out_dtype", "_packed", "_plans")

    def __init__(
        self,
        weights: Sequence[NDArray[Any]],
        bias: ArrayLike | None,
        description: dict[str, Any],
        *,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = "same",
        input_activation: str | tuple[float, float] | None = None,
        activation: str | tuple[float, float] | None = None,
        dtype: Any = "float32",
        out_dtype: Any = None,
        level: str | None = None,
        arithmetic: str = "exact",
        amx: bool = False,
        threads: int | None = None,
    ) -> None:
        self._dtype = _dtype(dtype, "dtype")
        self._out_dtype = self._dtype if out_dtype is None else _dtype(out_dtype, "out_dtype")
        if bias is not None:
            bias = dense(np.asarray(bias), np.float32)
            if bias.shape != (description["channels_out"],):
                expected = (description["channels_out"],)
                raise ValueError(f"bias: expected shape {expected}, got {bias.shape}")
        description = {
            "multiplier": 1,
            "groups": 1,
            "mid_activation": "linear",
            **description,
            "stride": _pair(stride, "stride"),
            "dilation": _pair(dilation, "dilation"),
            "padding": _padding(padding),
            "input_activation": input_activation or "linear",
            "activation": activation or "linear",
            "input_type": _NAMES[self._dtype.name],
            "output_type": _NAMES[self._out_dtype.name],
            "weights_type": _NAMES[weights[0].dtype.name],
            "level": level,
            "arithmetic": arithmetic,
            "amx": bool(amx),
            "threads": checked_threads(threads),
        }
        self._restore(weights, bias, description)

    def _restore(
        self, weights: Sequence[NDArray[Any]], bias: Any, description: dict[str, Any]
    ) -> None:
        self._arguments = (weights, bias, description)
        flat = [_bits(array).reshape(-1) for array in weights]
        self._packed = _sepconv.PackedLayer(description, flat, bias)
        self._plans: dict[tuple[int, ...], _sepconv.LayerPlan] = {}

    def plan(self, shape: Sequence[int]) -> _sepconv.LayerPlan:
        """The plan for inputs of shape N×H×W×C, which tells ``output_shape()``, ``kernel_name()``,
        ``level()``, ``multiply_adds()`` and ``weights_bytes()``."""
        shape = tuple(shape)
        plan = self._plans.get(shape)
        if plan is None:
            channels = self._arguments[2]["channels_in"]
            if len(shape) != 4 or shape[3] != channels:
                raise ValueError(
                    f"x: expected an array of shape N×H×W×{channels}, got {list(shape)}"
                )
            plan = self._packed.plan(shape[:3])
            while len(self._plans) >= _MOST_PLANS:
                self._plans.pop(list(self._plans)[0], None)
            self._plans[shape] = plan
        return plan

    def __call__(
        self,
        x: ArrayLike,
        *,
        residual: NDArray[Any] | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Computes activation(layer(x) + residual).

        :param x: N×H×W×C of the layer's dtype; other strides than those of C order are copied.
        :param residual: of the output's shape and dtype.
        :param out: the array to write and return, in C order.
        """
        x = _operand(x, self._dtype, "x")
        plan = self.plan(x.shape)
        shape = plan.output_shape()
        if residual is not None:
            residual = _operand(residual, self._out_dtype, "residual")
            if residual.shape != shape:
                raise ValueError(f"residual: expected shape {shape}, got {residual.shape}")
        if out is None:
            out = np.empty(shape, self._out_dtype)
        else:
            check_out(out, shape, self._out_dtype, x)
            if residual is not None and np.may_share_memory(residual, out):
                raise ValueError("out: shares memory with the residual")
        plan.run(
            _bits(x).reshape(-1),
            None if residual is None else _bits(residual).reshape(-1),
            _bits(out).reshape(-1),
        )
        return out

    def __repr__(self) -> str:
        description = self._arguments[2]
        channels = f"{description['channels_in']} → {description['channels_out']}"
        kernel = "×".join(map(str, description["kernel"]))
        return f"<sepconv.kernels.{type(self).__name__} {kernel}, {channels}>"

    def __getstate__(self) -> Any:
        return self._arguments, self._dtype, self._out_dtype

    def __setstate__(self, state: Any) -> None:
        arguments, self._dtype, self._out_dtype = state
        self._restore(*arguments)


class Depthwise(_Layer):
    """A depthwise convolution: each channel by M kernels of its own.

    :param weights: KH×KW×C×M, or KH×KW×C for M = 1. The output has C·M channels, those of a channel
        together.

    >>> layer = Depthwise(np.ones((3, 3, 2), "float32"), padding="valid")
    >>> layer(np.ones((1, 3, 3, 2), "float32"))
    array([[[[9., 9.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self, weights: ArrayLike, bias: ArrayLike | None = None, **options: Any
    ) -> None:
        weights = _weights(weights, "weights")
        kh, kw, channels, multiplier = _depthwise_shape(weights, "weights")
        description = {
            "kind": "depthwise",
            "channels_in": channels,
            "channels_out": channels * multiplier,
            "kernel": (kh, kw),
            "multiplier": multiplier,
        }
        super().__init__([weights], bias, description, **options)


class Pointwise(_Layer):
    """A 1×1 convolution: every pixel times a matrix.

    :param weights: C×O, or 1×1×C×O.

    >>> layer = Pointwise(np.array([[1, 10], [100, 1000]], "float32"))
    >>> layer(np.array([[[[1, 2]]]], "float32"))
    array([[[[ 201., 2010.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self, weights: ArrayLike, bias: ArrayLike | None = None, **options: Any
    ) -> None:
        for name in ("padding", "dilation"):
            if name in options:
                raise TypeError(f"a pointwise convolution takes no {name}")
        weights = _matrix(_weights(weights, "weights"), "weights")
        channels, out = weights.shape
        description = {
            "kind": "pointwise",
            "channels_in": channels,
            "channels_out": out,
            "kernel": (1, 1),
        }
        super().__init__([weights], bias, description, **options)


class Separable(_Layer):
    """A depthwise convolution and a pointwise one behind it, in one pass.

    :param depthwise: KH×KW×C×M, or KH×KW×C for M = 1.
    :param pointwise: C·M×O, or 1×1×C·M×O, of the same dtype.
    :param mid_activation: applied between them.

    >>> ones = np.ones((3, 3, 2), "float32")
    >>> layer = Separable(ones, np.array([[1, 10], [100, 1000]], "float32"), padding="valid")
    >>> layer(np.ones((1, 3, 3, 2), "float32"))
    array([[[[ 909., 9090.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        depthwise: ArrayLike,
        pointwise: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        mid_activation: str | tuple[float, float] | None = None,
        **options: Any,
    ) -> None:
        depthwise = _weights(depthwise, "depthwise")
        pointwise = _matrix(_weights(pointwise, "pointwise"), "pointwise")
        kh, kw, channels, multiplier = _depthwise_shape(depthwise, "depthwise")
        if pointwise.shape[0] != channels * multiplier:
            expected = channels * multiplier
            raise ValueError(f"pointwise: expected {expected}×O, got shape {pointwise.shape}")
        if depthwise.dtype != pointwise.dtype:
            raise ValueError(
                f"pointwise: expected {depthwise.dtype.name} as depthwise, "
                f"got {pointwise.dtype.name}"
            )
        description = {
            "kind": "separable",
            "channels_in": channels,
            "channels_out": pointwise.shape[1],
            "kernel": (kh, kw),
            "multiplier": multiplier,
            "mid_activation": mid_activation or "linear",
        }
        super().__init__([depthwise, pointwise], bias, description, **options)


class Conv(_Layer):
    """A standard convolution, or a grouped one.

    :param weights: KH×KW×(C/groups)×O.

    >>> layer = Conv(np.ones((2, 2, 3, 1), "float32"), padding="valid")
    >>> layer(np.ones((1, 2, 2, 3), "float32"))
    array([[[[12.]]]], dtype=float32)
    """

    __slots__ = ()

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        groups: int = 1,
        **options: Any,
    ) -> None:
        weights = _weights(weights, "weights")
        if weights.ndim != 4:
            raise ValueError(f"weights: expected KH×KW×(C/groups)×O, got shape {weights.shape}")
        kh, kw, channels, out = weights.shape
        description = {
            "kind": "conv",
            "channels_in": channels * groups,
            "channels_out": out,
            "kernel": (kh, kw),
            "groups": groups,
        }
        super().__init__([weights], bias, description, **options)


def _dtype(dtype: Any, what: str) -> np.dtype[Any]:
    if dtype == "bfloat16":
        # numpy knows it by name once this is imported.
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    dtype = np.dtype(dtype)
    if dtype.name not in _NAMES or not dtype.isnative:
        raise ValueError(f"{what}: expected float32, float16 or bfloat16, got {dtype}")
    return dtype


def _bits(x: NDArray[Any]) -> NDArray[Any]:
    """Numbers of 16 bits as integers: the compiled part has no other type for them."""
    return x if x.dtype == np.float32 else x.view(np.uint16)


def _operand(x: Any, dtype: np.dtype[Any], what: str) -> NDArray[Any]:
    x = np.asarray(x)
    if x.dtype != dtype:
        raise ValueError(
            f"{what}: expected {dtype.name}, got {x.dtype.name}; convert with "
            f'{what}.astype("{dtype.name}")'
        )
    return dense(x, dtype)


def _weights(weights: Any, what: str) -> NDArray[Any]:
    weights = np.asarray(weights)
    name = weights.dtype.name
    if name in _NAMES:
        return dense(weights, weights.dtype.newbyteorder("="))
    if weights.dtype.kind != "f":
        raise ValueError(f"{what}: expected floating-point numbers, got {name}")
    return dense(weights, np.float32)


def _depthwise_shape(weights: NDArray[Any], what: str) -> tuple[int, ...]:
    if weights.ndim == 3:
        return (*weights.shape, 1)
    if weights.ndim == 4:
        return weights.shape
    raise ValueError(f"{what}: expected KH×KW×C×M or KH×KW×C, got shape {weights.shape}")


def _matrix(weights: NDArray[Any], what: str) -> NDArray[Any]:
    if weights.ndim == 4 and weights.shape[:2] == (1, 1):
        return weights[0, 0]
    if weights.ndim == 2:
        return weights
    raise ValueError(f"{what}: expected C×O or 1×1×C×O, got shape {weights.shape}")


def _pair(value: int | Sequence[int], what: str) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(n < 1 for n in pair):
        raise ValueError(f"{what}: expected 1 or 2 numbers, each at least 1, got {value}")
    return pair


def _padding(padding: str | int | Sequence[int]) -> str | tuple[int, ...]:
    if isinstance(padding, str):
        return padding
    sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    if len(sides) != 4 or any(n < 0 for n in sides):
        raise ValueError(
            f'padding: expected "same", "valid", or 1 or 4 numbers of pixels, got {padding}'
        )
    return sides
