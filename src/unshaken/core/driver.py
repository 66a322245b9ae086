"""`drive`: runs a search over samples. Batches, refill, passes, confirmation and progress live here, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from unshaken.core.device import send, widen
from unshaken.core.oracle import Oracle, required
from unshaken.core.progress import Task
from unshaken.core.query import Answer, Goal, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

S = TypeVar("S", bound=State)
R = TypeVar("R", bound=State)
R_co = TypeVar("R_co", bound=State, covariant=True)


class Search(Protocol, Generic[S, R_co]):
    """The mathematics of a method, one row per sample; `drive` does everything else.

    The driver starts every sample once, then repeats ask and tell. A sample leaves when its goal is met at a point
    that was asked about (confirmed by a fresh float32 pass), or when `done` says so; others take its place.
    """

    def start(self, samples: Any, rng: SampleRng) -> S:
        """The first state of each sample; `samples` are rows of what `drive` was given."""

    def ask(self, state: S) -> Query:
        """The next query to the model, one row per sample."""

    def tell(self, state: S, answer: Answer) -> S:
        """The next state, from the answer."""

    def done(self, state: S) -> Tensor:
        """Bool `[N]`: nothing more to ask.

        On the CPU where that is known without the device, as from a number of steps: the driver then need not wait.
        """

    def result(self, state: S) -> R_co:
        """The result of the search."""

    def goal(self, state: S) -> Goal | None:
        """The test that ends a sample's search at once; None for never."""


Observer = Callable[[Tensor, Tensor, Answer], None]
"""Sees every answer: the samples' places in the batch `[n]`, the step each is at `[n]`, and the answer."""

SuccessObserver = Callable[[Tensor, Tensor], object]
"""Sees every confirmed success: the samples' places `[n]`, and the logits `[n, K]` of the fresh float32 pass."""


EndObserver = Callable[[Tensor, "Outcome[Any]"], object]
"""Sees every sample that ends, as it does: the places `[n]` and what was found."""


class Samples(Protocol):
    """Samples of a search, one row per sample: a `Batch`, or a `State`."""

    def __len__(self) -> int:
        """Rows."""

    def __getitem__(self, rows: slice, /) -> Samples:
        """Some of them."""


class Work(State, Generic[S]):
    """The samples in work: their state, and what the driver keeps of each; `step` is on the CPU."""

    state: S
    place: Tensor
    step: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


class Outcome(State, Generic[R]):
    """Result of a search, in the order of the batch.

    Args:
        result: the search's own result.
        stopped: bool `[N]`: the goal was met and confirmed in float32.
        steps: int64 `[N]`: answers that the search received.
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
    samples: Samples,
    oracle: Oracle,
    rng: SampleRng,
    *,
    width: int | None = None,
    whole: bool = False,
    observe: Observer | None = None,
    confirmed: SuccessObserver | None = None,
    ended: EndObserver | None = None,
    progress: Task | None = None,
) -> Outcome[R]:
    """Run a search over samples.

    Args:
        search: the method.
        samples: all of them, on the model's device.
        oracle: runs the model and counts its passes.
        rng: the samples' streams.
        width: samples in work at once; default the oracle's limit.
        whole: keep the batch together: nobody leaves before all are done (for training).
        observe: sees every answer.
        confirmed: sees every confirmed success.
        ended: sees every sample as it ends.
        progress: advanced by one for each sample that ends.
    """
    width = len(samples) if whole else (width or oracle.limit)
    run = _Drive(search, samples, oracle, rng, whole=whole, progress=progress)
    run.observe, run.confirmed, run.ending = observe, confirmed, ended
    work = run.start(width)
    while len(work) or run.waiting < len(samples):
        if len(work):
            work = run.step(work)
        free = width - len(work)
        if run.waiting < len(samples) and free >= max(1, width // 8):
            fresh = run.start(free)
            work = Work.concat([work, fresh]) if len(work) else fresh
    return run.outcome(work)


class _Drive(Generic[S, R]):
    """One run of a search: who waits, who is in work, who has ended."""

    def __init__(
        self,
        search: Search[S, R],
        samples: Samples,
        oracle: Oracle,
        rng: SampleRng,
        *,
        whole: bool,
        progress: Task | None,
    ) -> None:
        self.search, self.samples, self.oracle, self.rng = search, samples, oracle, rng
        self.whole, self.progress = whole, progress
        self.observe: Observer | None = None
        self.confirmed: SuccessObserver | None = None
        self.ending: EndObserver | None = None
        self.waiting = 0
        self.ended: list[Outcome[R]] = []
        self.places: list[Tensor] = []

    def start(self, n: int) -> Work[S]:
        """Take the next n samples in; those with nothing to ask leave again at once."""
        rows = slice(self.waiting, self.waiting + n)
        with self.oracle.meter.method():
            state = self.search.start(self.samples[rows], self.rng[rows])
            done = self._done(state)
        place = torch.arange(self.waiting, self.waiting + len(state), device=self.oracle.device)
        zeros = torch.zeros_like(place)
        self.waiting += len(state)
        work = Work(state, place, torch.zeros(len(place), dtype=torch.int64), zeros, zeros, widen(zeros))
        return self._leave(work, done, stopped=False)

    def step(self, work: Work[S]) -> Work[S]:
        """Send one query for all active samples; finished samples leave."""
        began, meter = time.perf_counter(), self.oracle.meter
        with meter.method():
            query = self.search.ask(work.state)
            goal = None if self.whole else self.search.goal(work.state)
        answer, stopped, extra = _answer(self.oracle, query, goal, lambda at, z: self._confirm(work.place[at], z))
        if self.observe is not None:
            self.observe(work.place, work.step, answer)
        work = work.replace(
            step=work.step + 1,
            forwards=work.forwards + required(answer.forwards) + extra,
            backwards=work.backwards + required(answer.backwards),
            seconds=work.seconds + (time.perf_counter() - began) / len(work),
        )
        if bool(stopped.all()):
            return self._leave(work, stopped, stopped=True)
        with meter.method():
            state = self.search.tell(work.state, answer)
            done = self._done(state) & ~stopped
        if bool(stopped.any()):  # a success is the point asked about, so its state is the one before
            self._end(work[stopped], stopped=True)
        work = work.replace(state=state)
        if bool(done.any()):
            self._end(work[done], stopped=False)
        gone = stopped | done
        return work[~gone] if bool(gone.any()) else work

    def outcome(self, work: Work[S]) -> Outcome[R]:
        """All that ended, in the order of the batch; `work` gives the form when nobody has."""
        if not self.ended:
            self._end(work, stopped=False)
        return Outcome.concat(self.ended)[torch.cat(self.places).argsort()]

    def _done(self, state: S) -> Tensor:
        done = self.search.done(state).cpu()
        return done & done.all() if self.whole else done

    def _leave(self, work: Work[S], rows: Tensor, *, stopped: bool) -> Work[S]:
        if not bool(rows.any()):
            return work
        self._end(work[rows], stopped=stopped)
        return work[~rows]

    def _end(self, gone: Work[S], *, stopped: bool) -> None:
        result, flag = self.search.result(gone.state), torch.full_like(gone.place, stopped, dtype=torch.bool)
        steps = send(gone.step, gone.place.device)
        self.ended.append(Outcome(result, flag, steps, gone.forwards, gone.backwards, gone.seconds))
        self.places.append(gone.place)
        if self.ending is not None:
            self.ending(gone.place, self.ended[-1])
        if self.progress is not None:
            self.progress.advance(len(gone))

    def _confirm(self, places: Tensor, logits: Tensor) -> None:
        if self.confirmed is not None:
            self.confirmed(places, logits)


def _answer(
    oracle: Oracle, query: Query, goal: Goal | None, confirmed: Callable[[Tensor, Tensor], object]
) -> tuple[Answer, Tensor, Tensor]:
    """The answer; who met the goal by a fresh float32 pass too, on the CPU; and the passes that this cost."""
    answer = oracle.ask(query, goal)
    none = torch.zeros(len(query.points), dtype=torch.bool)
    extra = torch.zeros(len(none), dtype=torch.int64, device=query.points.device)
    if goal is None or answer.stopped is None or not bool(answer.stopped.any()):
        return answer, none, extra
    rows = answer.stopped.nonzero().flatten()
    logits = oracle.exact(query.points[rows])
    with oracle.meter.method():
        sure = goal[rows](query.points[rows], logits).cpu()
    confirmed(rows[sure], logits[sure])
    extra = extra.index_fill(0, rows.to(extra.device), 1)
    stopped = none.index_put((rows,), sure)
    needed = answer.stopped & ~stopped if answer.cut is None else answer.stopped & ~stopped & ~answer.cut
    if bool(needed.any()):  # a gradient that was to be left out is used after all
        backwards = required(answer.backwards)
        answer = answer.replace(backwards=torch.where(needed.to(backwards.device), backwards.max(), backwards))
    refuted = None if answer.cut is None else (answer.cut & ~stopped).nonzero().flatten()
    if refuted is not None and len(refuted):  # what was left out is needed after all
        refuted = refuted.to(extra.device)
        again = oracle.ask(query[refuted])
        extra = extra.index_add(0, refuted, required(again.forwards))
        answer = _completed(answer, refuted, again)
    return answer, stopped, extra


def _completed(answer: Answer, rows: Tensor, again: Answer) -> Answer:
    """The answer with the rows asked again put in; forward passes are counted by the caller."""

    def put(old: Tensor | None, new: Tensor) -> Tensor:
        whole = new.new_zeros(len(answer), *new.shape[1:]) if old is None else old
        return whole.index_copy(0, rows, new)

    names = ("logits", "labels", "value", "gradient", "slopes", "counts", "backwards")
    completed: dict[str, Any] = {
        name: put(getattr(answer, name), new) for name in names if (new := getattr(again, name)) is not None
    }
    if again.features is not None:
        completed["features"] = {k: put((answer.features or {}).get(k), v) for k, v in again.features.items()}
    return answer.replace(**completed)
