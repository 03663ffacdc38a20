"""Layers in turns, a band of rows at a time, so that the tensors between them are never whole.

Row streaming of a chain: for each band of the last layer's rows every layer before makes the rows that are still
missing. Rows that windows share are kept, none is computed twice, so bits and products are those of whole layers. After
"patch-based inference" (Lin et al., "MCUNetV2", NeurIPS 2021), which computes the shared rows again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from . import structs
from .lifetimes import live_bytes
from .program import Program, Step, Value

_BANDS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_LAYERS = 6  # of a chain at most
_FAMILIES = ("conv2d", "depthwise", "avg_pool2d", "max_pool2d")
_POINTWISE = ("dequantize_s8_f32", "quantize_f32_s8")  # as layers whose windows are one element


def in_bands(program: Program) -> Program:
    """The program with chains of layers in bands, as long as that lowers the largest set of live tensors.

    Among ways that lower it alike, within a 32nd of what it was, the one of the fewest steps is taken: each step is a
    call, a record in flash, and reads its weights again.
    """
    while True:
        live = live_bytes(program)
        most = max(live, default=0)
        ways = [(max(live_bytes(p)), p) for p in _ways(program, [i for i, n in enumerate(live) if n == most])]
        least = min((size for size, _ in ways), default=most)
        if least >= most:
            return program
        alike = [(len(p.steps), size, i) for i, (size, p) in enumerate(ways) if size < min(least + most / 32, most)]
        program = ways[min(alike)[2]][1]


def _ways(program: Program, steps: list[int]) -> Iterator[Program]:
    """With each chain that one of these steps is in, by each number of bands."""
    for at in range(max(steps[0] - _LAYERS + 1, 0), steps[-1] + 1):
        layers: list[_Layer] = []
        for i in range(at, min(at + _LAYERS, len(program.steps))):
            layer = _layer(program, i)
            if layer is None or (layers and not _only_user(program, i)):
                break
            layers.append(layer)
            if len(layers) > 1 and any(at <= s <= i for s in steps):
                for count in _BANDS:
                    if count <= layer.height and (found := _Chain(program, at, layers).split(count)) is not None:
                        yield found


def _only_user(program: Program, at: int) -> bool:
    """Whether the step's x is whole, made by the step before and read by no other, and no branch comes in between."""
    x = program.steps[at].inputs[0]
    if x is None or program.steps[at - 1].outputs != [x] or x in program.outputs:
        return False
    shared = any(v.storage == x for n, v in enumerate(program.values) if n != x)
    users = [i for i, s in enumerate(program.steps) if x in s.inputs]
    return (
        users == [at] and not shared and program.values[x].storage == x and all(s.target != at for s in program.steps)
    )


@dataclass(frozen=True)
class _Layer:
    """A step of windows over one image, and how the rows of its windows lie."""

    step: Step
    params: dict[str, Any]
    taps: int
    dilation: int
    rows: int  # of x
    height: int  # of y

    def needed(self, begin: int, end: int) -> tuple[int, int]:
        """The rows of x that rows begin .. end - 1 of y see, of those that there are."""
        first = begin * self.params["stride_h"] - self.params["pad_top"]
        last = (end - 1) * self.params["stride_h"] - self.params["pad_top"] + (self.taps - 1) * self.dilation
        return min(max(first, 0), self.rows), min(max(last + 1, 0), self.rows)

    def on(self, begin: int) -> bytes:
        """Params with what is above the rows needed by those from row begin of y on."""
        if not self.params["pad_top"]:
            return self.step.params
        above = max(self.params["pad_top"] - begin * self.params["stride_h"], 0)
        return structs.pack_params(self.step.kind, **{**self.params, "pad_top": above})


def _layer(program: Program, at: int) -> _Layer | None:
    """None: another step."""
    step = program.steps[at]
    family = next((f for f in _FAMILIES if step.kind.startswith(f"{f}_")), None)
    pointwise = step.kind in _POINTWISE
    if not (family or pointwise) or step.inputs[0] is None or step.kind.endswith(("_hybrid", "_zero_point")):
        return None
    x, y = program.values[step.inputs[0]], program.values[step.outputs[0]]
    states = {x.storage, y.storage} & set(program.states)
    if len(x.dims) != 4 or x.dims[0] != 1 or x.data is not None or x.offset or y.offset or states:
        return None
    if pointwise:
        return _Layer(step, {"stride_h": 1, "pad_top": 0}, 1, 1, x.dims[1], y.dims[1]) if x.dims == y.dims else None
    p = structs.unpack_params(step.kind, step.params)
    if "kernel_h" in p:
        return _Layer(step, p, p["kernel_h"], 1, x.dims[1], y.dims[1])
    if len(step.inputs) < 2 or step.inputs[1] is None:
        return None
    taps = program.values[step.inputs[1]].dims[1 if family == "conv2d" else 0]
    return _Layer(step, p, taps, p["dilation_h"], x.dims[1], y.dims[1])


@dataclass
class _Rows:
    """What lies between two layers: rows begin .. end - 1 of a tensor, in the value `number`."""

    number: int
    begin: int = 0
    end: int = 0


class _Chain:
    """A chain of layers from step `at` on, as it is split."""

    def __init__(self, program: Program, at: int, layers: list[_Layer]) -> None:
        self.program, self.at, self.layers = program, at, layers
        self.values = list(program.values)
        self.steps: list[Step] = []

    def split(self, count: int) -> Program | None:
        """In count bands. None: the place of some row is none of the arena's, or some rows are seen by no window."""
        edges = [self.layers[-1].height * i // count for i in range(count + 1)]
        plans = self._bands(list(pairwise(edges)))
        if plans is None:
            return None
        between = []
        for i, layer in enumerate(self.layers[:-1]):
            t = self.values[layer.step.outputs[0]]
            rows = max(end - begin for begin, end in (self.layers[i + 1].needed(*band[i + 1]) for band in plans))
            between.append(_Rows(self._add(replace(t, name=f"{t.name} rows", dims=(1, rows, *t.dims[2:])))))
        for number, band in enumerate(plans):
            for i, (layer, (begin, end)) in enumerate(zip(self.layers, band, strict=True)):
                first, last = layer.needed(begin, end)
                source = between[i - 1] if i else _Rows(self._x(), 0, layer.rows)
                x = self._view(source.number, first - source.begin, last - first)
                if i + 1 < len(self.layers):
                    y = self._make_room(between[i], self.layers[i + 1].needed(*band[i + 1])[0], begin, end)
                else:
                    y = self._view(layer.step.outputs[0], begin, end - begin)
                name = f"{layer.step.name} {number + 1}/{count}"
                given = [x, *layer.step.inputs[1:]]
                self.steps.append(replace(layer.step, name=name, inputs=given, outputs=[y], params=layer.on(begin)))
        if any(v.offset % structs.ARENA_ALIGN for v in self.values[len(self.program.values) :]):
            return None
        return self._program()

    def _bands(self, last: list[tuple[int, int]]) -> list[list[tuple[int, int]]] | None:
        """The rows that each layer makes for each band of the last one's."""
        made = [0] * len(self.layers)
        plans = []
        for band in last:
            rows = [band]
            for i in range(len(self.layers) - 1, 0, -1):
                first, end = self.layers[i].needed(*rows[0])
                if end <= made[i - 1] or first > made[i - 1]:  # nothing new, or rows that are left out
                    return None
                rows.insert(0, (made[i - 1], end))
            if self.layers[0].needed(*rows[0])[0] >= self.layers[0].needed(*rows[0])[1]:
                return None
            made = [end for _, end in rows]
            plans.append(rows)
        return plans if made == [layer.height for layer in self.layers] else None

    def _x(self) -> int:
        x = self.layers[0].step.inputs[0]
        assert x is not None
        return x

    def _make_room(self, rows: _Rows, keep_from: int, begin: int, end: int) -> int:
        """Where rows begin .. end - 1 go, behind those from keep_from on, which move to the front."""
        kept = begin - keep_from
        if kept and keep_from > rows.begin:
            old, new = self._view(rows.number, keep_from - rows.begin, kept), self._view(rows.number, 0, kept)
            self.steps.append(Step("copy", f"{self.values[rows.number].name} kept", [old], [new]))
        rows.begin, rows.end = keep_from, end
        return self._view(rows.number, kept, end - begin)

    def _add(self, value: Value) -> int:
        self.values.append(replace(value, storage=len(self.values)))
        return len(self.values) - 1

    def _view(self, number: int, begin: int, count: int) -> int:
        v = self.values[number]
        row = v.bytes // v.dims[1]
        name = f"{v.name} {begin}:{begin + count}"
        self.values.append(replace(v, name=name, dims=(1, count, *v.dims[2:]), offset=row * begin))
        return len(self.values) - 1

    def _program(self) -> Program:
        end = self.at + len(self.layers)
        more = len(self.steps) - len(self.layers)
        moved = [
            replace(s, target=s.target + more) if s.target is not None and s.target >= end else s
            for s in self.program.steps
        ]
        steps = [*moved[: self.at], *self.steps, *moved[end:]]
        return replace(self.program, values=self.values, steps=steps)
