"""Lowering of the kinds of model/ops_signal.py."""

from __future__ import annotations

from ..model.graph import Op
from ..model.ops_signal import fft_table
from .lower import Builder, lowers
from .lower_move import dims_of, move, strides

_FFT = {"int16": "s16", "int32": "s32", "float32": "f32"}


@lowers("signal_frames")
def _frames(b: Builder, op: Op) -> None:
    x, y = b.input(op, 0), b.result(op)
    from_x, to_y = strides(dims_of(b, x)), strides(dims_of(b, y))
    steps = [*from_x[:-1], op.attrs["step"], 1]
    move(b, op, x, y, list(zip(dims_of(b, y), steps, to_y, strict=True)))


@lowers("signal_rfft", "signal_irfft")
def _fft(b: Builder, op: Op) -> None:
    x, inverse = b.input(op, 0), op.kind == "signal_irfft"
    dtype = b.program.values[x].dtype
    length = dims_of(b, x)[-1] - 2 if inverse else op.attrs["length"]
    table = b.constant(f"{op.name}:factors", fft_table(length, dtype, inverse))
    b.emit(f"{op.kind}_{_FFT[dtype]}", op.name, [x, table], [b.result(op)])


@lowers(
    "signal_window",
    "signal_auto_scale",
    "signal_energy",
    "signal_square_root",
    "signal_spectral_subtraction",
    "signal_pcan",
    "signal_log",
    "signal_codes",
)
def _as_it_is(b: Builder, op: Op) -> None:
    """The attributes are the params."""
    b.emit(op.kind, op.name, [b.input(op, i) for i in range(len(op.inputs))], b.results(op), **op.attrs)


@lowers("signal_filter_bank")
def _filter_bank(b: Builder, op: Op) -> None:
    inputs = [b.input(op, i) for i in range(len(op.inputs))]
    float_ = b.program.values[inputs[0]].dtype == "float32"
    b.emit(f"{op.kind}_f32" if float_ else op.kind, op.name, inputs, [b.result(op)])


@lowers("signal_overlap_add")
def _overlap_add(b: Builder, op: Op) -> None:
    b.emit(op.kind, op.name, [b.input(op, 0), b.input(op, 1)], b.results(op))
