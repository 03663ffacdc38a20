"""What goes wrong is one line on stderr, what, where and what to try, with the README's exit code; no traceback."""

import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

import pyedge as pe
from pyedge import demo, errors
from pyedge.cli import _app

from .conftest import COMMAND


def failed(result, code):
    """The one line of a command that failed in this way."""
    assert result.out == ""
    assert result.err.endswith("\n")
    line = result.err.rstrip("\n")
    assert "\n" not in line
    assert line.startswith("pyedge: ")
    assert "Traceback" not in line
    assert line.count("try:") <= 1
    assert result.code == code
    return line


@pytest.fixture(scope="module")
def bad(tmp_path_factory, folder):
    """A folder of files with something wrong."""
    where = tmp_path_factory.mktemp("bad")
    x, y = demo.heldout()
    with_nan = x[:3].copy()
    with_nan[1, 2, 3] = np.nan
    np.savez(where / "keys.npz", foo=x[:3], y=y[:3])
    np.savez(where / "nan.npz", x=with_nan, y=y[:3])
    np.savez(where / "shape.npz", x=x[:3, :7], y=y[:3])
    np.savez(where / "unlabelled.npz", x=x[:3])
    np.savez(where / "few_labels.npz", x=x[:3], y=y[:2])
    np.savez(where / "objects.npz", x=np.array([{}], dtype=object))
    (where / "empty.npz").write_bytes(b"")
    (where / "torn.npz").write_bytes((folder / "digits.npz").read_bytes()[:999])
    (where / "torn.pedge").write_bytes((folder / "digits.pedge").read_bytes()[:999])
    (where / "junk.tflite").write_bytes(b"junk")
    (where / "notes.txt").write_bytes(b"neither model nor plan")
    flipped = bytearray((folder / "digits.pedge").read_bytes())
    flipped[300] ^= 1
    (where / "flipped.pedge").write_bytes(flipped)
    return where


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ("frobnicate", 2, ["frobnicate", "try: pyedge --help"]),
        ("profle digits.pedge", 2, ["'profle'", "did you mean profile?"]),
        ("run", 2, ["MODEL", "try: pyedge run --help"]),
        ("run absent.tflite", 2, ["absent.tflite", "does not exist"]),
        ("run digits.pedge --frob", 2, ["--frob"]),
        ("run .", 2, ["directory"]),
        ("run {bad}/junk.tflite", 2, ["junk.tflite", "TFLite", "try: "]),
        ("run {bad}/notes.txt", 2, ["notes.txt", ".tflite, .onnx or .pedge"]),
        ("run {bad}/torn.pedge", 7, ["torn.pedge", "truncated", "try: pyedge compile"]),
        ("run {bad}/flipped.pedge", 7, ["flipped.pedge", "CRC"]),
        ("run digits.pedge -d {bad}/keys.npz", 2, ["keys.npz", "'image'", "foo"]),
        ("run digits.pedge -d {bad}/nan.npz", 2, ["nan.npz", "'image'", "NaN"]),
        ("run digits.pedge -d {bad}/shape.npz", 2, ["shape.npz", "'image'", "[1, 8, 8, 1]", "[3, 7, 8, 1]"]),
        ("run digits.pedge -d {bad}/empty.npz", 2, ["empty.npz", "not a NumPy file"]),
        ("run digits.pedge -d {bad}/torn.npz", 2, ["torn.npz", "not a NumPy file"]),
        ("run digits.pedge -d {bad}/objects.npz", 2, ["objects.npz", "plain arrays"]),
        ("run digits.pedge -d digits.npz -o absent/out.npz", 2, ["absent/out.npz", "no folder"]),
        ("run digits.pedge --entry absent", 2, ["'absent'", "it has main"]),
        ("run digits.pedge --batch 2", 2, ["its shapes are fixed"]),
        ("run digits.pedge --port /dev/null", 2, ["--board"]),
        ("run digits.pedge --isa rv32imac", 2, ["--board"]),
        ("run digits.pedge -b virt-rv23", 3, ["'virt-rv23'", "did you mean virt-rv32?", "try: pyedge boards"]),
        ("run digits.pedge -b virt-rv32 --isa rv64gc", 3, ["rv64gc", "rv32imac, rv32imafc"]),
        ("run digits.pedge -b virt-rv32 -p /dev/absent", 3, ["/dev/absent", "try: pyedge ports"]),
        ("compile absent.tflite", 2, ["absent.tflite"]),
        ("compile digits.pedge", 2, ["digits.pedge is a plan already"]),
        ("compile a=digits.pedge b=digits.pedge", 2, ["--output"]),
        ("compile a=x.tflite a=y.tflite -o z.pedge", 2, ["same entry name"]),
        ("compile {bad}/junk.tflite --shape x", 2, ["junk.tflite"]),
        ("inspect digits.pedge --entry absent", 2, ["'absent'", "it has main"]),
        ("inspect digits.pedge --svg absent/arena.svg", 2, ["absent/arena.svg", "no folder"]),
        ("evaluate digits.pedge", 2, ["--data"]),
        ("evaluate digits.pedge -d {bad}/keys.npz", 2, ["keys.npz", "'image'", "foo"]),
        ("evaluate digits.pedge -d {bad}/unlabelled.npz", 2, ["unlabelled.npz", "needs labels"]),
        ("evaluate digits.pedge -d {bad}/few_labels.npz", 2, ["2 labels for 3 samples"]),
        ("evaluate digits.pedge -d digits.npz --metric best", 2, ["best", "accuracy"]),
        ("evaluate two.pedge -d digits.npz", 2, ["digits.npz", "inputs"]),
        ("profile digits.pedge --runs 0", 2, ["--runs"]),
        ("profile digits.pedge --entry absent", 2, ["'absent'"]),
        ("run digits.pedge -b esp32-c6", 9, ["esp32-c6", "no firmware for it yet"]),
        ("run digits.pedge -b jetson-nano -p /dev/null", 9, ["jetson-nano", "runs on this board itself"]),
        ("flash digits.pedge -b esp32-p4", 9, ["esp32-p4", "no firmware for it yet"]),
        ("boards -m digits.pedge", 2, ["--model", "BOARD"]),
        ("boards absent", 3, ["'absent'", "virt-rv32"]),
        ("boards absent.toml", 3, ["absent.toml"]),
        ("flash digits.pedge", 2, ["--board"]),
        ("flash {bad}/torn.pedge -b host", 7, ["torn.pedge", "truncated"]),
        ("flash -b absent", 3, ["'absent'"]),
        ("flash -b virt-rv32 --image digits.pedge", 9, ["virt-rv32", "no flash that a program writes"]),
        ("flash digits.pedge -b pico-2 --image digits.pedge", 2, ["--image", "--port"]),
        ("flash -b esp32-c3 -p /dev/absent --image digits.pedge", 3, ["/dev/absent", "cannot open"]),
        ("flash -b host --toolchain gcc", 3, ["gcc"]),
        ("monitor -b virt-rv32", 9, ["virt-rv32", "runs only while a command uses it", "--port"]),
        ("run digits.pedge -b esp32-c3 -p {bad}/torn.pedge", 3, ["torn.pedge: cannot open: it is no serial port"]),
        ("run digits.pedge -b esp32-c3 -p /dev/null", 3, ["/dev/null: cannot open: it is no serial port"]),
        ("run digits.pedge -b esp32-c3 -p {bad}", 3, ["cannot open: it is no serial port"]),
        ("run digits.pedge -b esp32-c3 -p what://host", 3, ["'what' not known"]),
        ("keygen digits.pedge", 2, ["digits.pedge is there already", "another name"]),
        ("demo -n 0", 2, ["--digits"]),
        ("demo -b absent", 3, ["'absent'"]),
    ],
)
def test_one_line_says_what_where_and_what_to_try(pyedge, bad, args, code, words):
    """With --json too stdout stays empty then."""
    line = failed(pyedge(*args.format(bad=bad).split(), "--json"), code)
    assert [word for word in words if word not in line] == []


def test_operators_that_are_missing_are_all_named(pyedge, data_dir):
    """One error for the whole model."""
    line = failed(pyedge("compile", data_dir / "models" / "qonnx_tfc_2w2a.onnx"), 2)
    assert all(name in line for name in ("Quant_13", "Quant_18", "Quant_30", "qonnx_tfc_2w2a.onnx"))


@pytest.mark.parametrize("size", [0, 7, 100, 5000])
def test_a_truncated_model_is_refused(pyedge, data_dir, tmp_path, size):
    """Cut anywhere, the file is named."""
    (tmp_path / "cut.tflite").write_bytes((data_dir / "models" / "mlperf_ad_fcae_int8.tflite").read_bytes()[:size])
    assert "cut.tflite" in failed(pyedge("run", tmp_path / "cut.tflite"), 2)


def test_every_error_has_the_documented_exit_code(monkeypatch, capsys):
    """Each class of the library, a bug, and an interruption, by what the verbs may raise."""
    codes = {
        errors.BoardError: 1,
        errors.ModelError: 2,
        errors.UnsupportedOpError: 2,
        errors.ShapeError: 2,
        errors.TrainingError: 2,
        errors.BoardNotFoundError: 3,
        errors.ToolError: 3,
        errors.MissingToolError: 3,
        errors.PermissionDeniedError: 4,
        errors.BusyError: 5,
        errors.LinkError: 6,
        errors.PlanError: 7,
        errors.VerificationError: 7,
        errors.MeasurementError: 8,
        errors.UnsupportedError: 9,
        RuntimeError: 10,
        KeyboardInterrupt: 130,
    }
    listed = {e for e in vars(errors).values() if isinstance(e, type) and e is not errors.PyedgeError}
    assert listed <= set(codes)
    for kind, code in codes.items():

        def fail(kind=kind, **_):
            raise kind("somewhere:\nsomething")

        monkeypatch.setattr(_app.app, "main", fail)
        assert _app.run(["boards"]) == code
        line = capsys.readouterr().err.strip()
        assert "\n" not in line
        assert "Traceback" not in line


def test_a_plan_in_the_layout_of_another_board_is_to_be_compiled_again(pyedge, tmp_path):
    """New firmware, which was the advice, would refuse it as well."""
    pe.compile(demo.digits_int8(), board="esp32-c3").save(tmp_path / "c3.pedge")
    line = failed(pyedge("run", tmp_path / "c3.pedge", "-b", "host"), 7)
    assert "constants for the kernels of another board; try: pyedge compile MODEL -b host" in line


def test_what_the_system_refuses_is_named_with_the_way_out(pyedge, folder, environment):
    """A cache that cannot be made, and a disk that is full."""
    build = ("flash", "-b", "host", "--trim-to", "digits.pedge", "--dry-run")
    line = failed(pyedge(*build, XDG_CACHE_HOME="/dev/null/none"), 2)
    assert "/dev/null/none" in line and line.endswith("try: another folder by XDG_CACHE_HOME")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, "boards", "--json"], cwd=folder, env=environment, stdout=full, stderr=-1)
    assert (done.returncode, done.stderr) == (2, b"pyedge: output: No space left on device\n")


def test_debug_shows_the_traceback(pyedge, bad):
    """PYEDGE_DEBUG=1, for reports."""
    result = pyedge("run", bad / "torn.pedge", PYEDGE_DEBUG="1")
    assert "Traceback" in result.err
    assert "PlanError" in result.err


def test_a_pipe_that_closes_is_no_error(folder, environment):
    """`pyedge inspect digits.pedge | head -0`."""
    with subprocess.Popen(
        [*COMMAND, "inspect", "digits.pedge"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_an_interrupt_ends_with_130(folder, environment, tmp_path):
    """Ctrl-C while a verb works: it is reading data that do not come."""
    os.mkfifo(tmp_path / "slow.npz")
    with (
        subprocess.Popen(
            [*COMMAND, "run", "digits.pedge", "-d", tmp_path / "slow.npz"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        (tmp_path / "slow.npz").open("wb"),
    ):  # opens when the command has opened its side
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, "", "pyedge: interrupted")


def test_a_busy_port_is_exit_5(pyedge):
    """A port that another program holds exclusively."""
    import pty

    import serial

    ours, theirs = pty.openpty()
    try:
        with serial.Serial(os.ttyname(theirs), exclusive=True):
            failed(pyedge("run", "digits.pedge", "-b", "virt-rv32", "-p", os.ttyname(theirs)), 5)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_port_without_an_answer_is_exit_6(pyedge):
    """Nobody behind it: an end after the deadline, and what to do."""
    import pty

    ours, theirs = pty.openpty()
    try:
        line = failed(pyedge("run", "digits.pedge", "-b", "virt-rv32", "-p", os.ttyname(theirs)), 6)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "try: pyedge flash -b virt-rv32" in line


def test_a_plan_that_does_not_fit_is_refused(pyedge, tmp_path):
    """More RAM than the board has: the plan's and the board's bytes are in the line."""
    b = pe.GraphBuilder("big")
    b.output("y", b.relu(b.input("x", (1, 64, 64, 8), "float32")))
    pe.compile(b.build()).save(tmp_path / "big.pedge")
    if shutil.which("qemu-system-riscv32") is None:
        pytest.skip("qemu-system-riscv32 is not installed")
    assert "arena" in failed(pyedge("run", tmp_path / "big.pedge", "-b", "sifive-e"), 7)


@pytest.fixture
def path_without_qemu(tmp_path):
    """A PATH with all programs but the emulators."""
    where = tmp_path / "bin"
    where.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
            link = where / program.name
            if not program.name.startswith("qemu-") and not link.is_symlink():
                link.symlink_to(program)
    return str(where)


def test_without_qemu_the_error_names_the_package(pyedge, path_without_qemu, tmp_path):
    """Exit 3, with the package of Debian 12 and that of 13."""
    result = pyedge("run", "digits.pedge", "-b", "virt-rv32", PATH=path_without_qemu, XDG_CACHE_HOME=str(tmp_path))
    line = failed(result, 3)
    assert "sudo apt install qemu-system-misc" in line
    assert "qemu-system-riscv" in line


def test_without_qemu_the_demo_runs_on_the_host_port(pyedge, path_without_qemu, tmp_path):
    """It says so, and all bytes are equal there too; a board that was asked for is not replaced."""
    cache = {"PATH": path_without_qemu, "XDG_CACHE_HOME": str(tmp_path)}
    found = pyedge("demo", "-n", 5, "--json", **cache).json
    assert (found["board"], found["different_bytes"]) == ("host", 0)
    assert "qemu-system-riscv32 is not installed" in found["fallback"]
    assert "host port" in pyedge("demo", "-n", 5, **cache).out
    failed(pyedge("demo", "-n", 5, "-b", "virt-rv32", **cache), 3)


def test_an_output_that_may_not_be_written_is_found_first(pyedge, folder):
    """No board is started for a result that has no place."""
    where = folder / "readonly"
    where.mkdir(exist_ok=True)
    where.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(where, os.W_OK):
        pytest.skip("this user may write everywhere")
    assert "no right" in failed(pyedge("run", "digits.pedge", "-b", "host", "-o", where / "o.npz"), 2)
