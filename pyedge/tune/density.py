"""What share of a plan's float tensors is not 0, as far as their ops tell: floats in software are faster on zeros."""

from __future__ import annotations

from ..plan import Plan
from ..plan.reader import Entry, PlanOp

# Channels differ: some are almost never 0, others almost always. If their shares are spread evenly, windows of n
# elements, of which half are 0, have one that is not with probability n / (n + 1), the mean of 1 - p^n.
_HALF = 0.5  # of values around 0, once the negative ones are 0
_SHIFTED = 0.625  # of a sum of one such and one rectified before, both normal: 1 - (1/2 1/2 + 1/2 1/4)


def densities(plan: Plan, entry: Entry, inputs: float = 1.0) -> list[float]:
    """Of the first input of each op of an entry. inputs: of the entry's inputs."""
    known = {tensor.number: inputs for tensor in entry.inputs}
    found = []
    for op in entry.ops:
        operands = [known.get(i, 1.0) for i in op.inputs if i is not None and not plan.tensors[i].constant]
        found.append(operands[0] if operands else 1.0)
        for number in op.outputs:
            known[number] = _result(op, operands or [1.0])
    return found


def _result(op: PlanOp, operands: list[float]) -> float:
    first = operands[0]
    rectifies = op.params.get("f_min") == 0 and op.params.get("f_max", 0) > 0
    if op.kind.startswith("clip_f32"):
        return min(first, _HALF) if rectifies else first
    if op.kind.startswith("add") and len(operands) > 1 and (not rectifies or max(operands) < 1):
        return 1 - (1 - first) * (1 - operands[-1])
    if rectifies:  # a layer with its activation
        return _SHIFTED if min(operands) < 1 and op.kind.startswith("add") else _HALF
    if op.kind.startswith(("max_pool2d", "avg_pool2d")):
        taps = int(op.params["kernel_h"]) * int(op.params["kernel_w"])
        return taps * first / (1 - first + taps * first)
    return first if op.kind in ("copy", "strided_copy") else 1.0
