"""Lowerings of the kinds of model/ops_train.py."""

from __future__ import annotations

import math
from typing import Any

from ..model.graph import Op
from ..model.ops_train import UPDATES
from .lower import Builder, lowers


@lowers(*UPDATES)
def _update(b: Builder, op: Op) -> None:
    a = op.attrs
    params: dict[str, Any] = {"decay": a["weight_decay"], "stochastic": int(a["rounding"] == "stochastic")}
    params |= {name: a[name] for name in ("clip", "seed", "stream", "start")}
    if op.kind == "momentum_update":
        params |= {"momentum": a["momentum"], "nesterov": int(a["nesterov"])}
    if op.kind == "adam_update":
        of_m, of_v = a["betas"]
        params |= {"rest_m": 1 - of_m, "keep_v": of_v, "rest_v": 1 - of_v, "epsilon": a["epsilon"]}
        params |= {name: math.log(x) if x else -math.inf for name, x in (("log_m", of_m), ("log_v", of_v))}
        params["decoupled"] = int(a["decoupled"])
    b.emit(op.kind, op.name, [b.input(op, i) for i in range(len(op.inputs))], b.results(op), **params)


@lowers("gradient_noise")
def _noise(b: Builder, op: Op) -> None:
    params = {name: op.attrs[name] for name in ("clip", "seed", "stream")}
    b.emit("gradient_noise", op.name, [b.input(op, i) for i in range(4)], [b.result(op)], **params)


@lowers("sum_squares")
def _sum_squares(b: Builder, op: Op) -> None:
    before = b.optional_input(op, 1)
    inputs = [b.input(op, 0)] if before is None else [b.input(op, 0), before]
    b.emit("sum_squares", op.name, inputs, [b.result(op)])
