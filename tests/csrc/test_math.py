"""The elementary functions of binary32."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FMA = Path(__file__).resolve().parents[2] / "csrc/kernels/fma.c"


@pytest.mark.parametrize("step", [49999])
def test_elementary_functions_stay_within_their_bounds(build_c: Callable[..., Path], step: int) -> None:
    """Against the C library in double, special values and both ends of the exponents included."""
    done = subprocess.run([build_c("csrc/math_test.c", sources=[FMA]), str(step)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
