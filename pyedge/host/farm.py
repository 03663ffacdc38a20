"""Many boards at once: jobs wait for a stand with their board, and a stand that fails gives its job to a sister.

`profile_all` drives the stands of this computer, a thread each. `profile_on_farm` has Dask workers do it on the
computers that hold the boards (extra `pyedge[farm]`): a worker has the resource `pyedge-BOARD`, as many as it has
stands of that board.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ..boards import Stand, read_bench
from ..errors import (
    BoardError,
    BoardNotFoundError,
    BusyError,
    LinkError,
    PermissionDeniedError,
    PyedgeError,
    ToolError,
    VerificationError,
)
from ..plan import Plan, Profile
from .board import connect

BENCH_VARIABLE = "PYEDGE_BENCH"  # on a worker of a farm: its bench file
_STAND_FAILED = (BoardError, BoardNotFoundError, BusyError, LinkError, PermissionDeniedError, VerificationError)
_FARM_S = 10.0  # to reach the scheduler


@dataclass(frozen=True)
class Job:
    """A plan to be profiled on a board. options: arguments of `Remote.profile`."""

    model: str
    board: str
    plan: Plan
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of a job: a profile and where it was made, or None.

    failures: (stand, error) of each that failed. refused: the last of them is the job's own fault.
    """

    job: Job
    profile: Profile | None = None
    stand: str | None = None
    failures: list[tuple[str, str]] = field(default_factory=list)
    refused: bool = False


Done = Callable[[Outcome], None]


def profile_all(jobs: Sequence[Job], stands: Sequence[Stand], done: Done | None = None) -> list[Outcome]:
    """Profiles each job on a stand of its board, all stands at once; outcomes in the order of the jobs.

    A stand whose board does not answer, is busy or answers rubbish takes no more work, and its job goes to a sister. A
    job fails alone if the plan is refused, or when no sister is left.

    Args:
        done: Called, from any thread but one at a time, as each job ends.
    """
    outcomes = [Outcome(job) for job in jobs]
    state = _State(outcomes, {s.name for s in stands}, done)
    threads = [threading.Thread(target=_serve, args=(stand, stands, state), daemon=True) for stand in stands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        if outcome.profile is None and not outcome.failures:
            outcome.failures.append((outcome.job.board, f"no stand has a {outcome.job.board}"))
    return outcomes


class _State:
    """What the threads share."""

    def __init__(self, outcomes: list[Outcome], alive: set[str], done: Done | None) -> None:
        self.changed = threading.Condition()
        self.waiting = list(outcomes)
        self.running: set[int] = set()  # ids of outcomes
        self.outcomes = outcomes
        self.alive, self.done = alive, done

    def take(self, stand: Stand) -> Outcome | None:
        """The next job for a stand; waits while a sister's may come back; None when there is none to come."""
        with self.changed:
            while True:
                mine = [o for o in self.waiting if o.job.board == stand.board]
                if mine:
                    self.waiting.remove(mine[0])
                    self.running.add(id(mine[0]))
                    return mine[0]
                if not any(id(o) in self.running and o.job.board == stand.board for o in self.outcomes):
                    return None
                self.changed.wait()

    def end(self, outcome: Outcome, stand: Stand, error: PyedgeError | None, sisters: Sequence[Stand]) -> None:
        """Notes the end of an attempt. A stand that failed is dead, its job waits again if a sister lives."""
        with self.changed:
            self.running.discard(id(outcome))
            if error is not None:
                outcome.failures.append((stand.name, str(error)))
            failed = isinstance(error, _STAND_FAILED)
            outcome.refused = error is not None and not failed
            if failed:
                self.alive.discard(stand.name)
            if failed and any(s.name in self.alive for s in sisters):
                self.waiting.append(outcome)
            elif self.done is not None:
                self.done(outcome)
            self.changed.notify_all()


def _serve(stand: Stand, stands: Sequence[Stand], state: _State) -> None:
    """The thread of a stand."""
    sisters = [s for s in stands if s.board == stand.board]
    while stand.name in state.alive and (outcome := state.take(stand)) is not None:
        error: PyedgeError | None = None
        try:
            outcome.profile = _profile(outcome.job, stand)
            outcome.stand = stand.name
        except PyedgeError as e:
            error = e
        except Exception as e:  # a thread that ends without a word would leave its sisters waiting
            error = PyedgeError(f"{type(e).__name__}: {e}")
        state.end(outcome, stand, error, sisters)


def _profile(job: Job, stand: Stand) -> Profile:
    with connect(stand.board, port=stand.port, isa=stand.isa) as board:
        return board.load(job.plan).profile(**job.options)


# --- a farm ---------------------------------------------------------------------------------------------------------


def resource(board: str) -> str:
    """The name of a worker's resource for a board."""
    return f"pyedge-{board}"


def resources(stands: Sequence[Stand]) -> dict[str, int]:
    """What a worker with these stands offers."""
    boards = [stand.board for stand in stands]
    return {resource(board): boards.count(board) for board in dict.fromkeys(boards)}


def profile_on_farm(jobs: Sequence[Job], scheduler: str, done: Done | None = None) -> list[Outcome]:
    """As profile_all, on the boards of a Dask cluster's workers.

    Args:
        scheduler: Its address, "tcp://host:8786".

    Raises:
        ToolError: Dask is not installed; or there is no scheduler at that address.
    """
    try:
        dask: Any = import_module("distributed")
    except ImportError:
        raise ToolError("a farm needs Dask; try: pip install 'pyedge[farm]'") from None
    try:
        client = dask.Client(scheduler, timeout=_FARM_S)
    except (OSError, ValueError) as e:
        raise ToolError(f"{scheduler}: no Dask scheduler answers: {e}") from None
    outcomes = [Outcome(job) for job in jobs]
    with client:

        def submit(outcome: Outcome) -> Any:
            """A future on a worker that has the board and has not failed with it; None if there is none."""
            need = resource(outcome.job.board)
            failed = {where for where, _ in outcome.failures}
            workers = client.scheduler_info(n_workers=-1)["workers"].items()
            able = [a for a, w in workers if need in w.get("resources", {}) and a not in failed]
            if not able:
                return None
            job = outcome.job
            args = (bytes(job.plan.data), job.model, job.board, dict(job.options))
            return client.submit(_on_worker, *args, resources={need: 1}, workers=able, pure=False, retries=0)

        futures = {}
        for outcome in outcomes:
            if (future := submit(outcome)) is not None:
                futures[future] = outcome
            else:
                outcome.failures.append((scheduler, f"no worker has the resource {resource(outcome.job.board)}"))
        queue = dask.as_completed(list(futures))
        for future in queue:
            outcome = futures.pop(future)
            if future.status == "finished":
                answer = future.result()
            else:  # the worker itself has died, several times
                answer = {"where": "a worker", "error": str(future.exception()), "refused": True}
            if "profile" in answer:
                outcome.profile, outcome.stand = answer["profile"], answer["stand"]
            else:
                outcome.failures.append((answer["where"], answer["error"]))
                outcome.refused = answer["refused"]
                if not outcome.refused and (again := submit(outcome)) is not None:
                    futures[again] = outcome
                    queue.add(again)
                    continue
            if done is not None:
                done(outcome)
    return outcomes


def _on_worker(plan: bytes, model: str, board: str, options: dict[str, Any]) -> dict[str, Any]:
    """Runs a job on the stands of the computer that this is called on; without a bench file on an emulated board."""
    from distributed import get_worker

    where = get_worker().address
    try:
        file = os.environ.get(BENCH_VARIABLE)
        stands = [s for s in read_bench(file) if s.board == board] if file else [Stand(board, board)]
        outcome = profile_all([Job(model, board, Plan(plan), options)], stands)[0]
    except PyedgeError as e:
        return {"where": where, "error": str(e), "refused": False}
    if outcome.profile is not None:
        return {"profile": outcome.profile, "stand": f"{outcome.stand} of {where}"}
    text = "; ".join(f"{stand}: {error}" for stand, error in outcome.failures)
    return {"where": where, "error": text, "refused": outcome.refused}
