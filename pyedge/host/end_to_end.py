"""What an inference takes beside the network: from the file to the answer, one sample after another.

Source of the question: AbouElhamayed et al., Beyond Inference: Performance Analysis of DNN Server Overheads for
Computer Vision, DAC 2024, which finds such shares for servers. Here nothing overlaps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import count

import numpy as np

from ..errors import ShapeError
from ..plan import OpCount, PlanTensor, Profile, collect
from ..plan.profile import EMULATOR_FLAG
from ..session import Session
from ..tune.feeds import feeds
from .remote import Remote

Array = np.ndarray
Samples = Mapping[str, Array]


def end_to_end(
    target: Session | Remote,
    decode: Callable[[], Samples],
    *,
    entry: str = "main",
    runs: int | None = None,
    warmup: int = 5,
) -> Profile:
    """Times each stage of an inference by this computer's clock, in nanoseconds.

    Args:
        decode: Reads the samples from where they are kept: for each input by name an array, samples along the first
            axis (`tune.feeds`). It is called before each run; of its time a sample's part counts.
        runs: By default as many as bring the 95 % interval of the median within 1 % of it, up to 2000 runs or 20 s.

    Returns:
        A profile whose ops are the stages: decode; quantize, and cut into inputs; send, into the arena, of a
        board over the link; run, as a board with a clock in seconds counts it; command, what the link took to start and
        end the run, or the run as well where the board has no such clock; receive; dequantize. Times with an emulated
        board are those of the emulator, and flagged.

    Raises:
        ShapeError: Samples that don't fit the inputs, or none. And what `decode` and `run` raise.
    """
    e = target.plan.entry(entry)
    remote = isinstance(target, Remote)
    numbers = count()

    def quantized(outputs: list[Array]) -> list[tuple[PlanTensor, Array]]:
        pairs = zip(e.outputs, outputs, strict=True)
        return [(t, y) for t, y in pairs if t.dtype in ("int8", "uint8", "int16") and t.scale is not None]

    def once() -> Array:
        marks = [time.perf_counter_ns()]
        arrays = decode()
        marks.append(time.perf_counter_ns())
        samples = feeds(e, arrays)
        marks.append(time.perf_counter_ns())
        outputs, (send, run, command, receive) = target.timed(samples[next(numbers) % len(samples)], entry)
        marks.append(time.perf_counter_ns())
        for t, y in quantized(outputs):
            t.dequantize(y)
        end = time.perf_counter_ns() if any(quantized(outputs)) else marks[3]
        each = [(marks[1] - marks[0]) // len(samples), (marks[2] - marks[1]) // len(samples)]
        return np.array([*each, send, run, command, receive, end - marks[3]], np.int64)

    if not e.inputs:
        raise ShapeError(f"entry {entry!r} has no inputs, so there is nothing to decode")
    rows = collect(once, runs, warmup)
    target.reset()
    way = "link" if remote else "copy"
    stages = [("decode", "file"), ("quantize", "host"), ("send", way), ("run", "network"), ("command", way)]
    stages += [("receive", way), ("dequantize", "host")]
    used = [i for i in range(len(stages)) if rows[:, i].any()]
    conditions = {
        "sent_bytes": sum(t.bytes for t in e.inputs),
        "received_bytes": sum(t.bytes for t in e.outputs),
    }
    emulated = isinstance(target, Remote) and target.board.emulated
    flags = [EMULATOR_FLAG] if emulated else []
    name = target.board.name if isinstance(target, Remote) else "host"
    ops = [OpCount(*stages[i], 0) for i in used]
    return Profile.from_samples(rows[:, used], ops, "ns", name, entry, conditions, (0, 0), flags)
