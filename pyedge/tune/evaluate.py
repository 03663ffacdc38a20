"""How good a model is on labelled samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..model.graph import Graph, array_dtype
from ..plan import Plan
from ..plan.compile import compile
from ..session import Session

Array = npt.NDArray[Any]
Metric = Callable[[Array, Array, Array], float]


class Runner(Protocol):
    """A session, here or on a board."""

    @property
    def plan(self) -> Plan: ...
    def run(self, inputs: Sequence[Array], entry: str = "main") -> list[Array]: ...
    def reset(self) -> None: ...


def evaluate(
    target: Graph | Plan | Runner,
    x: Array,
    labels: Array | None = None,
    metric: str | Metric = "accuracy",
    entry: str = "main",
) -> float:
    """The quality of a model with one input, from its first output, over samples. Each starts with its states reset.

    Args:
        target: A graph (open sizes become 1), a plan, or a session here or on a board.
        x: Samples [S, ...]. Real values are quantized for an int8 input; int8 codes are fed as they are.
        labels: What the metric needs, [S, ...]. Samples with the label -1 (unknown) are left out of accuracy and auc.
        metric: "accuracy": share of samples whose largest output is at the label. "auc": area under the ROC curve,
            labels 0 and 1; the score is the single output, the second of two, or, where output and input have one shape
            (an autoencoder), the mean squared difference. "mse": mean squared difference to labels, without labels to
            x. Or a function of real outputs [S, ...], x and labels.
        entry: The entry that is run.

    Raises:
        ShapeError: Samples that don't fit the input, labels that are missing or don't fit.
    """
    session = _session(target)
    e = session.plan.entry(entry)
    if len(e.inputs) != 1:
        raise ShapeError(f"entry {entry!r} has {len(e.inputs)} inputs; evaluate feeds one")
    x = np.asarray(x)
    t, y = e.inputs[0], e.outputs[0]
    shape = tuple(d or 1 for d in t.shape)
    if x.ndim == 0 or len(x) == 0 or x[0].size != np.prod(shape):
        raise ShapeError(f"x {list(x.shape)}: each sample must have the size of tensor {t.name!r} {list(t.shape)}")
    if labels is not None and len(labels) != len(x):
        raise ShapeError(f"{len(labels)} labels for {len(x)} samples")
    real = x if x.dtype != np.int8 or t.dtype != "int8" else t.dequantize(x)
    if x.dtype != array_dtype(t.dtype):
        x = t.quantize(x) if t.dtype == "int8" else x.astype(array_dtype(t.dtype))
    results = []
    for sample in x:
        session.reset()
        results.append(session.run([sample.reshape(shape)], entry)[0])
    outputs = np.stack(results)
    outputs = y.dequantize(outputs) if y.dtype == "int8" and y.scale is not None else outputs
    function = metric if callable(metric) else _METRICS.get(metric)
    if function is None:
        raise ShapeError(f"metric {metric!r} is not known; one of {', '.join(_METRICS)}, or a function")
    return float(function(outputs, np.asarray(real), np.asarray([] if labels is None else labels)))


def _session(target: Graph | Plan | Runner) -> Runner:
    if isinstance(target, Graph):
        shapes = {t.name: [1 if d is None else d for d in t.shape] for t in target.inputs}
        target = compile(target, shapes=shapes)
    return Session(target) if isinstance(target, Plan) else target


def _known(labels: Array) -> Array:
    """Which samples have a label; raises if none has."""
    known: Array = labels.reshape(-1) != -1 if labels.size else np.zeros(0, bool)
    if not known.any():
        raise ShapeError("this metric needs labels")
    return known


def _accuracy(outputs: Array, x: Array, labels: Array) -> float:
    known = _known(labels)
    return float(np.mean(outputs.reshape(len(outputs), -1).argmax(axis=1)[known] == labels.reshape(-1)[known]))


def _auc(outputs: Array, x: Array, labels: Array) -> float:
    known = _known(labels)
    flat, samples = outputs.reshape(len(outputs), -1), x.reshape(len(x), -1)
    if flat.shape[1] <= 2:
        score = flat[:, -1]
    elif flat.shape == samples.shape:
        score = ((flat.astype(np.float64) - samples) ** 2).mean(axis=1)
    else:
        raise ShapeError(f"auc needs one or two outputs, or as many as inputs; the model has {flat.shape[1]}")
    score, positive = score[known], labels.reshape(-1)[known] == 1
    if positive.all() or not positive.any():
        raise ShapeError("auc needs samples of both labels, 0 and 1")
    # Mann and Whitney: the share of pairs in which the positive sample scores higher; ties count half.
    above = (score[positive][:, None] > score[~positive]).mean()
    ties = (score[positive][:, None] == score[~positive]).mean()
    return float(above + ties / 2)


def _mse(outputs: Array, x: Array, labels: Array) -> float:
    expected = labels if labels.size else x
    if expected.size != outputs.size:
        raise ShapeError(
            f"mse: outputs {list(outputs.shape)} and expected values {list(expected.shape)} differ in size"
        )
    return float(np.mean((outputs.astype(np.float64).reshape(-1) - expected.reshape(-1)) ** 2))


_METRICS: dict[str, Metric] = {"accuracy": _accuracy, "auc": _auc, "mse": _mse}
