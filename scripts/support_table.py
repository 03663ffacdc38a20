"""The README's table of supported ops, printed from the lists of ops and kernels in csrc/.

Usage: support_table.py [--check | --write]

Prints the table; --check compares the README's with it, --write puts it there, between the two MARKS.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MARKS = ("<!-- support table -->", "<!-- end of support table -->")
TYPES = {
    "s8": "int8",
    "s16": "int16",
    "f16": "float16",
    "f32": "float32",
}  # suffix of an op kind; a conversion stands under the type that it reads
MIXED = "any or mixed types"  # kinds without such a suffix


def read_list(file: str) -> list[list[str]]:
    """The arguments of each X(...) of an X-macro list."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "csrc" / file).read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = [m[1].replace(" ", "").split(",") for m in re.finditer(r"\sX\(([^)]+)\)", text)]
    if not lines:
        raise SystemExit(f"csrc/{file}: no X(...) lines")
    return lines


def roles() -> dict[str, list[str]]:
    """The micro-kernels that an op kind reaches, {"conv2d_s8": ["gemm_s8"]}, as kernels.c keeps them if trimmed.

    Rows named as an op are whole ops, which a set may have beside.
    """
    text = (ROOT / "csrc/kernels/kernels.c").read_text(encoding="utf-8")
    text = re.sub(r" *\\$", "", text, flags=re.MULTILINE)  # rows stand in a macro
    rows = re.findall(r"^        \.(\w+) =\s(.*?),\n(?=        \.|    \})", text, re.MULTILINE | re.DOTALL)
    reaches: dict[str, list[str]] = {}
    for role, value in rows:
        for kind in re.findall(r"PE_IF_KEPT\((\w+)", value):
            if kind != role:
                reaches.setdefault(kind, []).append(role)
    return reaches


def table() -> str:
    """Markdown: a row an op, a column a type; each cell names the architectures with a kernel."""
    archs: dict[str, list[str]] = {}
    layers: dict[str, list[str]] = {}  # of an op kind
    for name, arch, *rest in read_list("kernels/kernels_list.h"):
        known = layers.setdefault(rest[0], []) if len(rest) == 1 else archs.setdefault(name, [])
        if arch not in known:
            known.append(arch)
    reaches = roles()
    if unknown := ({role for found in reaches.values() for role in found} ^ set(archs)):
        raise SystemExit(f"kernels.c and kernels_list.h do not agree on {', '.join(sorted(unknown))}")
    cells: dict[str, dict[str, str]] = {}
    for kind, _ in read_list("ops/ops_list.h"):
        found = re.fullmatch(r"(\w+?)_(s8|s16|f16|f32)(?:_s8|_s16|_f32|_(\w+))?", kind)
        op, type_ = (found[1] + (f" {found[3]}" if found[3] else ""), TYPES[found[2]]) if found else (kind, MIXED)
        op = op.removesuffix("_any")
        portable = [arch for role in reaches[kind] for arch in archs[role]] if kind in reaches else ["portable"]
        cells.setdefault(op, {})[type_] = ", ".join(dict.fromkeys([*portable, *layers.get(kind, [])]))
    columns = [*TYPES.values(), MIXED]
    head = ["op", *columns]
    rows = [[f"`{op}`", *(row.get(type_, "") for type_ in columns)] for op, row in cells.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def main() -> int:
    new = table()
    if sys.argv[1:] not in ([], ["--check"], ["--write"]):
        raise SystemExit(__doc__)
    if not sys.argv[1:]:
        print(new)
        return 0
    text = README.read_text(encoding="utf-8")
    parts = re.fullmatch(rf"(.*{MARKS[0]}\n)(.*)(\n{MARKS[1]}.*)", text, re.DOTALL)
    if not parts:
        raise SystemExit(f"README.md: no {MARKS[0]} ... {MARKS[1]}")
    if sys.argv[1] == "--write":
        README.write_text(parts[1] + new + parts[3], encoding="utf-8")
    elif parts[2] != new:
        raise SystemExit("README.md: the support table is old; run: python scripts/support_table.py --write")
    return 0


if __name__ == "__main__":
    sys.exit(main())
