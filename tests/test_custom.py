"""Custom ops: registered, used in graphs and plans, refused by name where they are missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import custom_kernels as kernels
import numpy as np
import pytest
from custom_kernels import DECLARATION, SMOOTH, feed, like_x, pair_plan, register_pair, register_smooth, smooth_plan

import pyedge as pe
from pyedge import custom
from pyedge.model import reference
from pyedge.model.custom import KERNELS

INCLUDE = Path(__file__).resolve().parent.parent / "csrc" / "include"


@pytest.fixture(autouse=True)
def unregistered() -> Iterator[None]:
    """Each test begins and ends without custom ops."""
    yield
    for name in list(KERNELS):
        pe.unregister_op(name)


def x() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 7, 3), np.float32)


def shared_library(folder: Path, *flags: str, source: Path = SMOOTH) -> Path:
    library = folder / "op.so"
    command = ["gcc", "-shared", "-fPIC", "-O2", "-ffp-contract=off", f"-I{INCLUDE}", *flags, str(source)]
    subprocess.run([*command, "-o", str(library)], check=True)
    return library


def test_a_kernel_has_the_bits_of_its_reference() -> None:
    """And check_op gives its results."""
    register_smooth()
    (y,) = pe.check_op("smooth", x(), alpha=0.25)
    assert y.tobytes() == kernels.smooth([x()], {"alpha": 0.25}, []).tobytes()


def test_a_graph_with_a_custom_op_runs_in_a_session() -> None:
    """It equals the reference of the graph, and the plan names the op and its source."""
    register_smooth()
    b = pe.GraphBuilder()
    b.output("y", b.op("smooth", b.op("smooth", b.input("x", (None, 7, 3), "float32"), alpha=0.5)[0], alpha=1)[0])
    graph = b.build()
    plan = pe.compile(graph, batch=2)
    assert pe.Session(plan)(x()).tobytes() == reference.run(graph, {"x": x()})["y"].tobytes()
    params = {"name": "smooth", "source": custom.source_number(SMOOTH)}
    assert [(op.kind, op.params) for op in plan.ops] == [("custom", params)] * 2


def test_scratch_arrays_and_several_results(tmp_path: Path) -> None:
    """int8 with scales, params with an array, two results; and an op with any number of inputs and no params."""
    register_pair(tmp_path)
    random = np.random.default_rng(3)
    q = random.integers(-128, 128, (3, 5), np.int8)
    low, high = pe.check_op("split_low", q, scale=0.5, zero_point=3, shift=np.array([1, -2]), low=np.int64(90))
    np.testing.assert_array_equal(
        low.astype(int) - high, np.where((low < -125) | (high > 125), low.astype(int) - high, 3)
    )
    n = random.integers(-(2**31), 2**31, (2, 4), np.int32)
    assert pe.check_op("total", n, n, n)[0].tobytes() == (n + n + n).tobytes()
    plan = pair_plan()
    assert plan.scratch_bytes >= 20
    assert [y.shape for y in pe.Session(plan).run(feed(plan))] == [(4, 5), (6,)]


def test_a_saved_plan_needs_its_op(tmp_path: Path) -> None:
    """Refused by name while it is not registered; sessions that are there go on; registered again it runs."""
    register_smooth()
    plan = smooth_plan()
    plan.save(tmp_path / "smooth.pedge")
    session = pe.Session(plan)
    expected = session(x())
    pe.unregister_op("smooth")
    with pytest.raises(
        pe.PlanError, match=r"needs the custom op 'smooth', which is not registered; try: .*register_op"
    ):
        pe.load(tmp_path / "smooth.pedge")
    assert session(x()).tobytes() == expected.tobytes()
    register_smooth()
    assert pe.Session(pe.load(tmp_path / "smooth.pedge"))(x()).tobytes() == expected.tobytes()


def test_an_op_that_no_process_has_seen_is_refused_by_name(tmp_path: Path) -> None:
    """In a process where the executor itself has never met it."""
    import sys

    register_smooth()
    smooth_plan().save(tmp_path / "smooth.pedge")
    code = "import sys, pyedge; pyedge.Plan.load(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "smooth.pedge"], capture_output=True, text=True)
    assert (
        "smooth.pedge: the plan needs the custom op 'smooth', which is not registered" in done.stderr.splitlines()[-1]
    )


def test_a_plan_of_another_source_is_refused(tmp_path: Path) -> None:
    """One byte more in the source, or in a file that it includes, is another source."""
    source = register_pair(tmp_path)
    data = bytes(pair_plan().data)
    (tmp_path / "offset.h").write_text("#define OFFSET 99\n")
    custom.load_kernels(source)
    with pytest.raises(pe.PlanError, match=r"another source of the custom op 'split_low' than .*pair.c"):
        pe.Plan(data)


def test_registering_again_replaces_for_what_comes_later(tmp_path: Path) -> None:
    """The old session keeps its kernel, a new plan has the new one."""
    register_smooth()
    old = pe.Session(smooth_plan())
    before = old(x())
    source = tmp_path / "kernel.c"
    source.write_text(SMOOTH.read_text().replace("p->alpha * (", "-p->alpha * ("))
    for _ in range(2):
        register_smooth(source=source)
    assert old(x()).tobytes() == before.tobytes()
    assert pe.Session(smooth_plan())(x()).tobytes() != before.tobytes()
    with pytest.raises(
        pe.VerificationError, match=r"op 'smooth': 36 of 42 elements of result 0 differ, first at \[0, 1, 0"
    ):
        pe.check_op("smooth", x(), alpha=0.25)


def test_a_library_that_the_user_has_built(tmp_path: Path) -> None:
    """Alone, or with the source that it was made from: then it is good for the plans of that source."""
    register_smooth()
    plan = bytes(smooth_plan().data)
    library = shared_library(tmp_path)
    register_smooth(source=None, library=library)
    pe.check_op("smooth", x(), alpha=0.5)
    with pytest.raises(pe.PlanError, match=r"another source of the custom op 'smooth' than .*op.so"):
        pe.Plan(plan)
    register_smooth(library=library)
    pe.Plan(plan)
    shared_library(tmp_path, "-DPE_CUSTOM_SOURCE=5")
    register_smooth(source=None, library=library)
    assert KERNELS["smooth"].source == 5
    with pytest.raises(pe.ModelError, match=r"op.so was built from another source than .*kernel.c"):
        register_smooth(library=library)


def test_a_library_for_another_processor_is_named_as_such(tmp_path: Path) -> None:
    """What dlopen says of it would be that the file is missing."""
    library = shared_library(tmp_path)
    data = bytearray(library.read_bytes())
    data[18:20] = (243).to_bytes(2, "little")
    library.write_bytes(data)
    with pytest.raises(pe.ModelError, match=r"'smooth': .*op.so is for another processor: ELF machine 243, 64 bit"):
        register_smooth(source=None, library=library)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"declaration": "typedef struct { float alpha } smooth_params;"}, pe.ModelError, "declaration does not parse"),
        ({"declaration": "typedef struct { flot alpha; } smooth_params;"}, pe.ModelError, "declaration does not parse"),
        ({"declaration": "struct smooth_params;"}, pe.ModelError, "must be complete"),
        ({"declaration": "int f(void);"}, pe.ModelError, "has 0 structs"),
        (
            {"declaration": "typedef struct { double alpha; } smooth_params;"},
            pe.ModelError,
            "int32_t, float and smaller",
        ),
        (
            {"declaration": "typedef struct { float a, b; } smooth_params;"},
            pe.ModelError,
            "have 8 bytes, the kernel's 4",
        ),
        ({"declaration": ""}, pe.ModelError, "have 0 bytes, the kernel's 4"),
        ({"declaration": "typedef struct { float scale; } smooth_params;"}, pe.ModelError, "called 'scale'"),
        ({"source": None}, pe.ModelError, "give its C source or its library"),
        ({"source": "/absent/kernel.c"}, pe.ModelError, "/absent/kernel.c: No such file"),
        ({"source": INCLUDE / "plan.h"}, pe.ModelError, r"no PE_CUSTOM_OP\(...\)"),
        ({"source": None, "library": SMOOTH}, pe.ModelError, "not a shared library"),
        ({"source": None, "library": "/absent.so"}, pe.ModelError, "/absent.so: No such file"),
    ],
)
def test_what_cannot_be_registered_is_one_line(change: dict[str, Any], error: type[Exception], text: str) -> None:
    """It says which op and what is wrong, and leaves nothing behind."""
    with pytest.raises(error, match=text) as e:
        register_smooth(**change)
    assert "\n" not in str(e.value)
    assert "smooth" not in KERNELS
    with pytest.raises(pe.ModelError, match=r"not registered"):
        pe.check_op("smooth", x(), alpha=0.5)


@pytest.mark.parametrize("name", ["", "a b", "x" * 32, "1st", "relu"])
def test_a_bad_or_taken_name_is_refused(name: str) -> None:
    """Names are C identifiers of at most 31 characters, and none of pyedge's own."""
    with pytest.raises(pe.ModelError, match=r"name"):
        pe.register_op(name, DECLARATION, shapes=like_x, reference=kernels.smooth, source=SMOOTH)


def test_a_library_without_the_op_and_one_that_lacks_a_symbol(tmp_path: Path) -> None:
    """The symbol is named."""
    library = shared_library(tmp_path)
    with pytest.raises(pe.ModelError, match=r"op.so has no PE_CUSTOM_OP\(rough, ...\)"):
        pe.register_op("rough", DECLARATION, shapes=like_x, reference=kernels.smooth, library=library)
    source = tmp_path / "kernel.c"
    source.write_text("float nowhere(float);\n" + SMOOTH.read_text().replace("p->alpha * (", "nowhere(p->alpha) * ("))
    with pytest.raises(pe.ModelError, match=r"undefined symbol: nowhere"):
        register_smooth(source=source)


def test_a_source_that_does_not_compile_is_one_line(tmp_path: Path) -> None:
    """With the compiler's words."""
    source = tmp_path / "kernel.c"
    source.write_text(SMOOTH.read_text().replace("return p->alpha", "return alpha"))
    with pytest.raises(pe.ToolError, match=r"kernel.c: the C compiler refuses it: .*alpha") as e:
        register_smooth(source=source)
    assert "\n" not in str(e.value)


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By apt and by pip."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(custom, "program", lambda *names: None)
    monkeypatch.setattr(custom, "zig", lambda: None)
    with pytest.raises(pe.ToolError, match=r"apt install gcc or: pip install ziglang"):
        register_smooth()


@pytest.mark.parametrize("compiler", ["gcc", "clang-19"])
def test_every_compiler_gives_the_same_bits(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CC names it."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    monkeypatch.setenv("CC", compiler)
    register_smooth()
    pe.check_op("smooth", x(), alpha=0.3)


def test_attributes_are_checked_against_the_declaration() -> None:
    """Missing, unknown and of another type; then by the kernel's own check, where the graph is compiled."""
    register_smooth()
    b = pe.GraphBuilder()
    t = b.input("x", (2, 7, 3), "float32")
    with pytest.raises(pe.ModelError, match=r"attributes \[\], expected \['alpha'\]"):
        b.op("smooth", t)
    with pytest.raises(pe.ModelError, match=r"attributes \['alpha', 'beta'\]"):
        b.op("smooth", t, alpha=0.5, beta=1)
    with pytest.raises(pe.ModelError, match=r"alpha is 'much', expected a C float"):
        b.op("smooth", t, alpha="much")
    with pytest.raises(pe.ModelError, match=r"is int8, it takes float32"):
        b.op("smooth", b.input("q", (2, 7, 3), "int8", scale=1.0), alpha=0.5)
    b.output("y", b.op("smooth", t, alpha=2)[0])
    with pytest.raises(pe.PlanError, match=r"smooth: alpha must be 0 .. 1"):
        pe.compile(b.build())


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (lambda t, a: 1 / 0, "shape rule failed: ZeroDivisionError"),
        (lambda t, a: None, "shape rule gives None"),
        (lambda t, a: [(t[0].shape, "float3")], "shape rule gives"),
        (lambda t, a: like_x(t, a) * 2, "1 results, expected 2"),
    ],
)
def test_a_shape_rule_that_fails_is_one_line(shapes: Any, text: str) -> None:
    """It names the op."""
    register_smooth(shapes=shapes)
    b = pe.GraphBuilder()
    with pytest.raises(pe.ModelError, match=text):
        b.op("smooth", b.input("x", (2, 7, 3), "float32"), alpha=0.5)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (lambda x, a, t: x[1], "reference failed: IndexError"),
        (lambda x, a, t: x[0][:1], "reference gives arrays of the shapes"),
    ],
)
def test_a_reference_that_fails_is_one_line(rule: Any, text: str) -> None:
    """It names the op."""
    register_smooth(reference=rule)
    with pytest.raises(pe.ModelError, match=text):
        pe.check_op("smooth", x(), alpha=0.5)


def test_a_tolerance_and_nan_in_check_op() -> None:
    """A difference within the tolerance passes, NaN equals NaN, and NaN equals nothing else."""
    register_smooth(reference=lambda a, attrs, t: kernels.smooth(a, attrs, t) + np.float32(1e-3))
    pe.check_op("smooth", x(), alpha=0.5, tolerance=2e-3)
    with pytest.raises(pe.VerificationError):
        pe.check_op("smooth", x(), alpha=0.5, tolerance=5e-4)
    register_smooth()
    bad = x()
    bad[0, 3, 1] = np.nan
    pe.check_op("smooth", bad, alpha=0.5)
    register_smooth(reference=lambda a, attrs, t: np.nan_to_num(kernels.smooth(a, attrs, t)))
    with pytest.raises(pe.VerificationError, match=r"\[0, 3, 1\].*kernel gives nan"):
        pe.check_op("smooth", bad, alpha=0.5)


def test_a_kernel_for_another_abi_is_refused(tmp_path: Path) -> None:
    """Compiled against another pyedge_custom.h."""
    with pytest.raises(pe.ModelError, match=r"compiled for version 2 of pyedge_custom.h, this is 1"):
        source = tmp_path / "kernel.c"
        source.write_text(
            '#include "pyedge_custom.h"\n#undef PE_CUSTOM_ABI\n#define PE_CUSTOM_ABI 2\n' + SMOOTH.read_text()
        )
        register_smooth(source=source)


def test_threads_run_and_register_at_once(tmp_path: Path) -> None:
    """Sessions of custom ops in threads, while others are registered."""
    from concurrent.futures import ThreadPoolExecutor

    register_smooth()
    plan = smooth_plan()
    expected = pe.Session(plan)(x()).tobytes()

    def work(i: int) -> bool:
        if i % 50 == 7:
            source = tmp_path / f"kernel{i}.c"
            source.write_text(SMOOTH.read_text().replace("smooth", f"smooth{i}"))
            custom.load_kernels(source)
        return bool(pe.Session(plan)(x()).tobytes() == expected)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(200)))
