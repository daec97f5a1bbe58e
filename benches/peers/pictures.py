#!/usr/bin/env python3
"""Draws a record of measure.py: xception.svg, layers.svg and roofline.svg.

Records keep the numbers; pictures can be drawn again at any time. layers.svg of one record is the README's picture, in
assets/. Bars and points are medians; a line beside them has the range of the rounds.
"""

import argparse
import json
import math
from pathlib import Path

from layers import KINDS
from record import SHOWN
from svg import Picture, number, room

ROOT = Path(__file__).resolve().parents[2]
OURS = "sepconv"
# The runtimes in the order in which they are drawn, and their classes in the style.
CLASSES = {
    OURS: "ours",
    "ONNX Runtime": "onnx-runtime",
    "OpenVINO": "openvino",
    "LiteRT (XNNPACK)": "litert",
    "PyTorch": "pytorch",
    "rten": "rten",
    "tract": "tract",
    "candle": "candle",
    "burn": "burn",
}
PLAIN = "ONNX Runtime, NCHW kernels"
WIDTH, MARGIN = 830, 20


def threads_text(threads):
    return f"{threads} thread" + "s" * (int(threads) > 1)


def runtimes(subject):
    """A layer's or a network's results, ONNX Runtime's in the faster of its two configurations."""
    found = dict(subject["runtimes"])
    plain = found.pop(PLAIN, None)
    if plain and plain["median_ms"] < found["ONNX Runtime"]["median_ms"]:
        found["ONNX Runtime"] = plain
    return {name: found[name] for name in CLASSES if name in found}


def by_threads(record, subject):
    """A subject's results, by the number of threads."""
    found = sorted(record["threads"].items(), key=lambda item: int(item[0]))
    return [(threads, subjects[subject]) for threads, subjects in found if subject in subjects]


def headed(record, title, *notes):
    """A picture with a title and quiet lines below it, and where the rest begins."""
    picture = Picture(WIDTH)
    picture.text(MARGIN, 34, title, "title")
    machine = record["machine"]
    kind = f", family {machine['family']}, model {machine['model']}" if machine.get("family") else ""
    lines = [f"{machine['cpu']}{kind}, {record['date']}, f32, batch 1", *notes]
    if "as_level" in record:
        lines.insert(1, SHOWN[record["as_level"]])
    y = 40
    for line in lines:
        y += 20
        picture.text(MARGIN, y, line, "small quiet")
    return picture, y + 20


def steps(most, ticks):
    """Round numbers from 0 to at least `most`, at most `ticks` steps."""
    power = 10 ** math.floor(math.log10(most / ticks))
    step = next(m * power for m in (1, 2, 5, 10) if m * power * ticks >= most)
    return [i * step for i in range(math.ceil(most / step - 1e-9) + 1)]


def ratio(result):
    """Its time ÷ sepconv's in the same rounds: the median, the least and the largest."""
    if "ours_over_it" not in result:
        return 1.0, 1.0, 1.0
    low, high = result["ours_over_it_range"]
    return 1 / result["ours_over_it"], 1 / high, 1 / low


def milliseconds(result):
    """With three digits at least."""
    ms = result["median_ms"]
    return f"{ms:.{0 if ms >= 100 else 1 if ms >= 10 else 2}f} ms"


def draw_xception(record, folder):
    """A panel for each number of threads and each subject."""
    panels = [
        (subject, title + threads_text(threads))
        for title, name in (("", "network"), ("Rust engines, ", "engines"))
        for threads, subject in by_threads(record, name)
    ]
    if not panels:
        return
    picture, top = headed(
        record,
        "Xception 299×299",
        "Time ÷ sepconv's in the same rounds: less is faster. Lines: the range of the rounds.",
    )
    for subject, title in panels:
        top = times(picture, subject, title, top)
    picture.save(folder / "xception.svg", top)


def times(picture, subject, title, top):
    """Bars of time ÷ sepconv's in the same rounds, the fastest on top; returns where they end.

    Milliseconds stand beside: their quotients need not be the ratios, which are medians of quotients."""
    results = sorted(runtimes(subject).items(), key=lambda item: ratio(item[1])[0])
    left, right, bar = MARGIN + 170, WIDTH - 240, 28
    ticks = steps(max(ratio(result)[2] for _, result in results), 6)
    x = lambda value: left + (right - left) * value / ticks[-1]
    picture.text(MARGIN, top + 20, title, "strong")
    first = top + 34
    bottom = first + bar * len(results)
    for tick in ticks:
        picture.line([(x(tick), first), (x(tick), bottom)], "grid")
        picture.text(x(tick), bottom + 18, f"{tick:g}×", "small quiet middle")
    for i, (name, result) in enumerate(results):
        y = first + bar * i
        median, low, high = ratio(result)
        picture.text(left - 10, y + 19, name, "end strong" if name == OURS else "end")
        picture.rectangle(left, y + 4, x(median) - left, bar - 8, CLASSES[name])
        if name == OURS:
            text = f"{milliseconds(result)}, {100 * result['peak_share']:.0f} % of the peak"
        else:
            picture.range((x(low), y + bar / 2), (x(high), y + bar / 2))
            text = f"{median:.2f}×, {milliseconds(result)}"
        picture.text(max(x(median), x(high)) + 12, y + 19, text, "strong" if name == OURS else "")
    return bottom + 34


def draw_layers(record, folder):
    """A picture for each number of threads: share of the peak, a panel for each kind of layer."""
    for i, (threads, subject) in enumerate(by_threads(record, "layers")):
        names = list(runtimes(subject["layers"][0]))
        picture, top = headed(
            record,
            f"Single layers: % of the FMA peak, {threads_text(threads)}",
            "Taller is faster. Lines: the range of the rounds. ONNX Runtime and OpenVINO: from NCHW to NCHW.",
        )
        picture.legend(MARGIN, top + 14, [(CLASSES[name], name) for name in names])
        top += 34
        for kind, title in KINDS.items():
            layers = [layer for layer in subject["layers"] if layer["kind"] == kind]
            top = shares(picture, layers, names, title, top)
        picture.save(folder / ("layers.svg" if i == 0 else f"layers-{threads}-threads.svg"), top)


def described(layer):
    """What stands below a layer's bars, in two lines: from `147²·64→128 /2`."""
    size, _, channels = layer["label"].partition("²·")
    channels, _, stride = channels.partition(" /")
    return f"{size}×{size}", channels.replace("→", " → ") + f", stride {stride}" * bool(stride)


def shares(picture, layers, names, title, top):
    """Bars of a kind of layer; returns where they end."""
    left, height = MARGIN + 40, 150
    # By time alone: the machine's clock moves, so the peak is that of the bar.
    spread = lambda r: [100 * r["peak_share"] * r["median_ms"] / ms for ms in r["round_medians_ms"]]
    ticks = steps(max(max(spread(r)) for layer in layers for r in runtimes(layer).values()), 5)
    picture.text(MARGIN, top + 22, title[0].upper() + title[1:], "strong")
    first = top + 44
    bottom = first + height
    y = lambda value: bottom - height * value / ticks[-1]
    for tick in ticks:
        picture.line([(left, y(tick)), (WIDTH - MARGIN, y(tick))], "grid")
        picture.text(left - 8, y(tick) + 5, f"{tick:g}", "small quiet end")
    group = (WIDTH - MARGIN - left) / len(layers)
    bar = 0.8 * group / len(names)
    for i, layer in enumerate(layers):
        start = left + group * i + 0.1 * group
        for j, name in enumerate(names):
            result = runtimes(layer)[name]
            value, x = 100 * result["peak_share"], start + bar * j
            picture.rectangle(x, y(value), bar - 2, bottom - y(value), CLASSES[name])
            middle, (low, high) = x + bar / 2 - 1, (min(spread(result)), max(spread(result)))
            picture.range((middle, y(low)), (middle, y(high)))
            if name == OURS:
                picture.text(middle, y(high) - 8, f"{value:.0f}", "strong middle")
        for line, text in enumerate(described(layer)):
            picture.text(start + 0.4 * group, bottom + 20 + 19 * line, text, "middle")
    return bottom + 50


class Scale:
    """Both axes of a logarithmic diagram."""

    def __init__(self, across, up, box):
        self.across, self.up = across, up
        self.left, self.top, self.right, self.bottom = box

    def x(self, value):
        return self.left + (self.right - self.left) * math.log(value / self.across[0]) / math.log(
            self.across[1] / self.across[0])

    def y(self, value):
        return self.bottom - (self.bottom - self.top) * math.log(value / self.up[0]) / math.log(
            self.up[1] / self.up[0])

    def grid(self, picture):
        for low, high, is_x in (*self.across, True), (*self.up, False):
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for tick in (m * 10.0**power for power in powers for m in (1, 2, 5)):
                if low <= tick <= high and is_x:
                    picture.line([(self.x(tick), self.top), (self.x(tick), self.bottom)], "grid")
                    picture.text(self.x(tick), self.bottom + 20, f"{tick:g}", "small quiet middle")
                elif low <= tick <= high:
                    picture.line([(self.left, self.y(tick)), (self.right, self.y(tick))], "grid")
                    picture.text(self.left - 8, self.y(tick) + 5, f"{tick:g}", "small quiet end")


CORNERS = {"pw": [(-1, -1), (1, -1), (1, 1), (-1, 1)], "sep": [(0, -1.2), (1.2, 1), (-1.2, 1)]}


def mark(picture, kind, x, y, size, classes):
    """A circle, a square or a triangle, as the kind of the layer is."""
    if kind == "dw":
        picture.element("circle", cx=x, cy=y, r=size, classes=classes)
    else:
        points = " ".join(f"{number(x + size * a)},{number(y + size * b)}" for a, b in CORNERS[kind])
        picture.element("polygon", points=points, classes=classes)


def draw_roofline(record, folder):
    """The layers under the peak and the bandwidths, with fewest threads: sepconv's and its peers'."""
    measured = by_threads(record, "layers")
    if not measured:
        return
    threads, subject = measured[0]
    peak = subject["peak_gflops"]
    roofs = {"memory": subject["bandwidth_gbytes"], **subject.get("cache_bandwidth_gbytes", {})}
    layers = [(2 * layer["multiply_adds"] / layer["bytes"], layer) for layer in subject["layers"]]
    picture, top = headed(
        record,
        f"Roofline of single layers, {threads_text(threads)}",
        "A layer's values and weights may lie in a cache: each roof is for those that lie there.",
    )
    names = list(runtimes(subject["layers"][0]))
    picture.legend(MARGIN, top + 14, [(CLASSES[name], name) for name in names])
    across = min(i for i, _ in layers) / 2, max(i for i, _ in layers) * 1.4
    lowest = min(r["peak_share"] for _, layer in layers for r in runtimes(layer).values()) * peak
    scale = Scale(across, (lowest / 2, peak * 1.25), (MARGIN + 48, top + 86, WIDTH - MARGIN, top + 546))
    kinds_at = MARGIN
    for kind, title in KINDS.items():
        mark(picture, kind, kinds_at + 8, top + 36, 6, "promised")
        picture.text(kinds_at + 22, top + 42, title)
        kinds_at += 22 + room(title) + 24
    scale.grid(picture)
    draw_roofs(picture, scale, peak, roofs)
    for intensity, layer in layers:
        # A point's height is its share of the peak beside it: the machine's clock moves.
        for name, result in reversed(runtimes(layer).items()):
            classes = CLASSES[name] if name == OURS else f"hollow {CLASSES[name]}"
            place = scale.x(intensity), scale.y(result["peak_share"] * peak)
            mark(picture, layer["kind"], *place, 7 if name == OURS else 5, classes)
    name_points(picture, scale, layers, peak)
    picture.text((scale.left + scale.right) / 2, scale.bottom + 44,
                 "FLOP for each byte of input, weights and output", "middle")
    picture.text(MARGIN, scale.top - 10, "GFLOP/s")
    picture.save(folder / "roofline.svg", scale.bottom + 60)


def draw_roofs(picture, scale, peak, roofs):
    low, high = scale.across
    for name, bandwidth in roofs.items():
        start = max(low, scale.up[0] / bandwidth)
        knee = min(peak / bandwidth, high)
        if start < knee:
            ends = [(start, start * bandwidth), (knee, knee * bandwidth)]
            picture.line([(scale.x(a), scale.y(b)) for a, b in ends], "roof")
            # To the right of its lowest tenth.
            at = start * (knee / start) ** 0.1
            x, y = scale.x(at) + 12, scale.y(at * bandwidth) + 14
            picture.text(x, y, f"{name}, {bandwidth:.0f} GB/s", "small halo")
    knee = min(peak / max(roofs.values()), high)
    picture.line([(scale.x(max(knee, low)), scale.y(peak)), (scale.right, scale.y(peak))], "roof")
    picture.text(scale.right, scale.y(peak) - 8, f"FMA peak, {peak:.0f} GFLOP/s", "small end")


def name_points(picture, scale, layers, peak):
    """Names beside the depthwise layers, which have nearly one intensity; the others' below their points."""
    height = lambda layer: scale.y(runtimes(layer)[OURS]["peak_share"] * peak)
    depthwise = sorted((height(layer), scale.x(i), layer) for i, layer in layers if layer["kind"] == "dw")
    last = -math.inf
    column = max((x for _, x, _ in depthwise), default=0) + 40
    for y, x, layer in depthwise:
        last = max(y, last + 18)
        picture.line([(x + 8, y), (column - 4, last)], "lead")
        picture.text(column, last + 5, ", ".join(described(layer)), "small halo")
    shapes = {}
    for intensity, layer in layers:
        if layer["kind"] != "dw":
            lowest = max(scale.y(r["peak_share"] * peak) for r in runtimes(layer).values())
            shapes.setdefault(described(layer), []).append((scale.x(intensity), lowest))
    places = sorted((sum(x for x, _ in points) / len(points), max(y for _, y in points), text)
                    for text, points in shapes.items())
    for i, (x, y, text) in enumerate(places):
        below = scale.bottom - 22 * (len(places) - i)
        picture.line([(x, y + 10), (x, below - 16)], "lead")
        picture.text(min(x, scale.right - 70), below, ", ".join(text), "small middle halo")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path, help="benches/record/<cpu>/<date>.json")
    parser.add_argument("--to", type=Path, help="folder of the pictures, by default target/pictures/<cpu>")
    args = parser.parse_args()
    record = json.loads(args.record.read_text())
    folder = args.to or ROOT / "target/pictures" / args.record.resolve().parent.name
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (draw_xception, draw_layers, draw_roofline):
        draw(record, folder)
    print(f"drawn in {folder}")


if __name__ == "__main__":
    main()
