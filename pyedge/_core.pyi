"""The C code, seen from Python (csrc/bindings). Numbers and buffers only; names and shapes live in session.py and plan/."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

class PlanRefused(Exception):
    """args: (status: int, status_name: str, op: int | None, tensor: int | None, text: str)"""

def abi_version() -> int: ...
def crc32(data: bytes | memoryview | npt.NDArray[np.uint8]) -> int: ...
def op_kinds() -> dict[str, int]: ...  # ops of this build: {"conv2d_s8": 3, ...}
def kernels(op: str = "") -> list[str]: ...  # micro-kernels of this build, "gemm_s8__portable_2x4", filtered by prefix

def op_check(kind: int, params: bytes, tensors: Sequence[tuple[int, tuple[int, ...]] | None], inputs: int) -> int:
    """Scratch bytes that an op needs. tensors: (dtype, dims) of inputs then outputs, None for an absent input.

    Raises PlanRefused if they do not fit together.
    """

def op_run(kind: int, params: bytes, inputs: Sequence[npt.NDArray | None], outputs: Sequence[npt.NDArray]) -> None:
    """Checks and runs one op on C-contiguous arrays (float32, int8, int32, bool). Raises PlanRefused or TypeError."""

class Plan:
    """A verified plan; keeps a 64-byte-aligned reference to (or, where unaligned, a copy of) the bytes."""

    def __init__(self, data: bytes | bytearray | memoryview | npt.NDArray[np.uint8], skip_crc: bool = False) -> None: ...
    arena_bytes: int
    data: memoryview  # read-only

class Session:
    """One arena on a plan."""

    def __init__(self, plan: Plan) -> None: ...
    def tensor(self, number: int) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, a view; read-only for constants. Keeps the session alive."""
    def run(self, entry: int, counts: npt.NDArray[np.uint64] | None = None) -> bool:
        """Runs an entry without the GIL; False, and nothing done, if the session is already running.

        counts: one element per op of the plan, nanoseconds are added.
        """
