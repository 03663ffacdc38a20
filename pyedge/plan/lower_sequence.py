"""Lowerings of the kinds of model/ops_sequence.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import PlanError
from ..model.graph import Op
from ..model.ops_sequence import LstmNumbers, SvdfNumbers
from ..model.quantmath import ACTIVATION_RANGES
from .lower import Builder, lowers


def _tensors(b: Builder, op: Op) -> list[Any]:
    return [None if n is None else b.tensor(n) for n in (*op.inputs, *op.outputs)]


def _constant(b: Builder, op: Op, i: int) -> np.ndarray:
    data = b.program.values[b.input(op, i)].data
    if data is None:
        raise PlanError(f"op {op.name!r} ({op.kind}): input {op.inputs[i]!r} must be a constant")
    return data


@lowers("lstm_sequence")
def _lstm_sequence(b: Builder, op: Op) -> None:
    inputs = [b.input(op, i) for i in range(6)]
    params: dict[str, Any] = {"time_major": int(op.attrs["time_major"]), "f_clip": op.attrs["cell_clip"]}
    if b.program.values[inputs[0]].dtype == "float32":
        b.emit("lstm_sequence_f32", op.name, inputs, b.results(op), **params)
        return
    p = LstmNumbers(op, _tensors(b, op))
    for letter, factors in (("x", p.x), ("h", p.h)):
        params |= {
            f"{letter}_multiplier": [f.multiplier for f in factors],
            f"{letter}_shift": [f.shift for f in factors],
        }
    for name, factor in (("in", p.input), ("forget", p.forget), ("out", p.output)):
        params |= {f"{name}_multiplier": factor.multiplier, f"{name}_shift": factor.shift}
    wide = b.program.values[inputs[0]].dtype == "int16"
    if not wide:  # the zero points go into the starts of the sums: exact, modulo 2^32
        from_x = _constant(b, op, 3) - p.x_zero_point * _constant(b, op, 1).astype(np.int64).sum(axis=2)
        from_h = -p.h_zero_point * _constant(b, op, 2).astype(np.int64).sum(axis=2)
        inputs[3] = b.constant(f"{op.name}:bias", np.stack([from_x, from_h]).astype(np.int64).astype(np.int32))
    params |= {"clip": p.clip, "h_zero_point": p.h_zero_point}
    params |= {"tanh_multiplier": p.tanh_multiplier, "tanh_shift": p.tanh_shift}
    b.emit("lstm_sequence_s16" if wide else "lstm_sequence_s8", op.name, inputs, b.results(op), **params)


@lowers("svdf")
def _svdf(b: Builder, op: Op) -> None:
    inputs = [b.optional_input(op, i) for i in range(5)]
    if b.program.values[b.input(op, 0)].dtype == "float32":
        low, high = ACTIVATION_RANGES[op.attrs["activation"]]
        b.emit("svdf_f32", op.name, inputs, b.results(op), rank=op.attrs["rank"], f_min=low, f_max=high)
        return
    p = SvdfNumbers(_tensors(b, op))
    b.emit(
        "svdf_s8",
        op.name,
        inputs,
        b.results(op),
        rank=op.attrs["rank"],
        x_zero_point=p.x_zero_point,
        state_zero_point=p.state_zero_point,
        y_zero_point=p.y_zero_point,
        state_multiplier=p.state.multiplier,
        state_shift=p.state.shift,
        y_multiplier=p.y.multiplier,
        y_shift=p.y.shift,
    )
