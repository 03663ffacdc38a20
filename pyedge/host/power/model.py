"""Energy of an inference from what a board counts and the coefficients of its profile: modelled, never measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...errors import UnsupportedError
from ...session import Session
from ..remote import Remote

SCHEMA = 1
_PJ = 1e-12


@dataclass(frozen=True)
class ModelledEnergy:
    """joules: of one inference, the sum of its parts: counts, MACs and bytes by their coefficients in picojoules.

    of, source: what the coefficients are of, and where they are from.
    """

    target: str
    entry: str
    unit: str
    joules: float
    count: int
    macs: int
    bytes: int
    count_pj: float
    mac_pj: float
    byte_pj: float
    of: str
    source: str
    modelled: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with a schema number."""
        return {"schema": SCHEMA, **asdict(self)}

    def table(self) -> str:
        """For people; the first word is what it is."""
        parts = [
            (self.count, self.unit, self.count_pj),
            (self.macs, "MACs", self.mac_pj),
            (self.bytes, "bytes", self.byte_pj),
        ]
        sums = " + ".join(f"{n:,} {what} x {pj:g} pJ" for n, what, pj in parts if pj)
        return "\n".join(
            [
                f"modelled, not measured: {1e6 * self.joules:.4g} uJ an inference of {self.target}, entry {self.entry}",
                f"sum       {sums}",
                f"model     {self.of}",
                f"source    {self.source}",
            ]
        )


def model_energy(
    target: Session | Remote,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None = None,
    *,
    entry: str = "main",
) -> ModelledEnergy:
    """Counts an entry on a board, emulated or not, and models what that would cost.

    Raises:
        UnsupportedError: A board whose profile has no coefficients, or that counts time; or no board. And what
            `profile` raises.
    """
    board = target.board if isinstance(target, Remote) else None
    if board is None or board.hello.unit not in ("instructions", "cycles"):
        name = board.name if board else "host"
        raise UnsupportedError(f"{name}: it counts time, and a model is for instructions or cycles; try: --meter")
    energy = board.profile.energy
    if energy is None:
        raise UnsupportedError(
            f"{board.name}: no coefficients in its profile, so no energy can be modelled; try: a copy of its profile"
            " with an [energy] of your own, by -b FILE.toml"
        )
    profile = target.profile(inputs, entry=entry)
    macs, moved = sum(op.macs for op in profile.ops), sum(op.bytes for op in profile.ops)
    picojoules = profile.total * energy.count_pj + macs * energy.mac_pj + moved * energy.byte_pj
    return ModelledEnergy(
        board.name,
        entry,
        profile.unit,
        picojoules * _PJ,
        profile.total,
        macs,
        moved,
        energy.count_pj,
        energy.mac_pj,
        energy.byte_pj,
        energy.of,
        board.profile.sources["energy"],
    )
