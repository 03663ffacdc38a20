"""What a network will cost on a board, from a table of what ops cost there, measured before: no board is needed.

Per op kind and kernel the table's rows are fitted by a model tree (cost_tree.py): a kernel takes other ways for other
shapes, which the tree separates, and in each leaf the cost is a sum of terms that its loops have (cost_terms.py), with
coefficients >= 0 that make the sum of squared relative errors least.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

from .. import _resources
from ..boards import load_profile
from ..errors import PlanError, UnsupportedError
from ..model.graph import Graph
from ..plan import OpCount, Plan
from ..plan.compile import Shapes, compile
from ..plan.profile import columns
from ..plan.reader import Entry
from ..session import Session
from .cost_rows import Row, row_of
from .cost_tree import Tree, fit
from .density import densities

SCHEMA = 1  # of Estimate.to_dict()
TABLE_SCHEMA = 3

_KEYS = ("schema", "board", "unit", "conditions", "costs")


@dataclass(frozen=True)
class Table:
    """Measured costs of ops on a board.

    unit: "instructions", "cycles" or "ns". conditions: firmware, compiler and whatever else the costs hold for.
    """

    board: str
    unit: str
    conditions: Mapping[str, Any]
    rows: tuple[Row, ...]
    _trees: dict[tuple[str, str], Tree] = field(default_factory=dict, compare=False, repr=False)

    def cost(self, row: Row) -> float:
        """The cost of one op, estimated. Raises KeyError if the table has no row of its kind and kernel."""
        key = row.kind, row.kernel
        if key not in self._trees:
            rows = [r for r in self.rows if (r.kind, r.kernel) == key]
            if not rows:
                raise KeyError(key)
            self._trees[key] = fit(rows)
        return self._trees[key].cost(row)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the table as JSON, one column a line: so they compress best."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.kind, row.kernel), []).append(row)
        costs = []
        for (kind, kernel), rows in groups.items():
            columns = {name: [r.sizes[name] for r in rows] for name in rows[0].sizes}
            columns["cost"] = [r.count for r in rows]
            lines = ",\n".join(f'   "{name}": {json.dumps(c, separators=(",", ":"))}' for name, c in columns.items())
            head = json.dumps({"kind": kind, "kernel": kernel})[:-1]
            costs.append(f'  {head}, "columns": {{\n{lines}}}}}')
        facts = {"schema": TABLE_SCHEMA, "board": self.board, "unit": self.unit, "conditions": dict(self.conditions)}
        body = ",\n".join(costs)
        Path(path).write_text(f'{json.dumps(facts)[:-1]}, "costs": [\n{body}\n]}}\n', encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Table:
        """Reads a file of save(). Raises PlanError if it is none, or of another schema.

        A file of "board" and "same_as" is the table of the board that "same_as" names, in a file beside it: boards with
        the same core and kernels need no measurement each.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if isinstance(data, dict) and "same_as" in data:
                other = Path(path).with_name(f"{data['same_as']}.json").read_text(encoding="utf-8")
                data = {**json.loads(other), "board": data["board"]}
            if not isinstance(data, dict) or [k for k in _KEYS if k not in data]:
                raise ValueError("no table of costs")
            if data["schema"] != TABLE_SCHEMA:
                raise ValueError(f"schema {data['schema']}, this pyedge reads {TABLE_SCHEMA}; measure it again")
            rows = tuple(row for group in data["costs"] for row in _rows(group))
        except OSError as error:
            raise PlanError(f"{path}: {error.strerror or error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanError(f"{path}: not a table of `pyedge bench --table`: {error}") from None
        if any(row.count < 1 for row in rows):
            raise PlanError(f"{path}: not a table of `pyedge bench --table`: a cost below 1")
        return cls(str(data["board"]), str(data["unit"]), data["conditions"], rows)


def _rows(group: Mapping[str, Any]) -> list[Row]:
    """The rows of a group of a file. Raises ValueError, KeyError, TypeError or AttributeError if it is none."""
    sizes = {name: [int(v) for v in column] for name, column in group["columns"].items()}
    costs = sizes.pop("cost")
    rows = [dict(zip(sizes, values, strict=True)) for values in zip(*sizes.values(), strict=True)]
    return [Row(group["kind"], group["kernel"], s, cost) for s, cost in zip(rows, costs, strict=True)]


def load_table(board: str) -> Table:
    """The table of a board that pyedge has. Raises BoardNotFoundError, UnsupportedError if there is none."""
    load_profile(board)
    path = _resources.find("_boards", "tables", f"{board}.json")
    if path is None:
        tables = _resources.find("_boards", "tables")
        have = ", ".join(sorted(p.stem for p in tables.glob("*.json"))) if tables else "none"
        raise UnsupportedError(
            f"{board}: pyedge has no table of costs for it (it has: {have}); measure one by `pyedge bench --board "
            f"{board} --table FILE.json`, then give that file: pe.estimate(graph, table=FILE.json)"
        )
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: Path, modified: int) -> Table:
    """A table, with what was fitted to it; modified: so that another file of the same name is read."""
    return Table.load(path)


@dataclass(frozen=True)
class Estimate:
    """Estimated, not measured: one run of an entry on a board.

    unit: "instructions", "cycles" or "ns", of `total` and of the ops' counts. arena_bytes, flash_bytes: of the plan,
    exact. conditions: those of the table.
    """

    board: str
    entry: str
    unit: str
    total: int
    ops: tuple[OpCount, ...]
    arena_bytes: int
    flash_bytes: int
    conditions: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with a schema number."""
        return {
            "schema": SCHEMA,
            "estimated": True,
            "board": self.board,
            "entry": self.entry,
            "unit": self.unit,
            "total": self.total,
            "ops": [{"name": op.name, "kind": op.kind, "count": op.count, "macs": op.macs} for op in self.ops],
            "arena_bytes": self.arena_bytes,
            "flash_bytes": self.flash_bytes,
            "conditions": dict(self.conditions),
        }

    def table(self) -> str:
        """A table for people."""
        rows = [("op", "kind", f"{self.unit}, estimated", "share")]
        for name, kind, count in (*((op.name, op.kind, op.count) for op in self.ops), ("total", "", self.total)):
            rows.append((name, kind, f"{count:,}", f"{100 * count / self.total:.1f} %" if self.total else "-"))
        head = f"{self.board}, entry {self.entry}, estimated from the table of this board"
        memory = f"plan: {self.flash_bytes:,} B of flash, {self.arena_bytes:,} B of arena"
        return f"{head}\n{memory}\n{columns(rows, left=(0, 1))}"


def estimate(
    graph: Graph | Plan,
    board: str | None = None,
    table: Table | str | PathLike[str] | None = None,
    entry: str = "main",
    batch: int | None = None,
    shapes: Shapes | None = None,
) -> Estimate:
    """What an entry will cost on a board, without the board.

    On cores without an FPU the cost of floats depends on their values: there it is of inputs without zeros, and of
    activations of which half are zeros where they are rectified.

    Args:
        graph: A graph, which is compiled for the board, or a plan for it.
        board: Name of a board; without it the table's.
        table: A table, or a file of `pyedge bench --table`; without it what pyedge has for the board.
        entry: Of the plan. Of an `if` both arms are counted.
        batch, shapes: As for `compile`.

    Raises:
        UnsupportedError: There is no table, or it has no costs of an op of the plan; names all such ops.
        BoardNotFoundError, PlanError, ShapeError: As `compile` and `Table.load`.
    """
    if board is None and table is None:
        raise ValueError("estimate: give a board, or a table")
    costs = load_table(board or "") if table is None else table if isinstance(table, Table) else Table.load(table)
    if board is not None and board != costs.board:
        raise UnsupportedError(f"the table is of {costs.board}, not of {board}")
    plan = graph if isinstance(graph, Plan) else compile(graph, board=costs.board, batch=batch, shapes=shapes)
    e = plan.entry(entry)
    counts, missing = [], []
    for op, row in zip(e.ops, rows_of(plan, e), strict=True):
        try:
            counts.append(OpCount(op.name, op.kind, round(costs.cost(row)), None, op.macs))
        except KeyError:
            missing.append(f"{row.kind}{f' by {row.kernel}' if row.kernel else ''} ({op.name})")
    if missing:
        raise UnsupportedError(
            f"{costs.board}: its table has no costs of {', '.join(missing)}; measure them: "
            f"pyedge bench --board {costs.board} --table FILE.json MODEL"
        )
    total = sum(op.count for op in counts)
    return Estimate(
        costs.board, entry, costs.unit, total, tuple(counts), plan.arena_bytes, plan.flash_bytes, costs.conditions
    )


def rows_of(plan: Plan, entry: Entry, dense: float = 1.0) -> list[Row]:
    """The rows of an entry's ops, without costs; for the host with the kernels that this CPU takes.

    dense: the share of the inputs' elements that are not 0.
    """
    shares = zip(entry.ops, densities(plan, entry, dense), strict=True)
    if plan.meta.get("board") != "host":
        return [row_of(plan, op, dense=share) for op, share in shares]
    core = Session(plan)._core
    return [row_of(plan, op, core.kernel(op.number), share) for op, share in shares]
