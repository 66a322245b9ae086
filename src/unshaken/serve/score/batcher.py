"""`Batcher`: images of many requests in one pass of the model; a bounded queue in front of one worker thread."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from unshaken.core.user_code import refuse_exit

MEMORY = 0.9
"""Weight of what was known before, at each batch."""
LONGEST_WAIT = 3600
"""Seconds that a client is asked to wait at most."""


class Rate:
    """Passes a second, as a mean that forgets.

    >>> rate = Rate()
    >>> rate.add(64, 0.5)
    >>> rate.per_second, rate.wait(320)
    (128.0, 3)
    """

    def __init__(self) -> None:
        self._passes = self._seconds = 0.0

    def add(self, passes: int, seconds: float) -> None:
        """Count a batch: its passes and its seconds."""
        self._passes = MEMORY * self._passes + passes
        self._seconds = MEMORY * self._seconds + max(seconds, 1e-9)

    @property
    def per_second(self) -> float:
        """Passes a second; 0 before the first batch."""
        return self._passes / self._seconds if self._seconds else 0.0

    def seconds(self, passes: int) -> float:
        """Seconds in which a number of passes is made; 0 before the first batch."""
        return passes / self.per_second if self._seconds else 0.0

    def wait(self, passes: int) -> int:
        """Whole seconds in which a number of passes is made, at least 1."""
        return min(LONGEST_WAIT, max(1, math.ceil(self.seconds(passes))))


log = logging.getLogger(__name__)
In = TypeVar("In")
Out = TypeVar("Out")


class QueueFull(Exception):
    """There is no room for a request now.

    Args:
        seconds: after which there should be.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The queue is full: try again in {seconds} seconds.")
        self.seconds = seconds


class PastDeadline(Exception):
    """A request's deadline passed before its answer was there."""


@dataclass(eq=False, slots=True)
class _Job(Generic[In, Out]):
    work: In
    images: int
    passes: int
    kind: Hashable
    deadline: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Out]
    dropped: bool = field(default=False)


class Batcher(Generic[In, Out]):
    """Runs what was submitted, as many images together as fit, in one thread.

    A batch holds whatever waits when the thread is free: nothing waits for a batch to fill, and under load batches are
    full. What was cancelled, or is too late, is not run.

    Args:
        run: answers several requests at once, in order.
        most: images of a batch, but for a request that alone has more.
        waiting: passes of admitted requests at most; see `admit`.
        done: called with the images, passes and seconds of each batch.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        run: Callable[[Sequence[In]], Sequence[Out]],
        *,
        most: int,
        waiting: int,
        done: Callable[[int, int, float], None] = lambda images, passes, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run, self.most, self.waiting, self.done, self.clock = run, most, waiting, done, clock
        self.rate = Rate()
        self.admitted = 0
        self._queue: deque[_Job[In, Out]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_full(self) -> bool:
        """Whether not even one more pass would be admitted."""
        return self.admitted >= self.waiting

    def start(self) -> None:
        """Start the thread."""
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="unshaken-score", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let the batch in work end, and stop the thread; what waits is not run."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    @contextmanager
    def admit(self, passes: int, *, deadline: float = math.inf) -> Iterator[None]:
        """Hold room for a request until it is answered, its decoding included; called by the event loop alone.

        A request that alone needs more than there may wait is admitted when nothing else is.

        Args:
            passes: of the model that the request needs.
            deadline: by the clock; where what is admitted already takes longer, there is no room.

        Raises:
            QueueFull: there is none.
        """
        if self.admitted and self.admitted + passes > self.waiting:
            raise QueueFull(self.rate.wait(self.admitted + passes - self.waiting))
        if self.admitted and self.rate.seconds(self.admitted) > deadline - self.clock():
            raise QueueFull(self.rate.wait(self.admitted))
        self.admitted += passes
        try:
            yield
        finally:
            self.admitted -= passes

    async def submit(self, work: In, *, images: int, passes: int, deadline: float, kind: Hashable = None) -> Out:
        """Queue a request, and wait for its answer.

        Args:
            work: handed to `run`.
            images: that it holds.
            passes: that it needs.
            deadline: by the clock.
            kind: only requests of one kind are run together.

        Raises:
            PastDeadline: there was no answer by then.
        """
        loop = asyncio.get_running_loop()
        job: _Job[In, Out] = _Job(work, images, passes, kind, deadline, loop, loop.create_future())
        with self._changed:
            self._queue.append(job)
            self._changed.notify()
        try:
            return await asyncio.wait_for(job.future, deadline - self.clock())
        except TimeoutError:
            raise PastDeadline from None
        finally:
            job.dropped = True

    def _work(self) -> None:
        while jobs := self._next():
            began = self.clock()
            self._answer(jobs)
            seconds, passes = self.clock() - began, sum(job.passes for job in jobs)
            self.rate.add(passes, seconds)
            self.done(sum(job.images for job in jobs), passes, seconds)

    def _next(self) -> list[_Job[In, Out]]:
        """The jobs of the next batch; none where the batcher is closed."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or self._queue)
                if self._closed:
                    return []
                now = self.clock()
                self._queue = deque(job for job in self._queue if not job.dropped and job.deadline > now)
                if self._queue:
                    return self._take()

    def _take(self) -> list[_Job[In, Out]]:
        """The longest waiting job, and those of its kind that fit beside it."""
        first = self._queue.popleft()
        batch, images, left = [first], first.images, deque[_Job[In, Out]]()
        for job in self._queue:
            if job.kind == first.kind and images + job.images <= self.most:
                batch.append(job)
                images += job.images
            else:
                left.append(job)
        self._queue = left
        return batch

    def _answer(self, jobs: Sequence[_Job[In, Out]]) -> None:
        """Run jobs together; where that fails each alone, so that one cannot spoil the others."""
        try:
            with refuse_exit(interrupts=True):
                found = self.run([job.work for job in jobs])
        except Exception as error:  # whatever a model raises
            if len(jobs) == 1:
                log.exception("a request could not be scored")
                _tell(jobs[0], error)
                return
            for job in jobs:
                self._answer([job])
            return
        for job, one in zip(jobs, found, strict=True):
            _tell(job, one)


def _tell(job: _Job[In, Out], found: Out | Exception) -> None:
    """Hand an answer over to the event loop of whoever waits for it."""

    def settle() -> None:
        if not job.future.done():
            if isinstance(found, Exception):
                job.future.set_exception(found)
            else:
                job.future.set_result(found)

    if not job.dropped:
        try:
            job.loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop has ended
            log.debug("an answer came after the server's end")
