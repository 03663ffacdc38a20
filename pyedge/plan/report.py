"""A plan for people and scripts: text, plain data, a drawing of the arena."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from .profile import columns
from .reader import RESET, PlanOp, PlanTensor

if TYPE_CHECKING:
    from .plan import Plan

SCHEMA = 1  # of to_dict()


def summary(plan: Plan) -> str:
    """Memory, entries, then each op with kernel, output, MACs and scratch."""
    lines = [
        f"flash    {plan.flash_bytes:>10,} B   {plan.const_bytes:,} B of it constants",
        f"arena    {plan.arena_bytes:>10,} B   all RAM that a session of this plan needs",
    ]
    if plan.states:
        names = ", ".join(map(_describe, plan.states))
        lines.append(f"states   {plan.state_bytes:>10,} B   of the arena, kept from run to run: {names}")
    if saved := _dead_channels(plan):
        lines.append(saved)
    for name, entry in plan.entries.items():
        if plan.states and name == RESET:
            continue
        tensors, live = plan.tensor_bytes(name), plan.live_bytes(name)
        scratch = max((op.scratch_bytes for op in entry.ops), default=0)
        kept = ", states included" if plan.states else ""
        busiest = plan.busiest_op(name)
        kept += f", at {busiest.kind} {busiest.name!r}" if busiest else ""
        lines += [
            "",
            f"entry {name}: {', '.join(map(_describe, entry.inputs))} -> {', '.join(map(_describe, entry.outputs))}",
            f"tensors  {tensors:>10,} B   largest set of live tensors {live:,} B{kept}",
            f"scratch  {scratch:>10,} B   of the op that needs most",
            f"MACs     {entry.macs:>10,}",
            f"licence  {_licence(plan, name)}",
        ]
        rows = [("op", "kernel", "output", "MACs", "scratch")]
        for op in entry.ops:
            output = _shape(plan.tensors[op.outputs[0]]) if op.outputs else f"to op {op.params['target']}"
            rows.append((op.name, op.kind, output, f"{op.macs:,}" if op.macs else "-", f"{op.scratch_bytes:,}"))
        lines += ["", columns(rows, left=(0, 1, 2))]
    return "\n".join(lines)


def _dead_channels(plan: Plan) -> str:
    """What compile left out, by the meta, which may hold anything; empty if it says nothing."""
    saved = plan.meta.get("dead_channels")
    keys = ("channels", "macs", "flash_bytes", "arena_bytes")
    if not isinstance(saved, dict) or not all(isinstance(saved.get(key), int) for key in keys):
        return ""
    channels, macs, flash, arena = (saved[key] for key in keys)
    return f"saved    {macs:>10,} MACs, {flash:,} B of flash, {arena:,} B of arena: {channels:,} dead channels left out"


def _shape(t: PlanTensor) -> str:
    return f"{t.dtype}[{', '.join(map(str, t.shape))}]"


def _describe(t: PlanTensor) -> str:
    return f"{t.name} {_shape(t)}"


def _licence(plan: Plan, entry: str) -> str:
    """The first line of the licence in meta, which may hold anything."""
    graphs = plan.meta.get("graphs")
    graph = graphs.get(entry) if isinstance(graphs, dict) else None
    text = graph.get("license") if isinstance(graph, dict) else None
    return text.splitlines()[0] if isinstance(text, str) and text else "unknown"


def to_dict(plan: Plan) -> dict[str, Any]:
    """Everything of a plan but its constants, as plain data; sizes in bytes."""
    return {
        "schema": SCHEMA,
        "version": list(plan.version),
        "crc32": plan.crc32,
        "flash_bytes": plan.flash_bytes,
        "const_bytes": plan.const_bytes,
        "arena_bytes": plan.arena_bytes,
        "scratch_bytes": plan.scratch_bytes,
        "state_bytes": plan.state_bytes,
        "states": [t.number for t in plan.states],
        "meta": plan.meta,
        "tensors": [_tensor(t) for t in plan.tensors],
        "entries": [
            {
                "name": name,
                "inputs": [t.number for t in entry.inputs],
                "outputs": [t.number for t in entry.outputs],
                "macs": entry.macs,
                "tensor_bytes": plan.tensor_bytes(name),
                "live_bytes": plan.live_bytes(name),
                "ops": [_op(op) for op in entry.ops],
                "lifetimes": [
                    {"tensor": t.tensor.number, "first": t.first, "last": t.last} for t in plan.lifetimes(name)
                ],
            }
            for name, entry in plan.entries.items()
        ],
    }


def _tensor(t: PlanTensor) -> dict[str, Any]:
    return {
        "number": t.number,
        "name": t.name,
        "shape": list(t.shape),
        "dtype": t.dtype,
        "constant": t.constant,
        "offset": t.offset,
        "bytes": t.bytes,
        "scale": t.scale,
        "zero_point": t.zero_point,
    }


def _plain(value: Any) -> Any:
    """A number, a text, bytes as hexadecimal, or a list of these. JSON has no infinity: an absent clamp is null."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _op(op: PlanOp) -> dict[str, Any]:
    params = {name: _plain(value) for name, value in op.params.items()}
    return {
        "number": op.number,
        "name": op.name,
        "kind": op.kind,
        "inputs": list(op.inputs),
        "outputs": list(op.outputs),
        "params": params,
        "scratch_offset": op.scratch_offset,
        "scratch_bytes": op.scratch_bytes,
        "macs": op.macs,
    }


_COLORS = ("#8dd3c7", "#ffffb3", "#bebada", "#80b1d3", "#fdb462", "#b3de69", "#fccde5", "#d9d9d9")
_SCRATCH_COLOR = "#fb8072"


def svg(plan: Mapping[str, Any], entry: str = "main") -> str:
    """The arena while an entry runs: ops to the right, addresses upwards, a rectangle for each tensor and scratch.

    plan: what to_dict() gave, perhaps long ago.
    """
    e = next(e for e in plan["entries"] if e["name"] == entry)
    ops, left, top, height = e["ops"], 70.0, 30.0, 420.0
    step = max(14.0, min(40.0, 1100.0 / (len(ops) + 2)))
    right = left + (len(ops) + 2) * step
    extent = max(plan["arena_bytes"], 1)

    def rectangle(first: int, last: int, offset: int, size: int, color: str, text: str) -> str:
        x, w = left + (first + 1) * step, (last - first + 1) * step
        h = height * size / extent
        y = top + height - height * offset / extent - h
        label = ""
        if h >= 11 and w >= 30:  # where a few letters have room
            clipped = escape(text.split(":")[0][: int(w / 5.5)])
            label = f'<text x="{x + 3:.1f}" y="{y + h / 2 + 3:.1f}">{clipped}</text>'
        box = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="{color}"'
        return f"<g><title>{escape(text)}</title><rect {box}/>{label}</g>"

    parts = []
    for i, life in enumerate(e["lifetimes"]):
        t = plan["tensors"][life["tensor"]]
        text = f"{t['name']}: {t['dtype']}{t['shape']}, {t['bytes']:,} B at {t['offset']:,}"
        parts.append(rectangle(life["first"], life["last"], t["offset"], t["bytes"], _COLORS[i % len(_COLORS)], text))
    for i, op in enumerate(ops):
        if op["scratch_bytes"]:
            text = f"scratch: {op['name']}, {op['scratch_bytes']:,} B at {op['scratch_offset']:,}"
            parts.append(rectangle(i, i, op["scratch_offset"], op["scratch_bytes"], _SCRATCH_COLOR, text))
    for quarter in range(5):
        y = top + height - height * quarter / 4
        parts.append(f'<text x="{left - 6:.0f}" y="{y + 3:.1f}" text-anchor="end">{extent * quarter // 4:,} B</text>')
        parts.append(f'<line x1="{left:.0f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}"/>')
    for i, op in enumerate(ops):
        at = f'x="{left + (i + 1.5) * step + 3:.1f}" y="{top + height + 8:.1f}"'
        turn = f"rotate(60 {left + (i + 1.5) * step + 3:.1f} {top + height + 8:.1f})"
        parts.append(f'<text {at} transform="{turn}">{i} {escape(op["kind"])}</text>')
    title = f"entry {entry}: arena {plan['arena_bytes']:,} B, tensors {e['tensor_bytes']:,} B"
    w, h = f"{right + 20:.0f}", f"{top + height + 120:.0f}"  # a page that is narrower scales it by the view box
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" '
        f'font-family="sans-serif" font-size="9">'
        "<style>.arena rect { stroke: #333; stroke-width: 0.5 } .arena line { stroke: #aaa; stroke-width: 0.5 }</style>"
        f'<g class="arena"><text x="{left:.0f}" y="18" font-size="12">{escape(title)}</text>'
        + "".join(parts)
        + "</g></svg>\n"
    )
