"""TFLite Micro's custom operators for streams, as kinds of ops_signal.py; what they keep from run to run is a state.

Options are a FlexBuffer map. Source: tensorflow/tflite-micro, signal/micro/kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from .graph import Op, State, Tensor
from .ops import MAX_EXTENT
from .tflite_file import FileOperator, Unsupported

if TYPE_CHECKING:
    from .tflite import Importer

Converter = Callable[["Importer", FileOperator], None]

_UINT32 = 2**32 - 1


def _option(op: FileOperator, name: str, low: int, high: int) -> int:
    value = op.custom_option(name)
    if not low <= value <= high:
        raise ModelError(f"operator {op.number} {op.name}: {name} is {value}, expected {low} to {high}")
    return value


def _inputs(m: Importer, op: FileOperator, count: int) -> list[str | None]:
    return [m.add_any(m.tensor(op, i)) for i in range(count)]


def _outputs(m: Importer, op: FileOperator, count: int) -> list[str]:
    if len(op.outputs) != count:
        raise ModelError(f"operator {op.number} {op.name}: {len(op.outputs)} outputs, expected {count}")
    return [m.add_any(m.file.tensors[number]) for number in op.outputs]


def _add_op(
    m: Importer, op: FileOperator, kind: str, inputs: list[str | None], outputs: list[str], **attrs: Any
) -> None:
    m.graph.ops.append(Op(kind, f"{kind}_{op.number}", inputs, outputs, attrs))


def _shape(m: Importer, name: str | None) -> tuple[int, ...]:
    shape = m.graph.tensors[str(name)].shape
    if None in shape or not shape:
        raise Unsupported(f"{name!r} has open sizes or no axis")
    return tuple(d for d in shape if d is not None)


def _state(m: Importer, op: FileOperator, suffix: str, initial: np.ndarray) -> State:
    """A state of its own for an operator; who calls this sets `next`."""
    if initial.size > MAX_EXTENT:
        raise ModelError(f"operator {op.number} {op.name}: it keeps {initial.size} numbers, more than 2^30")
    name = f"{m.file.tensors[op.outputs[0]].name}:{suffix}"
    while name in m.graph.tensors:
        name += ":"
    m.graph.add_tensor(Tensor(name, initial.shape, str(initial.dtype)))
    m.graph.states.append(State(name, name, initial))
    return m.graph.states[-1]


def _number(m: Importer, op: FileOperator, value: int) -> str:
    return m.literal(op, np.array(value, np.int32))


def _last(m: Importer, op: FileOperator, x: str, start: int, count: int) -> str:
    """Elements start .. start + count along the last axis."""
    axis = len(_shape(m, x)) - 1
    return m.between(op, "slice", [x], starts=(start,), ends=(start + count,), axes=(axis,), steps=(1,))


def _remembered(m: Importer, op: FileOperator, x: str | None, count: int) -> str:
    """The `count` elements that came before x, a state, and x, along the last axis."""
    before, size = _shape(m, x)[:-1], _shape(m, x)[-1]
    state = _state(m, op, "history", np.zeros((*before, count), m.graph.tensors[str(x)].dtype))
    stream = m.between(op, "concat", [state.name, x], axis=len(before))
    state.next = _last(m, op, stream, size, count)
    return stream


# --- without a state ------------------------------------------------------------------------------------------------


def _plain(kind: str, inputs: int, outputs: int = 1, **options: tuple[str, int, int]) -> Converter:
    """options: attribute -> the operator's name for it, and its range."""

    def convert(m: Importer, op: FileOperator) -> None:
        attrs = {name: _option(op, *where) for name, where in options.items()}
        _add_op(m, op, kind, _inputs(m, op, inputs), _outputs(m, op, outputs), **attrs)

    return convert


def _irfft(m: Importer, op: FileOperator) -> None:
    (x,) = _inputs(m, op, 1)
    length = _option(op, "fft_length", 1, MAX_EXTENT)
    if _shape(m, x)[-1] != length + 2:
        raise Unsupported(f"fft_length {length} of {x!r} {list(_shape(m, x))}")
    _add_op(m, op, "signal_irfft", [x], _outputs(m, op, 1))


# --- with a state ---------------------------------------------------------------------------------------------------


def _spectral_subtraction(m: Importer, op: FileOperator) -> None:
    """The noise estimate is an output and, in the next run, what the new estimate begins with."""
    (x,), outputs = _inputs(m, op, 1), _outputs(m, op, 2)
    noise = _state(m, op, "noise", np.zeros(_shape(m, x), np.uint32))
    noise.next = outputs[1]

    def pair(name: str) -> tuple[int, int]:
        return _option(op, name, 0, _UINT32), _option(op, f"alternate_{name}", 0, _UINT32)

    _add_op(
        m,
        op,
        "signal_spectral_subtraction",
        [x, noise.name],
        outputs,
        smoothing=pair("smoothing"),
        keep=pair("one_minus_smoothing"),
        min_remaining=_option(op, "min_signal_remaining", 0, _UINT32),
        smoothing_bits=_option(op, "smoothing_bits", 0, 31),
        bits=_option(op, "spectral_subtraction_bits", 0, 31),
        clamping=bool(_option(op, "clamping", 0, 1)),
    )


def _delay(m: Importer, op: FileOperator) -> None:
    (x,), (y,) = _inputs(m, op, 1), _outputs(m, op, 1)
    count = _option(op, "delay_length", 0, MAX_EXTENT)
    if count == 0:
        _add_op(m, op, "identity", [x], [y])
        return
    stream = _remembered(m, op, x, count)
    axis, size = len(_shape(m, x)) - 1, _shape(m, x)[-1]
    _add_op(m, op, "slice", [stream], [y], starts=(0,), ends=(size,), axes=(axis,), steps=(1,))


def _circular_buffer(m: Importer, op: FileOperator) -> None:
    """The newest of the rows along axis 1, x last. What TFLM leaves open before the first runs is 0.

    With a period above 1 TFLM ends most runs at this operator, so that what follows keeps its old outputs.
    """
    (x,), (y,) = _inputs(m, op, 1), _outputs(m, op, 1)
    before, after = _shape(m, x), _shape(m, y)
    if m.graph.tensors[y].dtype != "int8":
        raise Unsupported(f"{y!r} is {m.graph.tensors[y].dtype}, expected int8")
    if len(before) != 4 or len(after) != 4 or before[:2] != (1, 1) or after != (1, after[1], *before[2:]):
        raise ModelError(f"operator {op.number} {op.name}: {x!r} {list(before)} and {y!r} {list(after)} do not fit")
    period = _option(op, "cycles_max", -(2**31), 2**31 - 1)
    if period <= 0:  # left to the engine, which goes by the number of rows
        period = 1 if after[1] in (5, 13, 25) else 2
    if period != 1:
        raise Unsupported(f"a period of {period} runs (cycles_max); only 1")
    state = _state(m, op, "rows", np.zeros(after, np.int8))
    m.graph.tensors[state.name].quant = m.graph.tensors[y].quant
    stream = m.between(op, "concat", [state.name, x], axis=1)
    _add_op(m, op, "slice", [stream], [y], starts=(1,), ends=(1 + after[1],), axes=(1,), steps=(1,))
    state.next = y


def _framer(m: Importer, op: FileOperator) -> None:
    """Frames of `size` elements that begin `step` apart. Without prefill nothing is valid until enough steps have come,
    and each frame ends up to a step before the newest element."""
    (x,), (y, valid) = _inputs(m, op, 1), _outputs(m, op, 2)
    size, step = _option(op, "frame_size", 1, MAX_EXTENT), _option(op, "frame_step", 1, MAX_EXTENT)
    prefill = bool(_option(op, "prefill", 0, 1))
    if _shape(m, x)[-1] % step or (prefill and size < step):
        raise Unsupported(f"steps of {step} with frames of {size} over {x!r} {list(_shape(m, x))}")
    missing = -(-size // step) - 1  # steps before the first frame
    kept = size - step if prefill else missing * step
    stream = _remembered(m, op, x, kept) if kept else x
    _add_op(m, op, "signal_frames", [stream], [y], size=size, step=step)
    if prefill or not missing:
        _add_op(m, op, "identity", [m.literal(op, np.array(True))], [valid])
        return
    seen, most = _state(m, op, "steps", np.array(0, np.int32)), _number(m, op, missing)
    _add_op(m, op, "greater_equal", [seen.name, most], [valid])
    steps = _number(m, op, _shape(m, x)[-1] // step)
    seen.next = m.between(op, "min", [m.between(op, "add", [seen.name, steps], activation=None), most])


def _stacker(m: Importer, op: FileOperator) -> None:
    """The last left + 1 + right frames; before the first one stand `left` copies of it. Valid when `right` frames have
    come after the first, and then each `step` runs."""
    (x,), (y, valid) = _inputs(m, op, 1), _outputs(m, op, 2)
    left, right = (_option(op, f"stacker_{side}_context", 0, 2**15) for side in ("left", "right"))
    step = _option(op, "stacker_step", 1, 2**15)
    (channels,) = _shape(m, x) if len(_shape(m, x)) == 1 else (0,)
    if step > left + right + 1 or channels != _option(op, "num_channels", 1, MAX_EXTENT):
        raise Unsupported(f"steps of {step} with {left} and {right} frames around one of {x!r} {list(_shape(m, x))}")
    # The number of frames so far, 0 .. right + step; right + step is valid as right was, and is followed by right + 1.
    seen = _state(m, op, "frames", np.array(0, np.int32))
    if left + right:
        history = _state(m, op, "history", np.zeros((left + right) * channels, np.int16))
        first = m.between(op, "equal", [seen.name, _number(m, op, 0)])
        copies = m.between(op, "tile", [x], repeats=(left + right,))
        stream = m.between(op, "concat", [m.between(op, "where", [first, copies, history.name]), x], axis=0)
        history.next = _last(m, op, stream, channels, (left + right) * channels)
    else:
        stream = str(x)
    _add_op(m, op, "identity", [stream], [y])
    again = m.between(op, "equal", [seen.name, _number(m, op, right + step)])
    _add_op(m, op, "or", [m.between(op, "equal", [seen.name, _number(m, op, right)]), again], [valid])
    after = m.between(op, "add", [seen.name, _number(m, op, 1)], activation=None)
    seen.next = m.between(op, "where", [again, _number(m, op, right + 1), after])


def _overlap_add(m: Importer, op: FileOperator) -> None:
    (x,), (y,) = _inputs(m, op, 1), _outputs(m, op, 1)
    shape, dtype = _shape(m, x), m.graph.tensors[str(x)].dtype
    if len(shape) < 2:
        raise Unsupported(f"{x!r} has rank {len(shape)}")
    buffer = _state(m, op, "buffer", np.zeros((*shape[:-2], shape[-1]), dtype))
    buffer.next = f"{buffer.name}:next"
    m.graph.add_tensor(Tensor(buffer.next, buffer.initial.shape, dtype))
    step = _option(op, "frame_step", 1, MAX_EXTENT)
    _add_op(m, op, "signal_overlap_add", [x, buffer.name], [y, buffer.next], step=step)


_CONVERTERS: dict[str, Converter] = {
    "SignalWindow": _plain("signal_window", 2, shift=("shift", 0, 31)),
    "SignalFftAutoScale": _plain("signal_auto_scale", 1, 2),
    "SignalRfft": _plain("signal_rfft", 1, length=("fft_length", 1, MAX_EXTENT)),
    "SignalIrfft": _irfft,
    "SignalEnergy": _plain("signal_energy", 1, start=("start_index", 0, MAX_EXTENT), end=("end_index", 0, MAX_EXTENT)),
    "SignalFilterBank": _plain("signal_filter_bank", 6),
    "SignalFilterBankSquareRoot": _plain("signal_square_root", 2),
    "SignalFilterBankSpectralSubtraction": _spectral_subtraction,
    "SignalPCAN": _plain("signal_pcan", 3, shift=("snr_shift", 0, 63)),
    "SignalFilterBankLog": _plain(
        "signal_log", 1, bits=("input_correction_bits", 0, 31), factor=("output_scale", 0, _UINT32)
    ),
    "SignalFramer": _framer,
    "SignalOverlapAdd": _overlap_add,
    "SignalStacker": _stacker,
    "CIRCULAR_BUFFER": _circular_buffer,
    "SignalDelay": _delay,
}
SIGNALS = {f"custom operator {name!r}": convert for name, convert in _CONVERTERS.items()}
