"""The C code, seen from Python (csrc/bindings). Numbers and buffers only; names and shapes: session.py and plan/."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

class PlanRefused(Exception):
    """args: (status: int, status_name: str, op: int | None, tensor: int | None, text: str)"""

def abi_version() -> int: ...
def crc32(data: bytes | memoryview | npt.NDArray[np.uint8]) -> int: ...
def cpu_features() -> tuple[str, list[str]]: ...  # ISA level in use (PYEDGE_ISA may lower it), features of the CPU
def clock_cost() -> tuple[int, int]: ...
def peaks(read_bytes: Sequence[int], seconds: float) -> list[tuple[str, float, float, list[float]]]:
    """What one core does at most, for each ISA level in use: level, float32 FLOP/s, int8 OP/s, bytes/s by size.

    seconds: of each measurement.
    """

def op_kinds() -> dict[str, int]: ...  # ops of this build: {"conv2d_s8": 3, ...}
def kernels(op: str = "") -> list[str]: ...  # micro-kernels of this build, "gemm_s8__portable_2x4", filtered by prefix
def op_check(
    kind: int,
    params: bytes,
    tensors: Sequence[tuple[int, tuple[int, ...]] | tuple[int, tuple[int, ...], float, int] | None],
    inputs: int,
) -> int:
    """Scratch bytes that an op needs. tensors: of inputs then outputs (dtype, dims), and scale and zero point where
    custom ops are to see them; None for an absent input.

    Raises PlanRefused if they do not fit together.
    """

def custom_add(address: int, source: int) -> dict[str, Any]:
    """Makes a pe_custom_op known, for as long as the process lives; again is harmless. source: if it does not say one.

    Returns its name, source, params_bytes, inputs and outputs. The memory at address must never go away. Raises
    ValueError for a kernel of another PE_CUSTOM_ABI.
    """

def op_run(
    kind: int,
    params: bytes,
    inputs: Sequence[npt.NDArray[Any] | None],
    outputs: Sequence[npt.NDArray[Any]],
    constants: int = 0,
) -> None:
    """Checks and runs one op on C-contiguous arrays of the dtypes of plans; the GIL is released.

    constants: bit i: input i is a weight or a bias, which a layer kernel may pack; it takes its cases as in a session.

    Arrays that do not start on 16 bytes go through an aligned copy. Raises PlanRefused if tensors or params do not fit,
    TypeError for another dtype, a strided array or a read-only output, ValueError for an output that overlaps an array.
    """

class Plan:
    """A verified plan. Keeps a reference to a read-only buffer on 64 bytes (a mapped file), else a copy of the bytes.

    Raises PlanRefused. A buffer shorter or longer than the plan in it: shorter is refused, what follows is ignored.
    """

    def __init__(
        self,
        data: bytes | bytearray | memoryview | npt.NDArray[np.uint8],
        skip_crc: bool = False,
        isa: str | None = None,  # sessions use kernels of this level at most: "portable", "avx2", "avx512"
        any_layout: bool = False,  # take constants in layouts of boards, too, with which no session runs here
    ) -> None: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def data(self) -> memoryview:
        """The bytes, read-only; keeps the plan alive."""

class Session:
    """One arena on a plan, all zeros at first."""

    def __init__(self, plan: Plan, threads: int = 1) -> None: ...  # 1 to 64, else ValueError
    @property
    def threads(self) -> int:
        """How many threads the last run used."""
    def tensor(self, number: int) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, a view; read-only for constants. Keeps the session alive."""
    def acquire(self) -> bool:
        """Claims the session for feeding, running and reading, as calls of `caller` do; False if another has it."""
    def release(self) -> None: ...
    def caller(
        self,
        entry: int,
        inputs: Sequence[tuple[int, np.dtype[Any], Sequence[int], bool]],
        outputs: Sequence[tuple[int, np.dtype[Any], Sequence[int], bool]],
    ) -> Callable[[tuple[Any, ...]], Any]:
        """call(arrays): an entry on C-contiguous ndarrays of exactly these dtypes and shapes; a new array, or a list.

        None, and nothing done, for anything else, or if the session is claimed. inputs, outputs: number, dtype, shape,
        and whether ops may read it from the caller's array, or write it to the new one, instead of the arena.
        """
    def kernel(self, op: int) -> str | None:
        """The layer kernel that runs op number `op` of the plan, "conv2d_s8__avx512"; None: its ordinary code."""
    def binds(self, op: int) -> bool:
        """Whether op number `op` has a kernel that takes its first input and its output outside the arena."""
    def run(self, entry: int, counts: npt.NDArray[np.uint64] | None = None) -> bool:
        """Runs an entry without the GIL; False, and nothing done, if the session is already running.

        counts: one element per op of the plan, nanoseconds are added.
        Raises PlanRefused for an entry that the plan lacks.
        """
