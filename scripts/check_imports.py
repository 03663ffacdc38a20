"""Holds the import order of docs/architecture.md: a room imports only rooms to its left.

Usage: check_imports.py [PACKAGE]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

# Rooms of one line know nothing of each other.
ORDER = [
    ["tensor", "_sources"],
    ["boards", "model"],
    ["compress"],
    ["train"],
    ["plan"],
    ["session", "ops"],
    ["custom", "onnx_backend", "audio"],
    ["tune", "faults"],
    ["host"],
    ["bench"],
    ["demo"],
    ["cli"],
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}
# Everybody may import these; they import none of ours.
LEAVES = {"errors", "_resources", "_core", "_plan_structs", "_programs", "clocks"}
FACE = "__init__"  # re-exports; only the last two rooms may use it


def imports(tree: ast.AST, module: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Line and dotted path below the package of each import of ours; module is the importing file's own path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "pyedge":
                    yield node.lineno, name.name.split(".")[1:]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = module[: len(module) - node.level] + (node.module.split(".") if node.module else [])
            elif node.module and node.module.split(".")[0] == "pyedge":
                base = node.module.split(".")[1:]
            else:
                continue
            for name in node.names:
                yield node.lineno, base or [name.name]


def violations(package: Path) -> list[str]:
    """One line for each import that breaks the order."""
    found = []
    for path in sorted(package.rglob("*.py")):
        module = list(path.relative_to(package).with_suffix("").parts)
        room = module[0]
        if room in (FACE, "_plan_structs"):
            continue
        if room not in RANK and room not in LEAVES:
            found.append(f"{path}: {room!r} has no place in the order; add it to {Path(__file__).name}")
            continue
        for line, target in imports(ast.parse(path.read_text(encoding="utf-8")), module):
            there = target[0] if target else FACE
            if there == room or (there in LEAVES and room not in LEAVES):
                continue
            if there in RANK and RANK[there] < RANK.get(room, -1):
                continue
            if there not in RANK and there not in LEAVES and RANK.get(room, -1) >= RANK["demo"]:
                continue  # the public face
            found.append(f"{path}:{line}: {room} imports {there}")
    return found


def main() -> int:
    package = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "pyedge"
    found = violations(package)
    print("\n".join(found) or f"import order: {sum(1 for _ in package.rglob('*.py'))} files, none out of order")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
