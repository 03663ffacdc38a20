"""A training run as one .npz file, written whole or not at all, with a SHA-256 of all that is in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from ..errors import ModelError
from ..model.archive import from_arrays, to_arrays
from ..model.graph import Graph
from ..train import losses, optimizers

_VERSION = 1
_PARTS = {
    c.__name__: c
    for module in (losses, optimizers)
    for c in vars(module).values()
    if isinstance(c, type) and dataclasses.is_dataclass(c)
}

Values = dict[str, np.ndarray]


def save(
    path: str | PathLike[str], graph: Graph, made_of: Mapping[str, Any], epoch: int, states: Values, kept: Values
) -> None:
    """Writes a file that `load` reads; at no time is there half of one under this name.

    Raises:
        ModelError: A loss, optimizer or schedule of the user's own, which no file can hold; no such folder, no room.
    """
    facts = {"version": _VERSION, "epoch": epoch, "made_of": {name: _plain(v) for name, v in made_of.items()}}
    arrays = {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8), **to_arrays(graph)}
    arrays |= {f"state/{name}": value for name, value in states.items()}
    arrays |= {f"kept/{name}": value for name, value in kept.items()}
    arrays["sha256"] = np.frombuffer(_hash(arrays), np.uint8)
    target = os.path.realpath(path)
    try:
        with tempfile.TemporaryDirectory(dir=os.path.dirname(target), prefix=".checkpoint") as folder:
            new = os.path.join(folder, "new")  # with the rights of any new file, which a temporary one would lack
            with open(new, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, target)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; try: another place for it") from None


def load(path: str | PathLike[str]) -> tuple[Graph, dict[str, Any], int, Values, Values]:
    """What `save` was given.

    Raises:
        ModelError: No such file, another kind of file, or one that is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        good = bytes(arrays.pop("sha256")) == _hash(arrays)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or 'no checkpoint'}") from None
    except Exception:  # a damaged archive raises whatever zipfile, zlib and NumPy raise
        raise ModelError(f"{path}: damaged, or no checkpoint of a trainer") from None
    if not good:
        raise ModelError(f"{path}: damaged, its SHA-256 is another")
    facts = json.loads(arrays["facts"].tobytes())
    if facts["version"] != _VERSION:
        raise ModelError(f"{path}: a checkpoint of version {facts['version']}, this pyedge reads {_VERSION}")
    made_of = {name: _real(value) for name, value in facts["made_of"].items()}
    states, kept = (
        {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        for prefix in ("state/", "kept/")
    )
    return from_arrays(arrays), made_of, int(facts["epoch"]), states, kept


def _hash(arrays: Values) -> bytes:
    """Of names, dtypes, shapes and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{value.dtype.str}\0{value.shape}\0".encode())
        digest.update(value.tobytes())
    return digest.digest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        if _PARTS.get(name) is not type(value):
            raise ModelError(f"{name} is not of pyedge: a checkpoint can't hold it")
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"part": name, "fields": fields}
    if isinstance(value, Mapping):
        return {"map": [[k, _plain(v)] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        return {"tuple": [_plain(v) for v in value]}
    return value.item() if isinstance(value, np.generic) else value


def _real(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "part" in value:
        return _PARTS[value["part"]](**{name: _real(v) for name, v in value["fields"].items()})
    if "map" in value:
        return {k: _real(v) for k, v in value["map"]}
    return tuple(_real(v) for v in value["tuple"])
