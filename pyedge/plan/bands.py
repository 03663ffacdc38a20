"""Layers in turns, a band of rows at a time, so that the tensors between them are never whole.

Row streaming of a chain: for each band of the last layer's rows every layer before makes the rows that are still
missing. Rows that windows share are kept, none is computed twice, so bits and products are those of whole layers. After
"patch-based inference" (Lin et al., "MCUNetV2", NeurIPS 2021), which computes the shared rows again.

Chains go backwards, too: the gradients of frozen layers' inputs, with the masks of their clips and the sums for biases
that learn in between. What else stands between the layers goes behind the chain.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ..errors import PlanError
from ..tensor import array_dtype
from . import structs
from .lifetimes import live_bytes
from .program import Program, Step, Value, ask

_BANDS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_LAYERS = 6  # of a chain at most
_FAMILIES = ("conv2d", "depthwise", "avg_pool2d", "max_pool2d")
_POINTWISE = ("dequantize_s8_f32", "quantize_f32_s8")  # as layers whose windows are one element
_BACKWARDS = tuple(f"{family}_dgrad_{dtype}" for family in ("conv2d", "depthwise") for dtype in ("f32", "f16"))
_IN_PLACE = ("clip_grad", "mask_grad")  # of dy and something else in its rows; the result takes dy's memory


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
    for layers in _chains(program):
        own = [i for layer in layers for i in (layer.at, *layer.beside)]
        if any(min(own) <= s <= max(own) for s in steps) and (behind := _behind(program, own)) is not None:
            for count in _BANDS:
                if count <= layers[-1].height and (found := _Chain(program, layers, behind).split(count)) is not None:
                    yield found


def _chains(program: Program) -> Iterator[list[_Layer]]:
    """Layers one behind the other, each the only reader of what is before it, but for steps beside. The last one's
    result is whole, or read by steps beside alone.
    """
    readers, shared = _readers(program), {v.storage for n, v in enumerate(program.values) if v.storage != n}
    for at in range(len(program.steps)):
        layer, layers = _layer(program, at), list[_Layer]()
        while layer is not None and len(layers) < _LAYERS:
            layers.append(layer)
            if len(layers) > 1:
                yield list(layers)
            found = _beside(program, layer, readers, shared)
            if found is None:
                break
            layers[-1], following = found
            if following is None:
                yield list(layers)
            layer = None if following is None else _layer(program, following)


def _readers(program: Program) -> dict[int, list[int]]:
    """Numbers of the steps that read each value; an output of the program has one more, behind the last."""
    found: dict[int, list[int]] = defaultdict(list)
    for i, step in enumerate(program.steps):
        for number in {n for n in step.inputs if n is not None}:
            found[number].append(i)
    for number in program.outputs:
        found[number].append(len(program.steps))
    return found


@dataclass(frozen=True)
class _Layer:
    """A step of windows over one image, and how the rows of its windows lie.

    Backwards, x is the gradient of a layer's result, y that of its input: the windows are over y.
    """

    at: int
    step: Step
    params: dict[str, Any]
    taps: int
    dilation: int
    rows: int  # of x
    height: int  # of y
    backwards: bool = False
    beside: tuple[int, ...] = ()  # steps that read y as its rows come, so that it need not be whole

    def needed(self, begin: int, end: int) -> tuple[int, int]:
        """The rows of x that rows begin .. end - 1 of y need, of those that there are."""
        stride, above, reach = self.params["stride_h"], self.params["pad_top"], (self.taps - 1) * self.dilation
        if self.backwards:  # the windows that they lie in; and no window that starts below the first of them
            first = min(-((reach - begin - above) // stride), (begin + above) // stride)
            last = (end - 1 + above) // stride
        else:
            first = begin * stride - above
            last = (end - 1) * stride - above + reach
        return min(max(first, 0), self.rows), min(max(last + 1, 0), self.rows)

    def on(self, begin: int, end: int) -> bytes:
        """Params for rows begin .. end - 1 of y, made from no more than the rows needed."""
        stride, above = self.params["stride_h"], self.params["pad_top"]
        if self.backwards:
            above += begin - self.needed(begin, end)[0] * stride
        else:
            above = max(above - begin * stride, 0)
        if above == self.params["pad_top"]:
            return self.step.params
        return structs.pack_params(self.step.kind, **{**self.params, "pad_top": above})


def _layer(program: Program, at: int) -> _Layer | None:
    """None: another step."""
    step = program.steps[at]
    backwards, pointwise = step.kind in _BACKWARDS, step.kind in _POINTWISE
    family = next((f for f in _FAMILIES if step.kind.startswith(f"{f}_")), None)
    if step.kind.endswith(("_hybrid", "_zero_point")) or ("grad_" in step.kind and not backwards):
        return None
    if not (family or pointwise) or step.inputs[0] is None:
        return None
    x, y = program.values[step.inputs[0]], program.values[step.outputs[0]]
    states = {x.storage, y.storage} & set(program.states)
    if len(x.dims) != 4 or x.dims[0] != 1 or x.data is not None or x.offset or y.offset or states:
        return None
    rows, height = x.dims[1], y.dims[1]
    if pointwise:
        return _Layer(at, step, {"stride_h": 1, "pad_top": 0}, 1, 1, rows, height) if x.dims == y.dims else None
    p = structs.unpack_params(step.kind, step.params)
    if "kernel_h" in p:
        return _Layer(at, step, p, p["kernel_h"], 1, rows, height)
    if len(step.inputs) < 2 or step.inputs[1] is None:
        return None
    taps = program.values[step.inputs[1]].dims[1 if family == "conv2d" else 0]
    return _Layer(at, step, p, taps, p["dilation_h"], rows, height, backwards)


def _beside(
    program: Program, layer: _Layer, readers: dict[int, list[int]], shared: set[int]
) -> tuple[_Layer, int | None] | None:
    """A layer with the steps that read its result row by row, and the last reader if that is none of them.

    None: something else needs the result whole.
    """
    y, beside = layer.step.outputs[0], list[int]()
    while True:
        users = readers[y]
        if program.values[y].storage != y or y in shared or not users or users[-1] == len(program.steps):
            return None
        steps = [program.steps[i] for i in users]
        by_rows = [_by_rows(program, step, y, layer.height) for step in steps]
        alone = all(step.inputs[0] == y and y not in step.inputs[1:] for step in steps)
        if not alone or not all(by_rows[:-1]) or any(step.kind in _IN_PLACE for step in steps[:-1]):
            return None
        beside += users if by_rows[-1] else users[:-1]
        if not by_rows[-1] or steps[-1].kind not in _IN_PLACE:
            return replace(layer, beside=tuple(beside)), None if by_rows[-1] else users[-1]
        y = steps[-1].outputs[0]


def _by_rows(program: Program, step: Step, y: int, height: int) -> bool:
    """Whether a step that reads y can do so row by row, ascending, with the bits of one go."""
    if not step.outputs:
        return False
    values, made = program.values, step.outputs[0]
    whole_bytes = math.prod(values[y].dims[1:]) // height % 8 == 0  # of a row's bits
    if step.kind == "bias_grad":
        return len(step.inputs) == 1 and values[made].dtype == "float32" and values[made].storage == made
    if step.kind == "clip_mask":
        return whole_bytes and values[made].storage == made
    if step.kind not in _IN_PLACE or step.inputs[1] is None or values[made].dims != values[y].dims:
        return False
    return values[step.inputs[1]].data is None and (step.kind == "clip_grad" or whole_bytes)


def _behind(program: Program, own: list[int]) -> list[Step] | None:
    """The steps between those of a chain that go behind it. None: one of the chain needs them, or there is a jump."""
    steps, first, last = program.steps, min(own), max(own)
    if any(s.target is not None and (first <= i <= last or first < s.target <= last) for i, s in enumerate(steps)):
        return None

    def storages(numbers: Iterable[int | None]) -> set[int]:
        return {program.values[n].storage for n in numbers if n is not None}

    others = sorted(set(range(first, last)).difference(own))
    read, written = set[int](), set[int]()  # by steps of the chain behind
    for i in range(last, first, -1):
        inputs, outputs = storages(steps[i].inputs), storages(steps[i].outputs)
        if i in own:
            read, written = read | inputs, written | outputs
        elif outputs & (read | written) or inputs & written:
            return None
    return [steps[i] for i in others]


@dataclass
class _Rows:
    """What lies between two layers: rows begin .. end - 1 of a tensor, in the value `number`."""

    number: int
    begin: int = 0
    end: int = 0


class _Chain:
    """A chain of layers as it is split. behind: the steps between them, which then go behind them."""

    def __init__(self, program: Program, layers: list[_Layer], behind: list[Step]) -> None:
        self.program, self.layers, self.behind = program, layers, behind
        self.values = list(program.values)
        self.steps: list[Step] = []

    def split(self, count: int) -> Program | None:
        """In count bands. None: the place of some row is none of the arena's, or some rows are seen by no window."""
        edges = [self.layers[-1].height * i // count for i in range(count + 1)]
        plans = self._bands(list(pairwise(edges)))
        if plans is None:
            return None
        between = []
        for i, layer in enumerate(self.layers if self.layers[-1].beside else self.layers[:-1]):
            t = self.values[layer.step.outputs[0]]
            rows = max(end - begin for begin, end in (self._read(i, band) for band in plans))
            between.append(_Rows(self._add(replace(t, name=f"{t.name} rows", dims=(1, rows, *t.dims[2:])))))
        for number, band in enumerate(plans):
            for i, (layer, (begin, end)) in enumerate(zip(self.layers, band, strict=True)):
                first, last = layer.needed(begin, end)
                source = between[i - 1] if i else _Rows(self._x(), 0, layer.rows)
                x = self._view(source.number, first - source.begin, last - first)
                if i < len(between):
                    y = self._make_room(between[i], self._read(i, band)[0], begin, end)
                else:
                    y = self._view(layer.step.outputs[0], begin, end - begin)
                part = f"{number + 1}/{count}"
                self._step(layer.step, part, [x, *layer.step.inputs[1:]], [y], layer.on(begin, end))
                for j in layer.beside:
                    step = self.program.steps[j]
                    self._step(step, part, *self._rows_of(step, y, layer.height, begin, end), step.params)
        if any(v.offset % structs.ARENA_ALIGN for v in self.values[len(self.program.values) :]):
            return None
        try:
            for step in self.steps:
                ask(step, self.values)
        except PlanError:
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

    def _read(self, i: int, band: list[tuple[int, int]]) -> tuple[int, int]:
        """The rows of layer i's result that are read in a band."""
        return self.layers[i + 1].needed(*band[i + 1]) if i + 1 < len(self.layers) else band[i]

    def _x(self) -> int:
        x = self.layers[0].step.inputs[0]
        assert x is not None
        return x

    def _step(self, step: Step, part: str, inputs: list[int | None], outputs: list[int], params: bytes) -> None:
        name = f"{step.name} {part}"
        self.steps.append(replace(step, name=name, inputs=inputs, outputs=outputs, params=params))

    def _rows_of(self, step: Step, y: int, height: int, begin: int, end: int) -> tuple[list[int | None], list[int]]:
        """Inputs and outputs of a step beside, for rows begin .. end - 1 of `height`, which y has just got."""
        if step.kind == "bias_grad":  # a sum that goes on
            return ([y, step.outputs[0]] if begin else [y]), step.outputs
        if step.kind == "clip_mask":
            return [y], [self._part(step.outputs[0], height, begin, end)]
        assert step.inputs[1] is not None
        return [y, self._part(step.inputs[1], height, begin, end)], [y]

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

    def _part(self, number: int, height: int, begin: int, end: int) -> int:
        """As _view, of a tensor of whatever axes."""
        v = self.values[number]
        row = v.bytes // height
        dims = ((end - begin) * row // array_dtype(v.dtype).itemsize,)
        self.values.append(replace(v, name=f"{v.name} {begin}:{end}", dims=dims, offset=v.offset + row * begin))
        return len(self.values) - 1

    def _program(self) -> Program:
        first, end = self.layers[0].at, max((self.layers[-1].at, *self.layers[-1].beside)) + 1
        more = len(self.steps) + len(self.behind) - (end - first)
        moved = [
            replace(s, target=s.target + more) if s.target is not None and s.target >= end else s
            for s in self.program.steps
        ]
        steps = [*moved[:first], *self.steps, *self.behind, *moved[end:]]
        return replace(self.program, values=self.values, steps=steps)
