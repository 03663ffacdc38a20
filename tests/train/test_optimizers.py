"""Whole training steps against PyTorch: loss, gradient, clipping, optimizer and schedule in one entry."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyedge as pe
from pyedge.train.losses import CrossEntropy
from pyedge.train.optimizers import SGD, Adam, AdamW, Cosine, OneCycle, Optimizer, Schedule, StepDecay
from pyedge.train.parameters import select
from pyedge.train.prepare import STEP, Settings, prepare
from pyedge.train.tape import Tape

torch = pytest.importorskip("torch")

STEPS = 25
RNG = np.random.default_rng(3)
WEIGHTS = {
    "w1": RNG.normal(0, 0.5, (16, 6)).astype(np.float32),
    "b1": np.zeros(16, np.float32),
    "w2": RNG.normal(0, 0.5, (4, 16)).astype(np.float32),
    "b2": np.zeros(4, np.float32),
}
X = RNG.normal(size=(STEPS, 8, 6)).astype(np.float32)
Y = RNG.integers(0, 4, (STEPS, 8)).astype(np.int32)


def network() -> pe.Graph:
    b = pe.GraphBuilder()
    w = {name: b.constant(value, name) for name, value in WEIGHTS.items()}
    h = b.linear(b.input("x", (None, 6)), w["w1"], w["b1"], activation="relu", name="fc1")
    b.output("y", b.softmax(b.linear(h, w["w2"], w["b2"], name="fc2")))
    return b.build()


def trained(optimizer: Optimizer, accumulate: int = 1) -> dict[str, np.ndarray]:
    """The states after STEPS steps (of `accumulate` parts each)."""
    graph = network()
    settings = Settings(
        CrossEntropy(),
        optimizer,
        list(select(graph, "y", "all")),
        "y",
        {},
        batch=8 // accumulate,
        accumulate=accumulate,
    )
    session = pe.Session(pe.compile(prepare(graph, settings)))
    for x, y in zip(X, Y, strict=True):
        parts = list(zip(np.split(x, accumulate), np.split(y, accumulate), strict=True))
        for part in parts[:-1]:
            session.run(part, "accumulate")
        session.run(parts[-1], "train")
    return session.state()


def trained_by_torch(make: Callable[[Any], Any], before: Callable[[Any], Any] = lambda p: None) -> dict[str, Any]:
    """The weights after the same steps; `before` is called with them before each update."""
    p = {name: torch.tensor(value, requires_grad=True) for name, value in WEIGHTS.items()}
    optimizer = make(list(p.values()))
    scheduler = None
    if isinstance(optimizer, tuple):
        optimizer, scheduler = optimizer
    for x, y in zip(X, Y, strict=True):
        optimizer.zero_grad()
        h = torch.relu(torch.tensor(x) @ p["w1"].T + p["b1"])
        loss = torch.nn.functional.cross_entropy(h @ p["w2"].T + p["b2"], torch.tensor(y).long())
        loss.backward()
        before(list(p.values()))
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return {name: value.detach().numpy() for name, value in p.items()}


def sgd(**options: Any) -> Callable[[Any], Any]:
    return lambda p: torch.optim.SGD(p, **options)


def scheduled(make: Callable[[Any], Any], schedule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def both(p: Any) -> Any:
        optimizer = make(p)
        return optimizer, schedule(optimizer)

    return both


OF_TORCH = torch.optim.lr_scheduler
CASES: dict[str, tuple[Optimizer, Callable[[Any], Any]]] = {
    "sgd": (SGD(0.1), sgd(lr=0.1)),
    "momentum": (SGD(0.1, momentum=0.9, weight_decay=0.01), sgd(lr=0.1, momentum=0.9, weight_decay=0.01)),
    "nesterov": (SGD(0.1, momentum=0.9, nesterov=True), sgd(lr=0.1, momentum=0.9, nesterov=True)),
    "adam": (
        Adam(0.01, weight_decay=0.1, epsilon=1e-3),
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, eps=1e-3),
    ),
    "adamw": (AdamW(0.01, epsilon=1e-3), lambda p: torch.optim.AdamW(p, lr=0.01, eps=1e-3)),
    "step": (
        SGD(StepDecay(0.1, 7, 0.5)),
        scheduled(sgd(lr=0.1), lambda o: OF_TORCH.StepLR(o, 7, 0.5)),
    ),
    "cosine": (
        SGD(Cosine(0.1, 20, 0.01)),
        scheduled(
            sgd(lr=0.1),
            lambda o: OF_TORCH.SequentialLR(
                o,
                [OF_TORCH.CosineAnnealingLR(o, 20, 0.01), OF_TORCH.LambdaLR(o, lambda n: 0.1)],
                [20],
            ),
        ),
    ),
    "one_cycle": (
        SGD(OneCycle(0.1, STEPS)),
        scheduled(sgd(lr=0.1), lambda o: OF_TORCH.OneCycleLR(o, 0.1, STEPS, cycle_momentum=False)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_steps_are_those_of_torch(case: str) -> None:
    """All weights after 25 steps, within 1e-6 of their size; the small denominators of Adam have a larger epsilon."""
    optimizer, make = CASES[case]
    found, expected = trained(optimizer), trained_by_torch(make)
    assert found[STEP] == STEPS
    for name, value in expected.items():
        assert not np.allclose(found[name], WEIGHTS[name], atol=1e-3), name
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(
    "optimizer, before",
    [
        (SGD(0.1, clip_norm=0.2), lambda p: torch.nn.utils.clip_grad_norm_(p, 0.2)),
        (SGD(0.1, clip_value=0.01), lambda p: torch.nn.utils.clip_grad_value_(p, 0.01)),
    ],
)
def test_gradients_are_clipped_as_by_torch(optimizer: SGD, before: Callable[[Any], Any]) -> None:
    """By norm and by value; both bounds are met, or the weights would be those of plain SGD."""
    found, expected = trained(optimizer), trained_by_torch(sgd(lr=0.1), before)
    plain = trained(SGD(0.1))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=2e-6)
        assert not np.allclose(found[name], plain[name], atol=1e-4)


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), AdamW(0.01, epsilon=1e-3)])
def test_parts_of_a_batch_add_up_to_it(optimizer: Optimizer) -> None:
    """Four parts of two samples make the step of eight at once."""
    whole, parts = trained(optimizer), trained(optimizer, accumulate=4)
    assert parts[STEP] == STEPS
    for name in WEIGHTS:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-5, atol=2e-6)
        assert not parts[f"{name}/gradient"].any()  # begun again


@pytest.mark.parametrize("schedule", [Cosine(1.0, 10, 0.1), OneCycle(1.0, 10), StepDecay(1.0, 4)])
def test_schedules_stay_where_they_end(schedule: Schedule) -> None:
    """After their last step rates no longer rise; all are above 0 and at most lr."""
    b = pe.GraphBuilder()
    b.output("z", b.op("identity", b.input("step", (1,)))[0])
    graph = b.build()
    graph.output_names = [schedule.ops(Tape(graph), "step")]
    session = pe.Session(pe.compile(graph))
    rates = [float(session.run([np.array([n], np.float32)])[0][0]) for n in range(40)]
    assert all(0 < rate <= 1.0 + 1e-6 for rate in rates)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_noise_shrinks_as_in_its_paper() -> None:
    """The deviation of weights without gradient, from step to step: that of sqrt(eta / (1 + t)^0.55)."""
    b = pe.GraphBuilder()
    w = b.constant(np.zeros((1000, 2)), "w")
    b.output("y", b.linear(b.input("x", (1, 2)), w, name="fc"))
    graph = b.build()
    settings = Settings(CrossEntropy(), SGD(1.0, noise=0.3), list(select(graph, "y", "all")), "y", {})
    session = pe.Session(pe.compile(prepare(graph, settings)))
    before = np.zeros((1000, 2))
    for step in range(1, 4):
        session.run([np.zeros((1, 2), np.float32), np.zeros(1, np.int32)], "train")
        w_now = session.state()["w"]
        expected = np.sqrt(0.3 / step**0.55)  # 1 + t, with t from 0
        assert abs((w_now - before).std() / expected - 1) < 5 / np.sqrt(2 * 2000)
        before = w_now


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SGD(lr=0),
        lambda: SGD(momentum=1.0),
        lambda: SGD(nesterov=True),
        lambda: Adam(betas=(0.9, 1.0)),
        lambda: AdamW(weight_decay=-1),
        lambda: SGD(clip_norm=0),
        lambda: Cosine(0.1, 0),
        lambda: OneCycle(0.1, 2),
    ],
)
def test_numbers_out_of_range_are_refused(wrong: Callable[[], Any]) -> None:
    """When the optimizer is made."""
    with pytest.raises(ValueError):
        wrong()
