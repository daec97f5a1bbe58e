#!/usr/bin/env python3
"""Draws a record of measure.py: xception.svg, layers.svg and roofline.svg.

Records keep the numbers; pictures can be drawn again at any time. The two that the README shows are in assets/.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from layers import KINDS
from record import SHOWN

ROOT = Path(__file__).resolve().parents[2]
OURS = "sepconv"
COLOURS = {
    OURS: "#c8102e",
    "ONNX Runtime": "#30638e",
    "OpenVINO": "#5a9bd4",
    "LiteRT (XNNPACK)": "#e0a030",
    "PyTorch": "#cc79a7",
    "rten": "#6a8d4f",
    "tract": "#8e6c8a",
    "candle": "#b07a5a",
    "burn": "#7a7a7a",
}
PLAIN = "ONNX Runtime, NCHW kernels"

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.hashsalt": "sepconv",
        "figure.constrained_layout.use": True,
    }
)


def threads_text(threads):
    return f"{threads} thread" + "s" * (int(threads) > 1)


def runtimes(subject):
    """A layer's or a network's results, ONNX Runtime's in the faster of its two configurations."""
    found = dict(subject["runtimes"])
    plain = found.pop(PLAIN, None)
    if plain and plain["median_ms"] < found["ONNX Runtime"]["median_ms"]:
        found["ONNX Runtime"] = plain
    return {name: found[name] for name in COLOURS if name in found}


def source(record):
    """The end of every heading."""
    shown = f"{SHOWN[record['as_level']]}\n" if "as_level" in record else ""
    return f"{shown}{record['machine']['cpu']}, {record['date']}, f32, batch 1, medians"


def save(figure, folder, name, formats):
    for kind in formats:
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(folder / f"{name}.{kind}", metadata=metadata, dpi=110)
    plt.close(figure)


def bars(axes, subject, title):
    """Milliseconds, the fastest on top, and how many times sepconv's they are.

    The multiples are medians over the rounds, so they need not be the quotients of the bars."""
    results = sorted(runtimes(subject).items(), key=lambda item: item[1]["median_ms"])
    names = [name for name, _ in results]
    times = [result["median_ms"] for _, result in results]
    axes.barh(names, times, color=[COLOURS[name] for name in names], height=0.7)
    axes.invert_yaxis()
    longest = max(times)
    for i, (name, result) in enumerate(results):
        text = f" {result['median_ms']:.4g} ms"
        if name == OURS:
            text += f", {result['peak_share']:.0%} of the FMA peak"
        else:
            text += f", {1 / result['ours_over_it']:.2f}×"
        axes.text(result["median_ms"], i, text, va="center", fontsize=9)
    axes.set_xlim(0, longest * 1.5)
    axes.set_xlabel("ms per picture (less is better); × sepconv's time in the same rounds")
    axes.set_title(title, loc="left", fontsize=10)


def draw_xception(record, folder, formats):
    """A panel per number of threads and subject."""
    panels = []
    for threads, subjects in sorted(record["threads"].items(), key=lambda item: int(item[0])):
        for subject, title in (("network", ""), ("engines", "Rust engines, ")):
            if subject in subjects:
                panels.append((subjects[subject], title + threads_text(threads)))
    if not panels:
        return
    rows = [len(runtimes(subject)) for subject, _ in panels]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(8.5, 0.6 + sum(0.9 + 0.36 * n for n in rows)),
        gridspec_kw={"height_ratios": [n + 1 for n in rows]},
        squeeze=False,
    )
    for axis, (subject, title) in zip(axes[:, 0], panels):
        bars(axis, subject, title)
    figure.suptitle(f"Xception 299×299\n{source(record)}", fontsize=11)
    save(figure, folder, "xception", formats)


def draw_layers(record, folder, formats):
    """Share of the peak: a row of panels per number of threads, a panel per kind of layer."""
    measured = [
        (threads, subjects["layers"])
        for threads, subjects in sorted(record["threads"].items(), key=lambda item: int(item[0]))
        if "layers" in subjects
    ]
    if not measured:
        return
    figure, grid = plt.subplots(
        len(KINDS),
        len(measured),
        figsize=(0.5 + 8.5 * len(measured), 9.5),
        squeeze=False,
    )
    for column, (threads, subject) in zip(grid.T, measured):
        for axis, (kind, title) in zip(column, KINDS.items()):
            layers = [layer for layer in subject["layers"] if layer["kind"] == kind]
            names = list(runtimes(layers[0]))
            width = 0.8 / len(names)
            for j, name in enumerate(names):
                values = [100 * runtimes(layer)[name]["peak_share"] for layer in layers]
                places = [i + (j - (len(names) - 1) / 2) * width for i in range(len(layers))]
                axis.bar(places, values, width * 0.92, color=COLOURS[name], label=name)
                for place, layer in zip(places, layers):
                    result = runtimes(layer)[name]
                    height = 100 * result["peak_share"]
                    text = f"{result['gflops']:.0f}"
                    axis.text(place, height, text, ha="center", va="bottom", fontsize=7)
            axis.set_xticks(range(len(layers)), [layer["label"] for layer in layers])
            axis.set_ylabel("% of the FMA peak")
            top = max(100 * r["peak_share"] for layer in layers for r in runtimes(layer).values())
            axis.set_ylim(0, top * 1.12)
            axis.set_title(f"{title}, {threads_text(threads)}", loc="left", fontsize=10)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(
        "Single layers: share of the FMA peak (more is better); numbers on the bars are GFLOP/s\n"
        f"{source(record)}; /2: stride 2; ONNX Runtime and OpenVINO from NCHW to NCHW",
        fontsize=11,
    )
    save(figure, folder, "layers", formats)


def draw_roofline(record, folder, formats):
    """Each layer of sepconv and of its peers under the peak and the bandwidth, with fewest threads."""
    threads = min((t for t, s in record["threads"].items() if "layers" in s), key=int, default=None)
    if threads is None:
        return
    subject = record["threads"][threads]["layers"]
    peak, memory = subject["peak_gflops"], subject["bandwidth_gbytes"]
    figure, axis = plt.subplots(figsize=(8.5, 6))
    markers = {"dw": "o", "pw": "s", "sep": "^"}
    intensities = []
    for layer in subject["layers"]:
        intensity = 2 * layer["multiply_adds"] / layer["bytes"]
        intensities.append(intensity)
        # The machine's clock moves: a point's height is its share of the peak beside it.
        for name, result in reversed(runtimes(layer).items()):
            ours = name == OURS
            axis.plot(
                intensity,
                result["peak_share"] * peak,
                markers[layer["kind"]],
                color=COLOURS[name],
                markerfacecolor=COLOURS[name] if ours else "none",
                markersize=8 if ours else 6,
                zorder=3 if ours else 2,
            )
    low, high = min(intensities) / 1.6, max(intensities) * 1.6
    knee = peak / memory
    axis.plot([low, knee, high], [low * memory, peak, peak], color="black", linewidth=1.2)
    axis.text(high, peak * 1.03, f"FMA peak {peak:.1f} GFLOP/s", ha="right", va="bottom", fontsize=9)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(low, high)
    axis.set_ylim(min(axis.get_ylim()[0], peak / 40), peak * 1.5)  # room for the legend
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter(FormatStrFormatter("%g"))
        scale.set_minor_formatter(NullFormatter())
    axis.set_xlabel("FLOP per byte (input, weights and output, each moved once)")
    axis.set_ylabel("GFLOP/s")
    names = list(runtimes(subject["layers"][0]))
    handles = [
        plt.Line2D([], [], linestyle="", marker="D", color=COLOURS[name],
                   markerfacecolor=COLOURS[name] if name == OURS else "none", label=name)
        for name in names
    ] + [
        plt.Line2D([], [], linestyle="", marker=markers[kind], color="black",
                   markerfacecolor="none", label=title)
        for kind, title in KINDS.items()
    ]
    bound = f"bound: peak, or copies of large arrays ({memory:.1f} GB/s)"
    handles.append(plt.Line2D([], [], color="black", linewidth=1.2, label=bound))
    axis.legend(handles=handles, loc="lower right", frameon=False, fontsize=9)
    axis.set_title(
        f"Roofline of single layers, {threads_text(threads)}\n{source(record)}", fontsize=11
    )
    save(figure, folder, "roofline", formats)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path, help="benches/record/<cpu>/<date>.json")
    parser.add_argument("--to", type=Path, help="folder of the pictures, by default target/pictures/<cpu>")
    parser.add_argument("--png", action="store_true", help="also as PNG")
    args = parser.parse_args()
    record = json.loads(args.record.read_text())
    formats = ["svg", "png"] if args.png else ["svg"]
    folder = args.to or ROOT / "target/pictures" / args.record.resolve().parent.name
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (draw_xception, draw_layers, draw_roofline):
        draw(record, folder, formats)
    print(f"drawn in {folder}")


if __name__ == "__main__":
    main()
