"""Arrays: what is taken, and the dense memory behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _sepconv

if TYPE_CHECKING:
    # At run time it would take longer to import than all of this package.
    from numpy.typing import NDArray

MOST_THREADS = 1024


def checked_threads(threads: int | None) -> int:
    """The number itself, or that of the CPUs that the process may use."""
    if threads is None:
        return _sepconv.available_threads()
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads: expected 1 to {MOST_THREADS}, got {threads}")
    return int(threads)


def dense(x: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """`x` itself if its elements are of `dtype` and lie as those of a new array would; else a copy."""
    flags = x.flags
    if x.dtype == dtype and flags.c_contiguous and flags.aligned:
        return x
    return np.array(x, dtype=dtype, order="C")


def input_array(x: Any, quantization: tuple[float, int] | None) -> NDArray[np.float32]:
    """The numbers of a model's input, float32 in C order: `x` itself if it is such an array.

    Integers of 8 bits are what a model whose input is quantized by (scale, zero point) rounds its
    input to: with int8, the zero point is 128 less.
    """
    x = np.asarray(x)
    dtype = x.dtype
    if dtype == np.float32 or dtype.kind == "f" or dtype.name == "bfloat16":
        return dense(x, np.float32)
    if quantization is None:
        raise ValueError(
            f"x: expected floating-point numbers, got {dtype}; convert with x.astype(\"float32\")"
        )
    if dtype != np.uint8 and dtype != np.int8:
        raise ValueError(f"x: expected floating-point numbers, uint8 or int8, got {dtype}")
    scale, zero_point = quantization
    integers = x.astype(np.float32)
    integers -= np.float32(zero_point - (128 if dtype == np.int8 else 0))
    integers *= np.float32(scale)
    return dense(integers, np.float32)


def check_out(out: Any, shape: tuple[int, ...], dtype: Any, x: NDArray[Any]) -> None:
    """Raises unless `out` can be written as it is."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected a numpy.ndarray, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        name = np.dtype(dtype).name
        raise ValueError(
            f"out: expected {name} of shape {shape}, got {out.dtype.name} of shape {out.shape}"
        )
    flags = out.flags
    if not (flags.c_contiguous and flags.aligned and flags.writeable):
        raise ValueError("out: expected a writeable array in C order")
    if np.may_share_memory(x, out):
        raise ValueError("out: shares memory with the input")
