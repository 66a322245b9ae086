"""`drive`: runs a search over samples. Batches, refill, passes, confirmation and progress live here, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import Task
from unshaken.core.query import Answer, Goal, Query
from unshaken.core.rng import SampleRng
from unshaken.core.search import Search
from unshaken.core.state import State

S = TypeVar("S", bound=State)
R = TypeVar("R", bound=State)

Observer = Callable[[Tensor, Tensor, Answer], None]
"""Sees every answer: the samples' places in the batch `[n]`, the step each is at `[n]`, and the answer."""

Confirmed = Callable[[Tensor, Tensor], object]
"""Sees every confirmed success: the samples' places `[n]`, and the logits `[n, K]` of the fresh float32 pass."""


class Slots(State, Generic[S]):
    """The samples in work: their state, and what the driver keeps of each."""

    state: S
    place: Tensor
    step: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


class Outcome(State, Generic[R]):
    """What a search found, in the order of the batch.

    Args:
        result: the search's own result.
        stopped: bool `[N]`: the goal was met and confirmed in float32.
        steps: int64 `[N]`: answers told.
        forwards: int64 `[N]`: passes spent, those of confirmation included.
        backwards: as `forwards`.
        seconds: float64 `[N]`: the sample's share of the time.
    """

    result: R
    stopped: Tensor
    steps: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


def drive(
    search: Search[S, R],
    batch: Batch,
    oracle: Oracle,
    rng: SampleRng,
    *,
    width: int | None = None,
    whole: bool = False,
    observe: Observer | None = None,
    confirmed: Confirmed | None = None,
    progress: Task | None = None,
) -> Outcome[R]:
    """Run a search over the samples of a batch.

    Args:
        search: the method.
        batch: all samples, on the model's device.
        oracle: the model's counted door.
        rng: the samples' streams.
        width: samples in work at once; default the oracle's limit.
        whole: keep the batch together: nobody leaves before all are done (for training).
        observe: sees every answer.
        confirmed: sees every confirmed success.
        progress: advanced by one for each sample that ends.
    """
    width = len(batch) if whole else (width or oracle.limit)
    waiting, ended = 0, []
    active: Slots[S] | None = None
    while waiting < len(batch) or (active is not None and len(active)):
        began = time.perf_counter()
        free = width - (0 if active is None else len(active))
        if waiting < len(batch) and (active is None or free >= max(1, width // 8)):
            rows = slice(waiting, waiting + free)
            fresh = _start(search, batch[rows], rng[rows], waiting, oracle)
            active = fresh if active is None or not len(active) else Slots.concat([active, fresh])
            waiting += len(fresh)
        if active is None:
            break
        active, leaving = _step(search, active, oracle, observe, confirmed, whole, began)
        if leaving is not None:
            ended.append(leaving)
            if progress is not None:
                progress.advance(len(leaving))
    if not ended:
        return _start_only(search, batch, rng, oracle)
    outcome = Outcome.concat([e.outcome for e in ended])
    return outcome[torch.cat([e.place for e in ended]).argsort()]


class _Ended(State, Generic[R]):
    outcome: Outcome[R]
    place: Tensor


def _start(search: Search[S, R], batch: Batch, rng: SampleRng, first: int, oracle: Oracle) -> Slots[S]:
    with oracle.meter.method():
        state = search.start(batch, rng)
    n, device = len(batch), batch.images.device
    zeros = torch.zeros(n, dtype=torch.int64, device=device)
    return Slots(state, torch.arange(first, first + n, device=device), zeros, zeros, zeros, zeros.double())


def _start_only(search: Search[S, R], batch: Batch, rng: SampleRng, oracle: Oracle) -> Outcome[R]:
    slots = _start(search, batch, rng, 0, oracle)
    return _outcome(search, slots, torch.zeros(0, dtype=torch.bool))


def _step(
    search: Search[S, R],
    active: Slots[S],
    oracle: Oracle,
    observe: Observer | None,
    confirmed: Confirmed | None,
    whole: bool,
    began: float,
) -> tuple[Slots[S], _Ended[R] | None]:
    """One ask and tell for all samples in work; those that end are handed back."""
    early = search.done(active.state)
    if bool(early.all()) if whole else bool(early.any()):
        return _part(search, active, early, torch.zeros_like(early))
    with oracle.meter.method():
        query = search.ask(active.state)
        goal = None if whole else search.goal(active.state)
    answer, stopped, extra = _answer(
        oracle, query, goal, lambda rows, z: confirmed and confirmed(active.place[rows], z)
    )
    if observe is not None:
        observe(active.place, active.step, answer)
    with oracle.meter.method():
        told = active.state if bool(stopped.all()) else search.tell(active.state, answer)
        done = search.done(told)
    spent = (time.perf_counter() - began) / len(active)
    active = active.replace(
        step=active.step + 1,
        forwards=active.forwards + required(answer.forwards) + extra,
        backwards=active.backwards + required(answer.backwards),
        seconds=active.seconds + spent,
    )
    if bool(stopped.any()):
        _, won = _part(search, active, stopped, stopped)
        active, told, done = active[~stopped], told[~stopped], done[~stopped]
        active, lost = _part(search, active.replace(state=told), done, torch.zeros_like(done))
        return active, won if lost is None else _Ended.concat([won, lost]) if won is not None else lost
    if whole and not bool(done.all()):
        done = torch.zeros_like(done)
    return _part(search, active.replace(state=told), done, torch.zeros_like(done))


def _answer(
    oracle: Oracle, query: Query, goal: Goal | None, confirmed: Callable[[Tensor, Tensor], object]
) -> tuple[Answer, Tensor, Tensor]:
    """The answer, who met the goal by a fresh float32 pass too, and the passes that this cost."""
    answer = oracle.ask(query, goal)
    none = torch.zeros(len(query.points), dtype=torch.bool, device=query.points.device)
    extra = none.long()
    if goal is None or answer.stopped is None or not bool(answer.stopped.any()):
        return answer, none, extra
    rows = answer.stopped.nonzero().flatten()
    logits = oracle.exact(query.points[rows])
    sure = goal[rows](query.points[rows], logits)
    confirmed(rows[sure], logits[sure])
    extra = extra.index_fill(0, rows, 1)
    stopped = none.index_put((rows,), sure)
    refuted = None if answer.cut is None else (answer.cut & ~stopped).nonzero().flatten()
    if refuted is not None and len(refuted):  # what was left out is needed after all
        again = oracle.ask(query[refuted])
        extra = extra.index_add(0, refuted, required(again.forwards))
        answer = _completed(answer, refuted, again)
    return answer, stopped, extra


def _completed(answer: Answer, rows: Tensor, again: Answer) -> Answer:
    """The answer with the rows asked again put in; forward passes are counted by the caller."""

    def put(old: Tensor | None, new: Tensor) -> Tensor:
        whole = new.new_zeros(len(answer), *new.shape[1:]) if old is None else old
        return whole.index_copy(0, rows, new)

    names = ("logits", "labels", "value", "gradient", "counts", "backwards")
    said: dict[str, Any] = {
        name: put(getattr(answer, name), new) for name in names if (new := getattr(again, name)) is not None
    }
    if again.features is not None:
        said["features"] = {k: put((answer.features or {}).get(k), v) for k, v in again.features.items()}
    return answer.replace(**said)


def _part(search: Search[S, R], active: Slots[S], leave: Tensor, stopped: Tensor) -> tuple[Slots[S], _Ended[R] | None]:
    if not bool(leave.any()):
        return active, None
    gone = active[leave]
    return active[~leave], _Ended(_outcome(search, gone, stopped[leave]), gone.place)


def _outcome(search: Search[S, R], slots: Slots[S], stopped: Tensor) -> Outcome[R]:
    return Outcome(search.result(slots.state), stopped, slots.step, slots.forwards, slots.backwards, slots.seconds)
