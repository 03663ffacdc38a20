"""A step of training beside torch: python bench/training_x86.py [-o FILE]

The built-in networks of `pyedge bench` in float32, plain SGD. Ours: the whole `Trainer.train_on_batch` from Python.
torch: forward, loss, backward, `torch.optim.SGD.step`, eager, the faster of its two layouts of images. One thread each,
in turns in one run; losses are compared. "speed": torch's time over ours, the median of the blocks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import pyedge as pe
from pyedge.bench.networks import autoencoder, ds_cnn, resnet8
from pyedge.bench.run import condition_lines, interleaved
from pyedge.model.graph import Graph, Op
from pyedge.model.ops import resolve_padding

Array = np.ndarray[Any, Any]
LR = 1e-3
CASES: list[tuple[Callable[[str], Graph], str]] = [
    (autoencoder, "mse"),
    (ds_cnn, "cross_entropy"),
    (resnet8, "cross_entropy"),
]


class Network(torch.nn.Module):
    """A graph of convolutions, linear layers, additions and means, in torch's order of axes."""

    def __init__(self, graph: Graph, layout: Any) -> None:
        super().__init__()
        self.graph, self.layout = graph, layout
        self.weights = torch.nn.ParameterDict()
        depthwise = {op.inputs[1] for op in graph.ops if op.kind == "depthwise_conv2d"}
        for t in graph.tensors.values():
            if t.data is None:
                continue
            w = torch.from_numpy(np.array(t.data))
            if w.ndim == 4:
                w = w.permute(0, 3, 1, 2).contiguous(memory_format=layout)
            elif t.name in depthwise:
                w = w.permute(2, 0, 1)[:, None].contiguous(memory_format=layout)
            self.weights[t.name.replace(".", "_")] = torch.nn.Parameter(w)

    def forward(self, x: Any) -> Any:
        values = {self.graph.input_names[0]: x}
        for op in self.graph.ops:
            values[op.outputs[0]] = self._op(op, values)
        return values[self.graph.output_names[0]]

    def _weight(self, op: Op, i: int) -> Any:
        name = op.inputs[i] if i < len(op.inputs) else None
        return None if name is None or self.graph.tensors[name].data is None else self.weights[name.replace(".", "_")]

    def _op(self, op: Op, values: dict[str, Any]) -> Any:
        x, a = values[str(op.inputs[0])], op.attrs
        w, b = (self._weight(op, i) for i in (1, 2))
        if op.kind in ("conv2d", "depthwise_conv2d"):
            size = x.shape[2:]
            (top, bottom), (left, right) = resolve_padding(a["padding"], size, w.shape[2:], a["stride"], (1, 1))
            even = top == bottom and left == right
            x = x if even else F.pad(x, (left, right, top, bottom))
            y = F.conv2d(x, w, b, a["stride"], (top, left) if even else 0, 1, len(w) if op.kind != "conv2d" else 1)
        elif op.kind == "linear":
            y = F.linear(x, w, b)
        elif op.kind == "add":
            y = x + values[str(op.inputs[1])]
        elif op.kind == "mean":
            y = x.mean((2, 3))
        elif op.kind == "softmax":
            return x  # a part of torch's loss
        else:
            raise SystemExit(f"training_x86: no {op.kind} for torch")
        return F.relu(y) if a.get("activation") == "relu" else y


def torch_step(graph: Graph, loss: str, layout: Any, x: Array, y: Array) -> Callable[[], float]:
    network = Network(graph, layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=LR)
    feed, expected = torch.from_numpy(x), torch.from_numpy(y)
    if x.ndim == 4:
        feed = feed.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    loss_of = F.mse_loss if loss == "mse" else F.cross_entropy

    def step() -> float:
        optimizer.zero_grad()
        found = loss_of(network(feed), expected)
        found.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(found.detach())

    return step


def measure(make: Callable[[str], Graph], loss: str, batch: int, blocks: int) -> tuple[str, ...]:
    """A row: network, batch, both times in microseconds, how many times ours is as fast."""
    graph, rng = make("float32"), np.random.default_rng(batch)
    x = rng.normal(size=(batch, *[d or 1 for d in graph.inputs[0].shape[1:]])).astype(np.float32)
    classes = int(graph.outputs[0].shape[-1] or 1)
    y = x if loss == "mse" else rng.integers(0, classes, batch)
    trainer = pe.Trainer(graph, loss=loss, optimizer=pe.SGD(lr=LR), batch_size=batch)
    layouts = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
    steps = {name: torch_step(graph, loss, layout, x, y) for name, layout in layouts.items()}
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: trainer.train_on_batch(x, y), **steps}
    for _ in range(3):  # the third depends on all weights of the second
        losses = [call() for call in calls.values()]
        np.testing.assert_allclose(losses, losses[0], rtol=1e-3)
    times = interleaved(calls, blocks)
    theirs = min((times[name] for name in layouts), key=lambda t: float(np.median(t)))
    ours = times["ours"]
    return (
        graph.name.removesuffix(" float32"),
        str(batch),
        f"{np.median(ours):.0f}",
        f"{np.median(theirs):.0f}",
        f"{ours.min():.0f}",
        f"{theirs.min():.0f}",
        f"{np.median(theirs / ours):.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="a Markdown file; standard output if not given")
    parser.add_argument("--blocks", type=int, default=11)
    parser.add_argument("--batch", type=int, action="append", help="one or more; 1 and 16")
    args = parser.parse_args()
    torch.set_num_threads(1)
    head = ("network", "batch", "ours us", "torch us", "ours least", "torch least", "speed")
    lines = [
        *condition_lines(),
        f"torch {torch.__version__}, float32, SGD; one thread each, median and least of blocks",
    ]
    rows = [measure(make, loss, batch, args.blocks) for make, loss in CASES for batch in args.batch or (1, 16)]
    table = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    text = "\n".join([*(f"{line}  " for line in lines), "", *table, ""])
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
