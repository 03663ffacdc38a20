"""The C API, compiled as firmware's C code is, under ASan and UBSan."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from plan_image import gated_plan


def test_the_c_api_on_a_plan_in_flash(build_c: Callable[..., Path], tmp_path: Path) -> None:
    """Verify, bind, run both entries, early exit, profile, canonical NaN, refusals of bad addresses and sizes."""
    plan = tmp_path / "gated.pedge"
    plan.write_bytes(gated_plan().image().sealed())
    done = subprocess.run([build_c("api_test.c"), plan], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
