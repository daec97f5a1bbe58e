"""Times of functions, taken in turns."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, NamedTuple

import numpy as np


class Record(NamedTuple):
    """What one contender took."""

    #: Its name.
    name: str
    #: The shape of the input.
    shape: tuple[int, ...]
    #: How often it ran.
    runs: int
    #: Seconds of a run: the median.
    median: float
    #: The shortest.
    shortest: float
    #: The median of the ratios of its runs to the first contender's of the same turn.
    ratio: float


def bench(
    contenders: Mapping[str, Callable[[Any], object]] | Callable[[Any], object],
    x: Any,
    *,
    seconds: float = 2.0,
    warm_up: int = 2,
) -> list[Record]:
    """Times functions of `x` in turns, so that what else the machine does meets all of them alike.

    :param contenders: functions by name, such as models, layers, and what calls other libraries;
        or one of them.
    :param x: their input.
    :param seconds: how long all of them run together. Each runs at least 3 times.
    :param warm_up: runs of each before, which are not timed.
    :returns: a record for each, in order; the ratio of the first is 1.

    >>> one, two = bench({"sum": np.sum, "product": np.prod}, np.ones(1000), seconds=0.01)
    >>> one.name, one.ratio
    ('sum', 1.0)
    """
    if not isinstance(contenders, Mapping):
        contenders = {getattr(contenders, "name", type(contenders).__name__): contenders}
    if not contenders:
        raise ValueError("contenders: expected at least 1, got none")
    for run in contenders.values():
        for _ in range(warm_up):
            run(x)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + seconds
    turns = 0
    while turns < 3 or time.perf_counter() < end:
        for name, run in contenders.items():
            start = time.perf_counter()
            run(x)
            times[name].append(time.perf_counter() - start)
        turns += 1
    first = next(iter(times.values()))
    shape = tuple(getattr(x, "shape", ()))
    return [
        Record(
            name=name,
            shape=shape,
            runs=turns,
            median=float(np.median(own)),
            shortest=min(own),
            ratio=float(np.median(np.divide(own, first))),
        )
        for name, own in times.items()
    ]
