"""docs/plan.md says what the header says, and its example is a plan."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyedge._plan_structs import ffi

import pyedge as pe
from pyedge.plan import structs

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
STRUCTS = ffi.list_types()[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading that begins like this."""
    lines = TEXT[TEXT.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


@pytest.mark.parametrize("struct", STRUCTS)
def test_each_struct_has_its_byte_table(struct: str) -> None:
    """Offset, size and name of every field, and the size of the whole."""
    ctype = ffi.typeof(struct)
    assert f"### {struct}, {ffi.sizeof(ctype)} bytes" in TEXT
    table = [(int(offset), int(size), name) for offset, size, name, *_ in rows(f"### {struct},")]
    assert table == [(f.offset, ffi.sizeof(f.type), name) for name, f in ctype.fields]


def test_each_kind_of_op_is_listed() -> None:
    """Number, name and params struct."""
    table = [(int(number), name, params) for number, name, _, _, params in rows("## Kinds of ops")]
    assert table == [(v, name, structs.params_struct(name) or "-") for v, name in sorted(structs.KIND_NAMES.items())]


@pytest.mark.parametrize("enum", ["pe_dtype", "pe_format", "pe_function", "pe_tensor_kind", "pe_layout", "pe_rounding"])
def test_each_enum_is_listed(enum: str) -> None:
    """Every value with its name."""
    text = next(values for name, values in rows("## Numbers with names") if name == enum)
    found = {int(v): n for v, n in re.findall(r"(\d+) (PE_\w+)", text)}
    assert found == dict(ffi.typeof(f"enum {enum}").elements)


def test_the_example_is_what_its_code_writes_and_computes() -> None:
    """The code block, run, gives the hex block; the plan gives the result that the text states."""
    block = TEXT[TEXT.index("## Example") :]
    code = textwrap.dedent("\n".join(line for line in block.split("```")[0].splitlines() if line.startswith("    ")))
    names: dict[str, Any] = {}
    exec(code, names)
    lines = re.search(r"```hex\n(.*?)```", block, re.S)
    assert lines is not None
    data = bytes.fromhex("".join(line[6:] for line in lines[1].splitlines()))
    assert data == names["data"]
    assert f"gives {len(data)} bytes" in block
    x, y = re.findall(r"`(\[[^`]*\])`", block)
    result = pe.Session(data)(np.array([ast.literal_eval(x)], np.int8))
    np.testing.assert_array_equal(result, [ast.literal_eval(y)])
