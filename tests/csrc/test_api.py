"""The C API, compiled as firmware's C code is, under ASan and UBSan."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from plan_image import gated_plan


def test_the_c_api_on_a_plan_in_flash(build_c: Callable[..., Path], tmp_path: Path) -> None:
    """Verify, bind, run both entries, early exit, profile, canonical NaN, refusals of bad addresses and sizes."""
    plan = tmp_path / "gated.pedge"
    plan.write_bytes(gated_plan().image().sealed())
    done = subprocess.run([build_c("csrc/api_test.c"), plan], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_trimmed_build_has_only_the_ops_it_keeps(build_c: Callable[..., Path], tmp_path: Path) -> None:
    """With PE_TRIM_HEADER the plan still runs, and no kernel of another op is linked."""
    keep = ("clip_f32", "any_ge_f32", "branch", "add_f32")
    (tmp_path / "trim.h").write_text("".join(f"#define PE_TRIM_{op} 1\n" for op in keep))
    plan = tmp_path / "gated.pedge"
    plan.write_bytes(gated_plan().image().sealed())
    flags = [
        "-g0",
        f'-DPE_TRIM_HEADER="{tmp_path}/trim.h"',
        "-ffunction-sections",
        "-fdata-sections",
        "-Wl,--gc-sections",
    ]
    program = build_c("csrc/api_test.c", *flags, sanitize=False)
    subprocess.run([program, plan], check=True)
    symbols = program.read_bytes()
    assert b"pe_op_def_add_f32" in symbols
    for dropped in (b"pe_op_def_add_s8", b"pe_op_def_conv2d_s8", b"pe_gemm_s8", b"pe_gemm_f32", b"pe_dwconv"):
        assert dropped not in symbols, dropped
