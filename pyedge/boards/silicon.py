"""Boards that somebody has run: files of `pyedge selftest` in boards/silicon/, by the name of the board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import PyedgeError

SCHEMA = 1


def evidence(board: str, emulated: bool, profiles: Path) -> str | None:
    """What was seen of a board, as a line for people; None if nobody has contributed a selftest of it.

    Args:
        emulated: By its profile.
        profiles: The folder of its profile; silicon/BOARD.json is below it.

    Raises:
        PyedgeError: The file shows no such thing: it is of another board or an emulated one, or of one that failed.
    """
    file = profiles / "silicon" / f"{board}.json"
    try:
        test = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise PyedgeError(f"{file}: {e}") from None
    if fault := _fault(test, board, emulated):
        raise PyedgeError(f"{file}: it shows no board that runs: {fault}")
    firmware, checks = test["firmware"], test["checks"]
    found = "; ".join(check["found"] for check in checks if check["status"] == "ok")
    return f"selftest of {test['date'][:10]} with firmware {firmware['version']}: {found}"


def _fault(test: Any, board: str, emulated: bool) -> str | None:
    """Why a selftest doesn't count."""
    try:
        status = {check["name"]: check["status"] for check in test["checks"]}
        if (test["schema"], test["kind"]) != (SCHEMA, "selftest"):
            return "no selftest, or of another schema"
        if test["board"] != board:
            return f"it is of {test['board']}"
        if emulated or test["emulated"] is not False:
            return "the board was emulated"
        if test["passed"] is not True or "failed" in status.values() or status["golden"] != "ok":
            return "it failed"
        if test["every"] != 1:
            return f"only each {test['every']}th golden case was run"
        str(test["date"][:10]), test["firmware"]["version"], [check["found"] for check in test["checks"]]
    except (KeyError, TypeError) as e:
        return f"{e} is missing or of another type"
    return None
