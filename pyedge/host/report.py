"""Stored runs -> one HTML page that needs nothing else: no script, no file from the net, drawings as inline SVG.

Also the same runs as a trace that Chrome and Perfetto open (`trace`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from ..plan.profile import origin
from ..plan.report import svg
from ..plan.roofline import Bound
from .runs import Run

_STYLE = """
body { font: 15px/1.5 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2em; border-top: 1px solid #ccc; padding-top: 1em }
h3 { font-size: 1em; margin: 1.5em 0 .3em }
table { border-collapse: collapse; font-size: .9em } th { text-align: left }
td, th { padding: .15em .8em .15em 0 }
td.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
svg { max-width: 100%; height: auto } .doubt { color: #a00 }
"""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 900, 260, 70, 30
_LETTER = 6.5  # width of a letter at the drawings' size, at most
_BARS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")


def html(runs: Sequence[Run]) -> str:
    """The page: a comparison if there are several runs, then each run with its drawings."""
    title = runs[0].title if len(runs) == 1 else f"{len(runs)} runs"
    if len(runs) == 1:
        parts = [_section(runs[0])]
    else:
        parts = [_comparison(runs), *(f"<h2>{escape(run.title)}</h2>{_section(run)}" for run in runs)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>pyedge: {escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _section(run: Run) -> str:
    facts: dict[str, Any] = {"plan": run.plan_sha256[:16], "flash": f"{run.plan['flash_bytes']:,} B"}
    facts["arena"] = f"{run.plan['arena_bytes']:,} B"
    body = _profile(run, facts) if run.kind == "profile" else _power(run, facts)
    return f"{body}<h3>Arena: which bytes hold what, op by op</h3>{svg(run.plan, run.data['entry'])}"


def _facts(facts: dict[str, Any]) -> str:
    rows = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items())
    return f"<table>{rows}</table>"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], text: int = 1) -> str:
    """A table whose first `text` columns are text, the others numbers."""

    def cell(i: int, value: object) -> str:
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        return f"<td>{escape(shown)}</td>" if i < text else f'<td class="n">{escape(shown)}</td>'

    body = "".join("<tr>" + "".join(cell(i, v) for i, v in enumerate(row)) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{escape(h)}</th>" for h in head) + f"</tr>{body}</table>"


def _interval(pair: Sequence[float] | None, scale: float = 1.0) -> str:
    if pair is None:
        return "all equal, or too few runs"
    return " .. ".join(f"{v * scale:,.0f}" if abs(v * scale) >= 1000 else f"{v * scale:.4g}" for v in pair)


# --- a profile ------------------------------------------------------------------------------------------------------


def _profile(run: Run, facts: dict[str, Any]) -> str:
    p = run.data
    unit = p["unit"]
    facts |= {"entry": p["entry"], "what": _what(run), "runs": p["runs"]}
    facts |= {f"median, {unit}": f"{p['total']:,}", f"95 % interval of it, {unit}": _interval(p["interval"])}
    spread = {"least": p["least"], **{f"p{q}": v for q, v in p["quantiles"].items()}, "most": p["most"]}
    facts |= {f"{name}, {unit}": f"{v:,}" for name, v in spread.items()} | p["conditions"]
    if p.get("roofs"):
        facts["bound by"] = f"the lower roof, and the op's share of it; {p['roofs']['source']}"
    flags = f'<p class="doubt">Doubtful: {escape(", ".join(p["flags"]))}</p>' if p["flags"] else ""
    total = max(p["total"], 1)
    rows = []
    for op in p["ops"]:
        rate = f"{op['macs'] / op['count']:.3g}" if op["macs"] and op["count"] else "-"
        share = f"{100 * op['count'] / total:.1f} %"
        bound = str(Bound(**op["bound"])) if "bound" in op else "unknown"  # runs from before there was one
        rows.append((op["name"], op["kind"], op["count"], share, op["macs"] or "-", rate, bound))
    one = unit if unit == "ns" else unit.removesuffix("s")
    table = _table(("op", "kind", unit, "share", "MACs", f"MAC/{one}", "bound by"), rows, text=2)
    drawings = ""
    if p["least"] != p["most"]:
        drawings = f"<h3>Runs: how many took how long, {unit}</h3>{histogram(p['totals'], unit)}"
    drawings += f"<h3>Ops: median of each, {unit}</h3>{_op_bars(p)}"
    return _facts(facts) + flags + drawings + table


def histogram(values: Sequence[int], unit: str) -> str:
    """How often runs took how long, as SVG; the last bar holds the slowest twentieth as well."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[math.ceil(0.95 * len(ordered)) - 1]
    bins = max(1, min(40, round(2 * len(ordered) ** 0.5), high - low))
    width = (high - low) / bins or 1.0
    counts = [0] * bins
    for v in ordered:
        counts[min(int((v - low) / width), bins - 1)] += 1
    step, tall = (_WIDTH - _LEFT) / bins, max(counts)
    parts = []
    for i, n in enumerate(counts):
        h = (_HEIGHT - _BOTTOM - 10) * n / tall
        at = f'x="{_LEFT + i * step:.1f}" y="{_HEIGHT - _BOTTOM - h:.1f}" width="{step - 1:.1f}" height="{h:.1f}"'
        more = " and slower" if i == bins - 1 else ""
        parts.append(
            f'<g><title>{n} runs from {low + i * width:,.0f} {unit}{more}</title><rect {at} fill="{_BARS[0]}"/></g>'
        )
    for quarter in range(5):
        x, value = _LEFT + (_WIDTH - _LEFT) * quarter / 4, low + (high - low) * quarter / 4
        anchor = ("start", "middle", "middle", "middle", "end")[quarter]
        more = " and more" if quarter == 4 and ordered[-1] > high else ""
        parts.append(f'<text x="{x:.0f}" y="{_HEIGHT - 10}" text-anchor="{anchor}">{value:,.0f} {unit}{more}</text>')
    parts.append(f'<text x="{_LEFT - 6}" y="20" text-anchor="end">{tall} runs</text>')
    return _svg(parts, _HEIGHT)


def _op_bars(p: dict[str, Any]) -> str:
    """A bar an op, as long as its count."""
    most = max((op["count"] for op in p["ops"]), default=1) or 1
    labels = [f"{i} {op['kind']}" for i, op in enumerate(p["ops"])]
    left = max(150.0, _LETTER * max(map(len, labels), default=0))
    parts = []
    for i, (op, label) in enumerate(zip(p["ops"], labels, strict=True)):
        y, w = 18 * i + 4, (_WIDTH - left - 150) * op["count"] / most
        text = f"{op['name']}: {op['count']:,} {p['unit']}"
        parts.append(f'<text x="{left:.0f}" y="{y + 11}" text-anchor="end">{escape(label)}</text>')
        parts.append(
            f"<g><title>{escape(text)}</title>"
            f'<rect x="{left + 6:.0f}" y="{y}" width="{max(w, 0.5):.1f}" height="14" fill="{_BARS[0]}"/></g>'
        )
        parts.append(f'<text x="{left + 10 + w:.1f}" y="{y + 11}">{op["count"]:,}</text>')
    return _svg(parts, 18 * len(p["ops"]) + 8)


def _svg(parts: Sequence[str], height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}" font-family="sans-serif" font-size="11">' + "".join(parts) + "</svg>"
    )


# --- energy ---------------------------------------------------------------------------------------------------------


def _power(run: Run, facts: dict[str, Any]) -> str:
    p = run.data
    facts |= {
        "entry": p["entry"],
        "what": _what(run),
        "meter": f"{p['meter']}: {p['covers']}",
        "gross, uJ an inference": f"{1e6 * p['gross_j']:.5g}",
        "95 % interval of it, uJ": _interval(p["interval_j"], 1e6),
        "net, uJ an inference": f"{1e6 * p['net_j']:.5g}",
        "uncertainty, uJ": f"{1e6 * p['uncertainty_j']:.2g}",
        "idle, mW": f"{1e3 * p['idle_before_w']:.4g} before, {1e3 * p['idle_after_w']:.4g} after",
        "inference, ms": f"{1e3 * p['seconds']:.5g}",
        "runs of a window": p["runs"],
        "marks": p["mark"],
        "samples lost": f"{100 * p['lost']:.3g} %",
    }
    return _facts(facts) + f"<h3>Power</h3>{_power_trace(p)}"


def _power_trace(p: dict[str, Any]) -> str:
    """Watts over time, the windows of inferences shaded."""
    points = p["power"]
    if len(points) < 2:
        return "<p>The meter gave no record.</p>"
    start, end = points[0][0], points[-1][0]
    top = max(w for _, w in points) or 1.0

    def x(t: float) -> float:
        return float(_LEFT + (_WIDTH - _LEFT) * (t - start) / (end - start or 1.0))

    parts = []
    for i, window in enumerate(p["windows"]):
        a, b = x(window["start_s"]), x(window["end_s"])
        parts.append(
            f"<g><title>window {i}: {window['joules']:.4g} J</title>"
            f'<rect x="{a:.1f}" y="10" width="{b - a:.1f}" height="{_HEIGHT - _BOTTOM - 10}" fill="#e8eef5"/></g>'
        )
    line = " ".join(f"{x(t):.1f},{_HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - 10) * w / top:.1f}" for t, w in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{_BARS[0]}"/>')
    parts.append(f'<text x="{_LEFT - 6}" y="20" text-anchor="end">{1e3 * top:.4g} mW</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 10}">0 s</text>')
    parts.append(f'<text x="{_WIDTH}" y="{_HEIGHT - 10}" text-anchor="end">{end - start:.3g} s</text>')
    return _svg(parts, _HEIGHT)


# --- what both have -------------------------------------------------------------------------------------------------


def _comparison(runs: Sequence[Run]) -> str:
    """A table of the runs side by side; ratios to the first run that says the same thing in the same unit."""
    first: dict[tuple[str, str], float] = {}
    rows = []
    for run in runs:
        p = run.data
        if run.kind == "profile":
            unit, value, shown = p["unit"], float(p["total"]), f"{p['total']:,}"
            interval = _interval(p["interval"])
        else:
            unit, value, shown = "uJ", 1e6 * p["gross_j"], f"{1e6 * p['gross_j']:.5g}"
            interval = _interval(p["interval_j"], 1e6)
        base = first.setdefault((unit, _what(run)), value)
        ratio = f"{value / base:.3f}" if base else "-"
        rows.append((run.id, run.model, run.board, _what(run), unit, shown, interval, ratio, run.plan["arena_bytes"]))
    head = ("run", "model", "board", "what", "unit", "median", "95 % interval", "of the first", "arena, B")
    return f"<h2>Side by side</h2>{_table([*head], rows, text=5)}"


def _what(run: Run) -> str:
    """What a run's figures are: only those of one kind are compared."""
    if run.kind == "power":
        return "energy of an inference, measured"
    whole = "sent_bytes" in run.data["conditions"]
    return f"{'from the file to the answer' if whole else 'the network'}, {origin(run.data['unit'], run.data['flags'])}"


# --- trace ----------------------------------------------------------------------------------------------------------


def trace(run: Run) -> dict[str, Any]:
    """A stored profile in the JSON trace event format, which chrome://tracing and ui.perfetto.dev open.

    One inference: the ops of the median, one after another. Times are microseconds where the unit is ns; elsewhere a
    microsecond stands for one count of the unit, which "otherData" says.
    """
    p = run.data
    scale = 1e-3 if p["unit"] == "ns" else 1.0
    events: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": run.title}},
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": f"entry {p['entry']}"}},
    ]
    at = 0.0
    for i, op in enumerate(p["ops"]):
        length = op["count"] * scale
        facts = {"op": i, "macs": op["macs"], p["unit"]: op["count"]}
        events.append(
            {
                "name": op["name"],
                "cat": op["kind"],
                "ph": "X",
                "pid": 1,
                "tid": 1,
                "ts": at,
                "dur": length,
                "args": facts,
            }
        )
        at += length
    e = next((e for e in run.plan["entries"] if e["name"] == p["entry"]), None)
    if e is not None and len(e["ops"]) == len(p["ops"]):
        events += _live_bytes(run.plan, e, [op["count"] * scale for op in p["ops"]])
    other = {"unit": p["unit"], "runs": p["runs"], "board": run.board, "plan_sha256": run.plan_sha256, "time": run.time}
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": other}


def _live_bytes(plan: dict[str, Any], entry: dict[str, Any], lengths: Sequence[float]) -> list[dict[str, Any]]:
    """A counter: the bytes of the arena in use at each op."""
    events, at = [], 0.0
    for i, length in enumerate(lengths):
        live = [plan["tensors"][t["tensor"]] for t in entry["lifetimes"] if t["first"] <= i <= t["last"]]
        tensors, end = 0, 0
        for first, size in sorted((t["offset"], t["bytes"]) for t in live):  # a result may lie where an operand does
            tensors += max(first + size - max(first, end), 0)
            end = max(end, first + size)
        args = {"tensors": tensors, "scratch": entry["ops"][i]["scratch_bytes"]}
        events.append({"name": "arena bytes", "ph": "C", "pid": 1, "ts": at, "args": args})
        at += length
    return events
