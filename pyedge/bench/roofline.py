"""The roofline plot of a bench (Williams, Waterman, Patterson, CACM 52(4), 2009), as SVG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from ..errors import MissingToolError


def require_matplotlib() -> None:
    """Raises MissingToolError if matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingToolError("a plot needs matplotlib; try: pip install 'pyedge[plot]'") from None


def roofline(result: dict[str, Any]) -> str:
    """An SVG from what `bench` returns: peaks and bandwidths as roofs, layers and networks as points.

    Raises:
        MissingToolError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot(xscale="log", yscale="log")
    rows = [row for row in (*result["networks"], *result["layers"]) if "gops" in row]
    at = [2 * row["macs"] / row["bytes"] for row in rows] or [1.0]
    x = np.geomspace(min(at) / 2, max(at) * 2, 200)
    level = result["conditions"]["kernels"]
    peak = result["peaks"]["levels"].get(level) or list(result["peaks"]["levels"].values())[-1]
    for dtype, rate, color in (("int8", peak["s8_gops"], "C0"), ("float32", peak["f32_gflops"], "C1")):
        for size, gbps in result["peaks"]["read_gbps"].items():
            axes.plot(x, np.minimum(rate, x * gbps), color=color, linewidth=0.7, alpha=0.6)
            if dtype == "int8":
                axes.annotate(f"{int(size) >> 10} KiB", (x[0], x[0] * gbps), fontsize=7)
        axes.axhline(rate, color=color, linewidth=1.2, label=f"{dtype} peak, {rate:.0f} G/s ({level})")
    marks = {"int8": ("C0", "o"), "float32": ("C1", "s"), "float16": ("C2", "^")}
    for dtype, (color, mark) in marks.items():
        points = [(2 * row["macs"] / row["bytes"], row["gops"], row["name"]) for row in rows if row["dtype"] == dtype]
        if points:
            axes.scatter([p[0] for p in points], [p[1] for p in points], s=18, c=color, marker=mark, label=dtype)
        for intensity, rate, name in points:
            axes.annotate(
                name.removesuffix(f" {dtype}"), (intensity, rate), fontsize=5, xytext=(3, 2), textcoords="offset points"
            )
    axes.set(
        xlabel="operations a byte of input, weights and output",
        ylabel="G operations a second",
        title=result["conditions"]["cpu"],
    )
    axes.legend(fontsize=8)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
