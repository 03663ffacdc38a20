"""Each verb on good input: text for people, JSON for programs."""

import json
import os
import pty
import shlex
import subprocess

import numpy as np
import pytest

import pyedge as pe
from pyedge.cli._app import VERBS

from .conftest import BOARDS, COMMAND, DIGITS, needs_qemu

TFLITE = "mlperf_ad_fcae_int8"


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(pyedge, verb):
    """`pyedge VERB --help` explains itself, --json included."""
    result = pyedge(verb, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"  pyedge {verb}" in result.out.partition("Example")[2]
    assert "--json" in result.out


def test_help_lists_all_verbs(pyedge):
    """Without arguments the same as with --help."""
    result = pyedge()
    assert result == pyedge("--help")
    assert result.code == 0
    assert [line.split()[0] for line in result.out.partition("Verbs:")[2].splitlines() if line.strip()] == list(VERBS)


def test_version(pyedge):
    """`pyedge --version` is the package's."""
    assert pyedge("--version").out == f"pyedge {pe.__version__}\n"


def test_run_writes_the_session_s_outputs(pyedge, folder, tmp_path):
    """-o writes the bytes that Session.run gives, an array an output."""
    assert pyedge("run", "digits.pedge", "-d", "digits.npz", "-o", tmp_path / "out.npz").code == 0
    plan = pe.Plan.load(folder / "digits.pedge")
    session = pe.Session(plan)
    codes = plan.inputs[0].quantize(np.load(folder / "digits.npz")["x"])
    expected = np.concatenate([session(x[None]) for x in codes])
    with np.load(tmp_path / "out.npz") as out:
        assert out.files == ["probabilities"]
        assert np.array_equal(out["probabilities"], expected)


def test_run_prints_outputs_as_json(pyedge):
    """Without -o the outputs are in the JSON."""
    found = pyedge("run", "digits.pedge", "-d", "digits.npz", "--json").json
    assert np.array(found["outputs"]["probabilities"]).shape == (DIGITS, 10)
    assert (found["kind"], found["target"], found["runs"]) == ("run", "python", DIGITS)


def test_run_takes_an_entry(pyedge):
    """--entry picks one, and zeros stand in for missing data."""
    assert pyedge("run", "two.pedge", "--entry", "first", "--json").json["outputs"] == {"y": [[0, 0, 0]]}


@pytest.mark.parametrize("board", BOARDS)
def test_run_compares_with_the_board(pyedge, board):
    """All bytes are equal on every board."""
    found = pyedge("run", "digits.pedge", "-d", "digits.npz", "-b", board, "--compare", "--json").json
    assert (found["target"], found["compared_bytes"], found["different_bytes"]) == (board, DIGITS * 10, 0)


def test_compile_saves_the_plan_of_the_library(pyedge, data_dir, tmp_path):
    """The same bytes as compile().save()."""
    model = data_dir / "models" / f"{TFLITE}.tflite"
    found = pyedge("compile", model, "-o", tmp_path / "ad.pedge", "--json").json
    assert (tmp_path / "ad.pedge").read_bytes() == bytes(pe.compile(pe.load(model)).data)
    assert found["plan"]["arena_bytes"] == 768


def test_compile_halves_the_weights(pyedge, data_dir, tmp_path):
    """--weights float16 is pe.quantize before the same plan; --mode says how sums are rounded."""
    model, options = data_dir / "models" / "mlperf_ic_resnet8_f32.tflite", ["--weights", "float16"]
    options += ["--activations", "float16", "--mode", "fast16"]
    assert pyedge("compile", model, "-o", tmp_path / "ic.pedge", *options).code == 0
    half = pe.quantize(pe.load(model), weights="float16", activations="float16")
    assert (tmp_path / "ic.pedge").read_bytes() == bytes(pe.compile(half, mode="fast16").data)
    assert pe.Plan.load(tmp_path / "ic.pedge").const_bytes < 0.51 * pe.compile(pe.load(model)).const_bytes
    assert pyedge("compile", model, "--activations", "float16").code == 2


def test_compile_joins_models_as_entries(pyedge, data_dir, tmp_path):
    """ENTRY=FILE names the entries; the weights that they share are there once."""
    model = data_dir / "models" / f"{TFLITE}.tflite"
    joined = pyedge("compile", f"main={model}", f"again={model}", "-o", tmp_path / "two.pedge", "--json").json
    assert [e["name"] for e in joined["plan"]["entries"]] == ["main", "again"]
    assert joined["plan"]["const_bytes"] < 1.1 * pe.compile(pe.load(model)).const_bytes


def test_inspect_shows_ops_memory_and_lifetimes(pyedge, folder, tmp_path):
    """A plan: every op and tensor by name, sizes, and a drawing."""
    result = pyedge("inspect", "digits.pedge", "--svg", tmp_path / "arena.svg")
    assert (result.code, result.err) == (0, "")
    plan = pe.Plan.load(folder / "digits.pedge")
    for op in plan.entry("main").ops:
        assert op.name in result.out
    assert f"{plan.arena_bytes:,}" in result.out
    assert "##" in result.out
    assert (tmp_path / "arena.svg").read_text().startswith("<svg")


def test_inspect_reads_model_files(pyedge, data_dir):
    """A model file: the graph as it is in the file, and the plan that it becomes."""
    found = pyedge("inspect", data_dir / "models" / f"{TFLITE}.tflite", "--json").json
    assert [op["kind"] for op in found["graph"]["ops"]] == ["linear"] * 10
    assert found["graph"]["inputs"][0]["shape"] == [None, 640]
    assert sum(e["macs"] for e in found["plan"]["entries"]) == 264_192


def test_inspect_writes_a_model_for_viewers(pyedge, folder, data_dir, tmp_path):
    """--onnx: the model's ops under their names; a plan has no graph to write."""
    onnx = pytest.importorskip("onnx")
    file = tmp_path / "out.onnx"
    model = data_dir / "models" / f"{TFLITE}.tflite"
    assert pyedge("inspect", model, "--onnx", file).code == 0
    nodes = onnx.load(file).graph.node
    assert [n.op_type for n in nodes] == [op.kind for op in pe.load(model).ops]
    refused = pyedge("inspect", folder / "digits.pedge", "--onnx", file)
    assert refused.code == 2
    assert "is a plan, which has no graph" in refused.err


# Arena + scratch + statics + stack of a board, against the arena alone of TFLite Micro for the same model.
@needs_qemu
@pytest.mark.parametrize(
    ("model", "board", "tflm_arena_bytes"),
    [
        ("mlperf_ic_resnet8_int8", "virt-rv32", 55_004),
        ("mlperf_kws_dscnn_int8", "virt-rv32", 22_828),
        ("mlperf_vww_mbv1_int8", "virt-rv32", 100_716),
        ("mlperf_ad_fcae_int8", "sifive-e", 2_684),
    ],
)
def test_inspect_measures_all_ram_of_a_board(pyedge, data_dir, model, board, tflm_arena_bytes):
    """It is less than TFLite Micro's arena alone; scratch adds at most 2 KiB to the tensors, or 1/16 for speed."""
    path = data_dir / "models" / f"{model}.tflite"
    memory = pyedge("inspect", path, "-b", board, "--json").json["memory"]
    assert memory["sum"] == memory["arena"] + memory["statics"] + memory["stack"]
    assert memory["sum"] <= tflm_arena_bytes
    assert memory["arena"] >= memory["tensors"] > 0
    assert memory["arena"] <= (memory["tensors"] + 2048) * 17 / 16
    assert 100 < memory["stack"] < memory["stack_size"]
    text = pyedge("inspect", path, "-b", board)
    assert text.code == 0
    lines = {line.strip().rpartition("  ")[0].strip(): line.split()[-1] for line in text.out.splitlines() if line}
    assert lines["sum: arena + statics + stack"] == f"{memory['sum']:,}"
    assert lines["stack, high-water mark"] == f"{memory['stack']:,}"


def test_evaluate_gives_the_library_s_number(pyedge, folder):
    """Accuracy, here and on the host port."""
    with np.load(folder / "digits.npz") as data:
        expected = pe.evaluate(pe.Plan.load(folder / "digits.pedge"), data["x"], data["y"])
    here = pyedge("evaluate", "digits.pedge", "-d", "digits.npz", "--json").json
    there = pyedge("evaluate", "digits.pedge", "-d", "digits.npz", "-b", "host", "--json").json
    assert here["value"] == there["value"] == expected
    assert (here["metric"], there["target"], there["samples"]) == ("accuracy", "host", DIGITS)


def test_profile_here_has_intervals(pyedge):
    """Nanoseconds, op by op, with a 95 % interval that holds the median."""
    profile = pyedge("profile", "digits.pedge", "-d", "digits.npz", "--runs", 40, "--json").json["profile"]
    assert (profile["unit"], profile["target"], profile["runs"], len(profile["ops"])) == ("ns", "host", 40, 9)
    assert profile["interval"][0] <= profile["total"] <= profile["interval"][1]
    assert all(op["count"] > 0 for op in profile["ops"] if op["macs"])


def test_models_times_boards(pyedge, folder):
    """Each model on each stand's board. A stand without its port is named; without a sister the command fails."""
    (folder / "bench.toml").write_text(
        '[[stand]]\nname = "a"\nboard = "host"\n[[stand]]\nname = "b"\nboard = "sifive-e"\nport = "/dev/none"\n'
    )
    done = pyedge("profile", "digits.pedge", "two.pedge", "--bench", "bench.toml", "-n", 2)
    assert done.code == 1 and "digits.pedge on b: /dev/none: cannot open" in done.err
    assert done.out.count("host") == 2 and done.out.count("failed") == 2
    good = pyedge("profile", "digits.pedge", "two.pedge", "-b", "host", "-n", 2, "--json").json["profiles"]
    assert [(p["model"], p["stand"], p["profile"]["runs"]) for p in good] == [
        ("digits.pedge", "host", 2),
        ("two.pedge", "host", 2),
    ]


def test_profiles_are_stored_and_reported(pyedge, tmp_path):
    """Two runs, here and on a board, in one page and as a trace; --no-store keeps none."""
    assert pyedge("profile", "digits.pedge", "--runs", 9, "--json").json["run"] == 1
    assert "pyedge report 2" in pyedge("profile", "digits.pedge", "--runs", 9).err
    assert pyedge("profile", "digits.pedge", "--runs", 9, "--no-store", "--json").json["run"] is None
    listed = pyedge("report", "--list", "--json").json["runs"]
    assert [(run["id"], run["board"]) for run in listed] == [(2, "host"), (1, "host")]
    made = pyedge("report", 1, 2, "-o", tmp_path / "two.html", "--json").json
    assert [run["data"]["runs"] for run in made["runs"]] == [9, 9]
    assert "Side by side" in (tmp_path / "two.html").read_text()
    assert pyedge("trace", 2, "-o", tmp_path / "t.json").code == 0
    assert json.loads((tmp_path / "t.json").read_text())["otherData"]["unit"] == "ns"
    assert pyedge("report", -1, -2, "-o", tmp_path / "back.html", "--json").json["runs"][0]["id"] == 2
    assert pyedge("trace", -2, "-o", tmp_path / "t.json", "--json").json["run"] == 1
    assert "'--ouput' is not a valid integer" in pyedge("report", "--ouput").err
    nothing = pyedge("report", 7)
    assert nothing.code == 2 and "no run 7; stored: 1 to 2" in nothing.err


@needs_qemu
def test_profile_on_a_board_counts_instructions(pyedge):
    """The same counts in each process; never called cycles."""
    first, second = (pyedge("profile", "digits.pedge", "-b", "virt-rv32", "--json").json["profile"] for _ in range(2))
    assert first == second
    assert first["unit"] == "instructions"
    text = pyedge("profile", "digits.pedge", "-b", "virt-rv32").out
    assert f"{first['total']:,}" in text
    assert "cycle" not in text


def test_boards_lists_all(pyedge):
    """Names, and every fact of one."""
    names = [p["name"] for p in pyedge("boards", "--json").json["boards"]]
    assert names == sorted(names) and {"host", "sifive-e", "virt-rv32", "raspberry-pi-5", "esp32-c3"} <= set(names)
    text = pyedge("boards").out
    assert all(name in text for name in names)
    assert all("CPU cores only" in line for line in text.splitlines() if line.startswith("jetson"))
    (one,) = pyedge("boards", "sifive-e", "--json").json["boards"]
    assert [m["size_bytes"] for m in one["memories"] if m["kind"] == "ram"] == [16384]
    assert "0x80000000" in pyedge("boards", "sifive-e").out
    assert one["mark"] == 23 and "pin 23, high during runs" in pyedge("boards", "sifive-e").out


def test_boards_says_what_fits(pyedge, folder):
    """The demo's digits, or models that are given; an empty list where nothing is missing."""
    (one,) = pyedge("boards", "longan-nano", "--json").json["boards"]
    assert one["room"] == {"ram": 32768, "plan": 23552}
    assert [f["missing"] for f in one["fits"]] == [[]] and one["status"] == "built, not run on silicon"
    b = pe.GraphBuilder()
    b.output("y", b.relu(b.input("x", (1, 10000), "float32")))
    pe.compile(b.build()).save(folder / "wide.pedge")
    (one,) = pyedge("boards", "longan-nano", "-m", "wide.pedge", "-m", "digits.pedge", "--json").json["boards"]
    assert [bool(f["missing"]) for f in one["fits"]] == [True, False]
    text = pyedge("boards", "longan-nano", "-m", "wide.pedge").out
    assert "bytes larger than the RAM of 32768" in text and "built, not run on silicon" in text
    assert "described, no firmware yet" in pyedge("boards", "esp32-c6").out
    text = pyedge("boards", "jetson-tx2").out
    assert "CPU cores only" in text and "Python 3.6 is too old" in text and "Denver 2" in text


def test_ports_and_doctor_answer(pyedge):
    """Facts about this machine, whatever it is."""
    assert isinstance(pyedge("ports", "--json").json["ports"], list)
    facts = {f["name"]: f for f in pyedge("doctor", "--json").json["facts"]}
    assert facts["extension"]["status"] == "ok"
    assert "qemu-system-riscv32" in facts
    assert all(f["advice"] for f in facts.values() if f["status"] == "warn")
    assert pyedge("doctor").code == 0
    assert pyedge("ports").code == 0


@pytest.mark.parametrize("board", BOARDS)
def test_flash_keeps_the_plan(pyedge, folder, board):
    """A plan in flash is there for the next connection, and its hash is in the JSON."""
    report = pyedge("flash", "digits.pedge", "-b", board, "--json").json
    assert (report["board"], report["dry_run"], report["ops"]) == (board, False, None)
    text = pyedge("flash", "digits.pedge", "-b", board)
    assert text.code == 0
    assert "read back after a reset" in text.out


@needs_qemu
def test_flash_shows_the_command_of_the_flasher(pyedge, tmp_path):
    """It can be pasted into a shell; JSON has its words."""
    image = tmp_path / "my firmware.bin"
    image.write_bytes(b"\xe9 and more")
    args = ("flash", "-b", "esp32-c3", "--image", image, "-p", "/dev/ttyUSB7", "--dry-run")
    (command,) = pyedge(*args, "--json").json["commands"]
    assert command[1:] == (
        ["--chip", "esp32c3", "--port", "/dev/ttyUSB7", "--baud", "115200", "write-flash", "0x0", str(image)]
    )
    said = pyedge(*args).out
    assert shlex.split(said.splitlines()[0]) == command and "no board was touched" in said


def test_flash_trims_a_firmware_to_a_plan(pyedge, tmp_path):
    """Only the plan's ops, a smaller image, written to -o; --dry-run starts no board."""
    whole = pyedge("flash", "-b", "virt-rv32", "--dry-run", "--json").json
    report = pyedge(
        "flash", "-b", "virt-rv32", "--trim-to", "digits.pedge", "--dry-run", "-o", tmp_path / "fw.elf", "--json"
    ).json
    assert "conv2d_s8" in report["ops"]
    assert "conv2d_f32" not in report["ops"]
    assert report["dry_run"] is True
    assert report["size"]["code"] < whole["size"]["code"]
    assert (tmp_path / "fw.elf").read_bytes()[:4] == b"\x7fELF"
    assert "no board was touched" in pyedge("flash", "-b", "virt-rv32", "--dry-run").out


@pytest.mark.parametrize("board", BOARDS)
def test_demo_finds_equal_bytes(pyedge, board):
    """Ten digits, two profiles, no difference."""
    found = pyedge("demo", "-b", board, "-n", 10, "--json").json
    assert (found["board"], found["digits"], found["output_bytes"], found["different_bytes"]) == (board, 10, 100, 0)
    assert found["accuracy"]["python"] == found["accuracy"]["board"]
    assert len(found["profiles"]["python"]["ops"]) == len(found["profiles"]["board"]["ops"])
    text = pyedge("demo", "-b", board, "-n", 10)
    assert text.out.rstrip().endswith("All 100 output bytes are equal.")
    assert text.err == ""


def test_progress_is_for_terminals(folder, environment):
    """A bar on stderr if that is a terminal; stdout has the result alone."""
    ours, theirs = pty.openpty()
    args = [*COMMAND, "run", "digits.pedge", "-d", "digits.npz", "-b", "host", "--json"]
    with subprocess.Popen(
        args, cwd=folder, env={**environment, "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # the other side has closed
            pass
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"running" in shown
    assert out.startswith(b"{")
    assert out.endswith(b"}\n")
