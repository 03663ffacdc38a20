"""Which boards hang where: a bench file.

[[stand]]
name = "left"              # of this stand; once in the file
board = "hifive1-rev-b"    # a profile
port = "serial:E1234"      # as for --port; left out for an emulated board
isa = "rv32imafc"          # left out for the default
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .profile import ProfileError, load_profile, read_record


@dataclass(frozen=True)
class Stand:
    """One board on the desk. Stands of one board are sisters: each can do the other's work."""

    name: str
    board: str
    port: str | None = None
    isa: str | None = None


@dataclass(frozen=True)
class _Bench:
    stand: tuple[Stand, ...]


def read_bench(path: str | Path) -> list[Stand]:
    """The stands of a bench file.

    Raises:
        ProfileError: No such file, no TOML, an unknown or missing key, a name twice; names file and key.
        BoardNotFoundError: A stand has a board that is not known.
    """
    path = Path(path)
    stands = list(read_record(_Bench, path).stand)
    for name, count in Counter(stand.name for stand in stands).items():
        if count > 1:
            raise ProfileError(f"{path}: stand: {count} stands are named {name!r}")
    for stand in stands:
        load_profile(stand.board)
    return stands
