"""pyedge boards"""

from __future__ import annotations

import dataclasses

import click

from ..boards import Memory, list_profiles, load_profile
from ._common import console, emit, json_option, table


@click.command("boards")
@click.argument("board", required=False)
@json_option
def command(board: str | None, as_json: bool) -> None:
    """List the boards that pyedge knows, or all facts about one.

    BOARD is a name from the list, or the path of a .toml file.

    \b
    Examples:
      pyedge boards
      pyedge boards sifive-e
    """
    profiles = list_profiles() if board is None else [load_profile(board)]
    if as_json:
        emit("boards", 1, {"boards": [dataclasses.asdict(p) for p in profiles]})
        return
    if board is None:
        rows = [
            (p.name, p.isa, p.status, _memory(p.memories, "ram"), _memory(p.memories, "flash"), p.description)
            for p in profiles
        ]
        table(("board", "ISA", "status", "RAM bytes", "flash bytes", "what it is"), rows, right=(3, 4))
        return
    profile = profiles[0]
    console().print(f"[bold]{profile.name}[/]: {profile.description} ({profile.path})")
    table(
        ("memory", "kind", "address", "bytes"),
        [(m.name, m.kind, f"{m.address:#x}", m.size_bytes) for m in profile.memories],
        right=(2, 3),
    )
    table(("firmware for", "file", "CPU"), [(i.isa, i.file, i.cpu or "-") for i in profile.images])
    table(("fact", "known from"), list(profile.sources.items()))


def _memory(memories: tuple[Memory, ...], kind: str) -> int:
    return sum(m.size_bytes for m in memories if m.kind == kind)
