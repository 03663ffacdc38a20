"""Quality on labelled samples, for graphs, plans and anything that runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import pyedge as pe
from pyedge.demo import digits_graph, digits_int8, heldout


def identity(n: int, dtype: str = "float32") -> pe.Graph:
    """n inputs that are the outputs, clipped at 1000."""
    b = pe.GraphBuilder()
    x = b.input("x", (None, n), dtype, scale=0.5 if dtype == "int8" else None)
    b.output("y", b.clip(x, max=1000.0))
    return b.build()


def test_graph_plan_session_and_anything_that_runs_agree() -> None:
    """The digits model: one figure, whatever stands for it; int8 is fed with real values or with its codes."""
    x, labels = heldout()
    x, labels = x[:60], labels[:60]
    graph = digits_int8()
    plan = pe.compile(graph)

    class Remote:
        """Has what a board's session has."""

        def __init__(self) -> None:
            self.plan, self._session = plan, pe.Session(plan)

        def run(self, inputs: Sequence[np.ndarray], entry: str = "main") -> list[np.ndarray]:
            return self._session.run(inputs, entry)

        def reset(self) -> None:
            self._session.reset()

    expected = np.mean([pe.Session(plan)(graph.inputs[0].quantize(row[None])).argmax() for row in x] == labels)  # type: ignore[union-attr]
    for target in (graph, plan, pe.Session(plan), Remote()):
        assert pe.evaluate(target, x, labels) == expected
    assert pe.evaluate(plan, graph.inputs[0].quantize(x), labels) == expected
    assert pe.evaluate(digits_graph(), x, labels) >= 0.9


def test_accuracy_leaves_unknown_labels_out() -> None:
    """-1 is no label."""
    x = np.eye(4, dtype=np.float32)
    assert pe.evaluate(identity(4), x, np.array([0, 1, 3, -1])) == 2 / 3
    with pytest.raises(pe.ShapeError, match="needs labels"):
        pe.evaluate(identity(4), x, np.full(4, -1))
    with pytest.raises(pe.ShapeError, match="needs labels"):
        pe.evaluate(identity(4), x)


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0),
        ([1, 3, 2, 4], [0, 0, 1, 1], 0.75),
        ([1, 2, 2, 4], [0, 0, 1, 1], 0.875),
        ([1, 9, 2, 4], [0, -1, 0, 1], 1.0),
    ],
)
def test_auc_is_the_share_of_pairs_in_order(scores: list[float], labels: list[int], expected: float) -> None:
    """By hand; ties count half; of two outputs the second is the score."""
    x = np.array(scores, np.float32)[:, None]
    assert pe.evaluate(identity(1), x, np.array(labels), "auc") == expected
    both = np.concatenate([-5 * x, x], axis=1)
    assert pe.evaluate(identity(2), both, np.array(labels), "auc") == expected


def test_auc_of_an_autoencoder_is_of_its_error() -> None:
    """Output and input of one shape: the score is how badly the input is reproduced."""
    x = np.zeros((4, 8), np.float32)
    x[2:, 0] = (1001, 1500)  # clipped at 1000
    assert pe.evaluate(identity(8), x, np.array([0, 0, 1, 1]), "auc") == 1.0
    with pytest.raises(pe.ShapeError, match="both labels"):
        pe.evaluate(identity(8), x, np.array([1, 1, 1, 1]), "auc")


def test_mse_compares_real_values() -> None:
    """To labels, or without labels to x; int8 outputs are dequantized."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert pe.evaluate(identity(4), x, x + 2, "mse") == 4.0
    assert pe.evaluate(identity(4), x, metric="mse") == 0.0
    assert pe.evaluate(identity(4, "int8"), x, metric="mse") == 0.0
    with pytest.raises(pe.ShapeError, match="differ in size"):
        pe.evaluate(identity(4), x, np.zeros(3), "mse")


def test_a_metric_can_be_a_function() -> None:
    """It gets real outputs, x and labels."""
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert pe.evaluate(identity(4), x, np.array([5, 6]), lambda y, x, t: float((y - x).sum() + t.sum())) == 11.0


def test_what_does_not_fit_is_an_error() -> None:
    """Samples, labels, metric, and an entry with two inputs."""
    x = np.zeros((3, 4), np.float32)
    with pytest.raises(pe.ShapeError, match=r"'x' \[1, 5\]"):
        pe.evaluate(identity(5), x, np.zeros(3))
    with pytest.raises(pe.ShapeError, match="2 labels for 3 samples"):
        pe.evaluate(identity(4), x, np.zeros(2))
    with pytest.raises(pe.ShapeError, match=r"'f1'.*accuracy, auc, mse"):
        pe.evaluate(identity(4), x, np.zeros(3), "f1")
    b = pe.GraphBuilder()
    b.output("y", b.add(b.input("a", (1, 4), "float32"), b.input("b", (1, 4), "float32")))
    with pytest.raises(pe.ShapeError, match="2 inputs"):
        pe.evaluate(b.build(), x, np.zeros(3))
