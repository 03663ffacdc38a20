"""Gradients of whole networks against torch's autograd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradient_check import computed
from torch_models import MODELS, Function, export, torch, trained

import pyedge as pe
from pyedge.model.builder import GraphBuilder
from pyedge.model.graph import Graph, State, Tensor
from pyedge.train.batch_norm import with_batch_statistics
from pyedge.train.tape import Tape

nn, functional = torch.nn, torch.nn.functional
TOLERANCE = 2e-5  # of the largest element of a gradient


def norms() -> Any:
    """Group, instance and layer norms between convolutions."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU()),
        *(nn.Conv2d(8, 6, 3), nn.InstanceNorm2d(6, affine=True), nn.Tanh()),
        *(nn.Conv2d(6, 4, 2), nn.LayerNorm((4, 5, 5)), nn.LogSoftmax(1)),
    )


def embedding() -> Any:
    """Rows of a table by what the input rounds to, so that the table alone learns."""

    def forward(m: Any, x: Any) -> Any:
        rows = m.table((x.abs() * 3).to(torch.int64))
        return m.head(rows.mean(1) * x.mean())

    return Function(forward, table=nn.Embedding(12, 5), head=nn.Linear(5, 3))


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    **MODELS,
    "norms": (norms, (3, 8, 8)),
    "embedding": (embedding, (7,)),
}


def with_loss(graph: Graph, weight: np.ndarray) -> Graph:
    """A copy whose output is the sum of y, each element times a weight."""
    graph = graph.copy()
    t = Tape(graph)
    product = t.mul(graph.output_names[0], t.constant(weight, "float32"))
    graph.output_names = [t.sum(product, range(weight.ndim))]
    return graph


def close(found: np.ndarray, expected: np.ndarray, scale: float | None = None) -> None:
    scale = np.abs(expected).max() if scale is None else scale
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.filterwarnings("ignore")  # of the exporter
@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_module_has_torch_s_gradients(name: str, tmp_path: Path) -> None:
    """Of the input, and of each parameter that the importer left as it was or turned into another layout."""
    make, shape = NETWORKS[name]
    module, path = trained(make), tmp_path / "model.onnx"
    for p in module.parameters():
        if p.ndim == 1:  # so that no two constants are equal
            torch.nn.init.uniform_(p, 0.5, 1.5)
    x = torch.randn(3, *shape)
    export(module, torch.randn(2, *shape), path, "dynamo")
    y = module(x.requires_grad_())
    weight = np.random.default_rng(1).uniform(-1, 1, tuple(y.shape)).astype(np.float32)
    (y * torch.tensor(weight)).sum().backward()

    graph = with_loss(pe.load(path, batch=3), weight)
    known = {key: p for key, p in module.named_parameters() if not key.startswith(FOLDED.get(name, "-"))}
    places = {key: constants(graph, p.detach().numpy()) for key, p in known.items()}
    wrt = ["x", *{n for found in places.values() for n, _ in found}]
    found = computed(graph, graph.output_names[0], wrt, {"x": x.detach().numpy()})
    largest = max(p.grad.abs().max().item() for p in module.parameters())
    close(found["x"], x.grad.numpy(), largest)
    assert any(places.values())
    for key, at in places.items():
        for n, perm in at:
            close(found[n], known[key].grad.numpy().transpose(perm), largest)


# Biases that the exporter also folds into the sums of a cell's first step, whose gradients are apart then.
FOLDED = {"rnn": "cell.bias"}


def constants(graph: Graph, value: np.ndarray) -> list[tuple[str, tuple[int, ...]]]:
    """The constant of a graph that is a parameter, with the order of axes that the importer gave it; or nothing."""
    return [
        (n, perm)
        for n, t in graph.tensors.items()
        for perm in layouts(value.ndim)
        if t.data is not None and value.size > 1 and np.array_equal(t.data, value.transpose(perm))
    ][:1]


def layouts(rank: int) -> list[tuple[int, ...]]:
    """Ways in which the importer turns a weight: as it is, swapped, channels last, of a transposed convolution."""
    return {
        1: [(0,)],
        2: [(0, 1), (1, 0)],
        3: [(0, 1, 2), (0, 2, 1), (1, 2, 0)],
        4: [(0, 1, 2, 3), (0, 2, 3, 1), (1, 2, 3, 0)],
    }[rank]


def test_resnet_block_that_learns_with_its_batch_norms() -> None:
    """A residual block by GraphBuilder, batch norms by the statistics of the batch, a softmax and cross-entropy."""
    rng = np.random.default_rng(5)
    conv1, conv2 = (rng.normal(0, 0.3, (6, 3, 3, 6)).astype(np.float32) for _ in range(2))
    head, x = rng.normal(0, 0.5, (4, 6)).astype(np.float32), rng.normal(0, 1, (3, 8, 7, 6)).astype(np.float32)
    scale, shift = rng.uniform(0.5, 1.5, (2, 6)).astype(np.float32), rng.normal(0, 0.5, (2, 6)).astype(np.float32)
    target = np.eye(4, dtype=np.float32)[[2, 0, 3]]

    b = GraphBuilder()
    given = b.input("x", x.shape)

    def norm(h: Tensor, i: int) -> Tensor:
        rest = b.constant(np.zeros(6), f"mean{i}"), b.constant(np.ones(6), f"var{i}")
        return b.batch_norm(h, b.constant(scale[i], f"scale{i}"), b.constant(shift[i], f"shift{i}"), *rest)

    h = b.relu(norm(b.conv2d(given, b.constant(conv1, "conv1"), padding=((1, 1), (1, 1))), 0))
    h = norm(b.conv2d(h, b.constant(conv2, "conv2"), padding=((1, 1), (1, 1))), 1)
    h = b.mean(b.relu(b.add(h, given)), (1, 2))
    log = b.op("log_softmax", b.linear(h, b.constant(head, "head")), axis=-1)[0]
    b.output("loss", b.op("reduce_sum", b.op("mul", log, target)[0], axes=(0, 1), keepdims=False)[0])
    graph = b.build()
    for name in ("mean0", "var0", "mean1", "var1"):
        value = graph.tensors[name].data
        assert value is not None
        graph.states.append(State(name, name, value))
        graph.tensors[name].data = None
    wrt = ["x", "conv1", "conv2", "scale0", "shift0", "scale1", "shift1", "head"]
    found = computed(with_batch_statistics(graph, wrt), "loss", wrt, {"x": x})

    t = {n: torch.tensor(v, requires_grad=True) for n, v in (("x", x), ("conv1", conv1), ("conv2", conv2))}
    t["head"] = torch.tensor(head, requires_grad=True)
    for i in range(2):
        t[f"scale{i}"] = torch.tensor(scale[i], requires_grad=True)
        t[f"shift{i}"] = torch.tensor(shift[i], requires_grad=True)
    z = t["x"].permute(0, 3, 1, 2)
    y = z
    for i, name in enumerate(("conv1", "conv2")):
        y = functional.conv2d(y, t[name].permute(0, 3, 1, 2), padding=1)
        y = functional.batch_norm(y, None, None, t[f"scale{i}"], t[f"shift{i}"], training=True)
        y = torch.relu(y if i == 0 else y + z)
    (functional.log_softmax(y.mean((2, 3)) @ t["head"].T, 1) * torch.tensor(target)).sum().backward()
    for name in wrt:
        close(found[name], t[name].grad.numpy(), max(np.abs(found[name]).max(), np.abs(found["x"]).max()))
