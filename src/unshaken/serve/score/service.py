"""`ScoreService`: what the addresses of a score endpoint share: scorer, queue, limits, metrics and history."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from unshaken.serve.access import Attempts
from unshaken.serve.score.answers import Answers
from unshaken.serve.score.batcher import Batcher, PastDeadline, QueueFull
from unshaken.serve.score.history import History
from unshaken.serve.score.metrics import Metrics
from unshaken.serve.score.options import Limits, ScoreOptions
from unshaken.serve.score.samples import Samples
from unshaken.serve.score.scorer import Scorer, Work

SWITCH = 0.0005
"""Seconds for which one thread may keep the others waiting: the model's takes many short turns between its kernels."""
TICK = 1.0
"""Seconds between two looks at whether the history has anything to store."""
CLIENT_GONE = 499
"""Status that is counted where the client did not wait for its answer."""


class ScoreService:
    """A model behind an endpoint.

    Args:
        scorer: answers.
        limits: on requests.
        history: where windows are kept; None for nowhere.
    """

    def __init__(self, scorer: Scorer, limits: Limits, history: History | None = None) -> None:
        self.scorer, self.limits, self.history = scorer, limits, history
        self.batcher: Batcher[Work, Answers] = Batcher(scorer.run, most=scorer.most, waiting=limits.waiting)
        self.metrics = Metrics(lambda: self.batcher.admitted, lambda: self.batcher.rate.per_second)
        self.batcher.done = self.metrics.add_batch
        self._calls = None if limits.per_minute is None else Attempts(most=limits.per_minute)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Warm the model up, and answer requests until the server ends."""
        async with AsyncExitStack() as stack:
            stack.enter_context(_short_turns())
            stack.enter_context(self.scorer.ready())
            if self.history is not None:
                stack.enter_context(self.history.opened())
                stack.push_async_callback(_cancelled, asyncio.create_task(self._store()))
            self.batcher.start()
            stack.callback(self.batcher.close)
            yield

    @property
    def is_ready(self) -> bool:
        """Whether a request would be taken now."""
        return self.batcher.is_alive and not self.batcher.is_full

    def count_call(self, caller: str) -> None:
        """Count a request of a caller.

        Raises:
            HTTPException: 429, there were too many in the last minute.
        """
        wait = 0.0 if self._calls is None else self._calls.wait(caller)
        if wait:
            seconds = int(wait) + 1
            why = f"More than {self.limits.per_minute} requests in a minute: try again in {seconds} seconds."
            raise HTTPException(429, why, {"retry-after": str(seconds)})

    @contextmanager
    def admit(self, images: int, options: ScoreOptions, deadline: float) -> Iterator[int]:
        """Hold room for a request, and give the passes that it needs.

        Raises:
            HTTPException: 413, its checks need more passes than one request may; 429, there is no room now, or what
                waits already takes longer than the request has time.
        """
        passes = images * (1 + options.passes)
        if passes - images > self.limits.passes:
            why = f"The checks need {passes - images:,} passes of the model; {self.limits.passes:,} are the limit."
            raise HTTPException(413, why)
        try:
            with self.batcher.admit(passes, deadline=deadline):
                yield passes
        except QueueFull as full:
            raise HTTPException(429, str(full), {"retry-after": str(full.seconds)}) from None

    async def answers(
        self, request: Request, samples: Samples, options: ScoreOptions, *, passes: int, deadline: float
    ) -> Answers:
        """The answers for the images that can be used.

        Raises:
            HTTPException: 422, none can be used; 500, the model fails on them; 504, there was no answer by the
                deadline; 499, the client has gone.
        """
        if samples.batch is None:
            self._count(None, len(samples.bad))
            reason = next(iter(samples.bad.values()))
            raise HTTPException(422, f"No image can be used: {reason}.")
        work, n = Work(samples.batch, options), len(samples.batch)
        submitted = asyncio.ensure_future(
            self.batcher.submit(work, images=n, passes=passes, deadline=deadline, kind=options.checks)
        )
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait((submitted, gone), return_when=asyncio.FIRST_COMPLETED)
            if not submitted.done():
                raise HTTPException(CLIENT_GONE, "The client did not wait for the answer.")
            found = submitted.result()
        except PastDeadline:
            raise HTTPException(504, "The deadline passed before there was an answer.") from None
        except HTTPException:
            raise
        except Exception:  # whatever a model raises; it is logged where it was run
            raise HTTPException(500, "The model failed on these images.") from None
        finally:
            await _cancelled(gone)
            await _cancelled(submitted)
        self._count(found, len(samples.bad))
        return found

    def _count(self, answers: Answers | None, unusable: int) -> None:
        self.metrics.add_answers(answers, unusable)
        if self.history is not None:
            self.history.add(answers, unusable)

    async def _store(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if self.history is not None:
                await asyncio.to_thread(self.history.store)
                self.metrics.windows.set(self.history.stored)


def now() -> float:
    """Seconds of the clock that deadlines are measured by."""
    return time.monotonic()


async def _gone(request: Request) -> None:
    """Wait until the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """End a task, and wait until it has."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads take short turns."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
