"""Samples kept in a board's flash: chosen, learned again and kept over resets as by the Trainer, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import pyedge as pe

from .conftest import needs_qemu
from .test_training import data, network, same

KEPT = 5


def trainer(**options: object) -> pe.Trainer:
    return pe.Trainer(network(), optimizer=pe.SGD(0.05), trainable="last:1", batch_size=2, replay=KEPT, **options)  # type: ignore[arg-type]


def same_samples(remote: pe.host.Remote, here: pe.Trainer) -> None:
    there = remote.kept.arrays()
    assert [(a.dtype, a.shape, a.tobytes()) for a in there] == [(a.dtype, a.shape, a.tobytes()) for a in here.kept]
    assert there[1].dtype == np.int8 and len(there[0]) == KEPT


@pytest.mark.parametrize("name", ["host", pytest.param("virt-rv32", marks=needs_qemu)])
def test_a_board_keeps_samples_and_learns_from_them_by_itself(name: str) -> None:
    """Fit, samples offered one by one, steps without samples of the host, a reset, and steps again."""
    x, y = data()
    here = trainer(accumulate=2)
    plan = here.compile(board=name, evaluate=True)
    with pe.connect(name) as board:
        remote = board.load(plan, persist=True)
        there = remote.fit(x[:6], y[:6], 2, (x, y), progress=False)
        history = here.fit(x[:6], y[:6], 2, (x, y), progress=False)
        assert there.loss == history.loss and there.validation == history.validation
        same_samples(remote, here)
        before = [a.tobytes() for a in remote.kept.arrays()]
        kept = remote.remember(x[6:], y[6:])
        here.keep(x[6:], y[6:])
        same_samples(remote, here)
        assert any(kept) == (before != [a.tobytes() for a in here.kept]) and len(kept) == len(x) - 6
        there, history = remote.replay(3), here.replay(3)
        assert (there.steps, there.skipped, len(there.loss)) == (history.steps, history.skipped, 1)
        same_state = {n: v.tobytes() for n, v in remote.state().items()}
        assert same_state == {n: v.tobytes() for n, v in here._session.state().items()}
        remote.keep()
        board.reset()
        remote = board.load(plan, persist=True)
        same(remote, here)
        same_samples(remote, here)
        assert remote.replay(4).steps == 4 and same_state != {n: v.tobytes() for n, v in remote.state().items()}


def test_samples_of_a_plan_in_ram_are_kept_by_the_host() -> None:
    """The same steps as of the Trainer; what needs a flash says so."""
    x, y = data()
    here = trainer()
    with pe.connect("host") as board:
        remote = board.load(here.compile())
        for part in (slice(0, 6), slice(6, None)):
            assert remote.fit(x[part], y[part], progress=False).loss == here.fit(x[part], y[part], progress=False).loss
        same_samples(remote, here)
        same(remote, here)
        for call in (lambda: remote.remember(x, y), lambda: remote.replay(1)):
            with pytest.raises(pe.UnsupportedError, match="persist=True"):
                call()
        with pytest.raises(pe.PlanError, match="evaluate=True"):
            remote.fit(x, y, validation_data=(x, y))


def test_what_has_no_room_or_no_samples_is_refused() -> None:
    x, y = data()
    large = pe.Trainer(network(), trainable="last:1", replay=60_000)
    with pe.connect("host") as board:
        with pytest.raises(pe.PlanError, match="smaller replay"):
            board.load(large.compile(), persist=True).fit(x, y, progress=False)
        remote = board.load(trainer().compile(), persist=True)
        with pytest.raises(pe.UnsupportedError, match="keeps no samples"):
            remote.replay(1)
        with pytest.raises(pe.ShapeError, match="is no class"):
            remote.remember(x, y + 3)


def test_learning_goes_on_from_a_trainer_and_comes_back_to_it() -> None:
    """What was kept here goes to the board, what it learned comes back, twice."""
    x, y = data()
    here, boarding = trainer(), trainer()
    for t in (here, boarding):
        t.fit(x[:6], y[:6], progress=False)
    plan = boarding.compile()
    with pe.connect("host") as board:
        for persist in (False, True):
            remote = board.load(plan, persist)
            if persist:
                boarding.go_on_from(pe.Session(plan).state(), 1)
            history = pe.host.training.fit_there(boarding, remote, x[6:], y[6:])
            if not persist:
                assert history.loss == here.fit(x[6:], y[6:], progress=False).loss
                assert all(np.array_equal(a, b) for a, b in zip(boarding.kept, here.kept, strict=True))
                same(remote, boarding)
