"""What was measured, kept: an SQLite file of runs with their conditions, raw samples, and the plan that ran.

A run is plain data, so that a report can be made of it years later and on another machine. kind: "profile" or
"power"; data: what the measurement's to_dict() says; plan: the plan's to_dict(), without constants.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import PyedgeError
from ..plan import Plan
from .folders import state_folder

_SCHEMA = 1
_BUSY_S = 5.0
_TABLE = """create table if not exists runs (
    id integer primary key, time text not null, kind text not null, board text not null, model text not null,
    plan_sha256 text not null, data text not null, plan text not null)"""


@dataclass(frozen=True)
class Run:
    """A stored run. time: ISO 8601, UTC. plan_sha256: of the plan's bytes."""

    id: int
    time: str
    kind: str
    board: str
    model: str
    plan_sha256: str
    data: dict[str, Any]
    plan: dict[str, Any]

    @property
    def title(self) -> str:
        return f"run {self.id}: {self.model} on {self.board}, {self.time[:16].replace('T', ' ')} UTC"


def default_file() -> Path:
    """Where runs are kept unless a caller says otherwise."""
    return state_folder() / "runs.sqlite"


@contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    """The file's tables, made if need be; an error of SQLite becomes one of ours, which names the file."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(file, timeout=_BUSY_S)
    except (OSError, sqlite3.Error) as error:
        raise PyedgeError(f"{file}: {error}; try: another folder by XDG_STATE_HOME") from None
    try:
        with connection:
            version = connection.execute("pragma user_version").fetchone()[0]
            if version > _SCHEMA:
                raise PyedgeError(f"{file}: written by a newer pyedge; try: a newer pyedge, or another XDG_STATE_HOME")
            connection.execute(_TABLE)
            connection.execute(f"pragma user_version = {_SCHEMA}")
            yield connection
    except sqlite3.Error as error:
        raise PyedgeError(f"{file}: {error}; try: move the file away") from None
    finally:
        connection.close()


def store(kind: str, board: str, model: str, plan: Plan, data: dict[str, Any], file: Path | None = None) -> int:
    """Keeps a run; returns its number.

    Raises:
        PyedgeError: The file cannot be written; names it.
    """
    row = (
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
        kind,
        board,
        model,
        hashlib.sha256(bytes(plan.data)).hexdigest(),
        json.dumps(data),
        json.dumps(plan.to_dict()),
    )
    with _open(file or default_file()) as connection:
        cursor = connection.execute(
            "insert into runs (time, kind, board, model, plan_sha256, data, plan) values (?, ?, ?, ?, ?, ?, ?)", row
        )
        return int(cursor.lastrowid or 0)


_COLUMNS = "id, time, kind, board, model, plan_sha256, data, plan"


def _run(row: tuple[Any, ...]) -> Run:
    id, time, kind, board, model, sha, data, plan = row
    return Run(id, time, kind, board, model, sha, json.loads(data), json.loads(plan))


def load(ids: list[int], file: Path | None = None) -> list[Run]:
    """Runs by number, in the order asked for; all numbers < 0 count from the newest, -1.

    Raises:
        PyedgeError: No run of a number; says which there are.
    """
    file = file or default_file()
    found = []
    with _open(file) as connection:
        known = [row[0] for row in connection.execute("select id from runs order by id")]
        for number in ids:
            id = known[number] if number < 0 and -number <= len(known) else number
            if id not in known:
                there = f"{known[0]} to {known[-1]}" if known else "none yet; try: pyedge profile MODEL"
                raise PyedgeError(f"{file}: there is no run {number}; stored: {there}")
            found.append(_run(connection.execute(f"select {_COLUMNS} from runs where id = ?", (id,)).fetchone()))
    return found


def newest(count: int, file: Path | None = None) -> list[Run]:
    """The newest runs, the newest first."""
    with _open(file or default_file()) as connection:
        rows = connection.execute(f"select {_COLUMNS} from runs order by id desc limit ?", (count,)).fetchall()
    return [_run(row) for row in rows]
