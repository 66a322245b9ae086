"""`Meter`: what a run spends, in passes and in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from typing_extensions import override

Kind = Literal["model", "method"]
MOST_PENDING = 2000
"""Times that are left on the device before they are read."""


class Meter:
    """Counts forward and backward passes, and time.

    The CPU's clock is read as the work is done. Other devices work behind the program: there events are put into the
    device's stream, and it is waited for only when the seconds are asked for.

    Args:
        forwards: images passed forward.
        backwards: images passed backward.
        model_seconds: inside the model's passes.
        method_seconds: inside the methods' own arithmetic.
        largest_batch: most images that one pass has held.
        back_offs: times that memory ran out and the batch was halved.
        device: where the work is done.
    """

    def __init__(
        self,
        forwards: int = 0,
        backwards: int = 0,
        model_seconds: float = 0.0,
        method_seconds: float = 0.0,
        largest_batch: int = 0,
        back_offs: int = 0,
        *,
        device: torch.device | None = None,
    ) -> None:
        self.forwards, self.backwards = forwards, backwards
        self.largest_batch, self.back_offs = largest_batch, back_offs
        self.device = device or torch.device("cpu")
        self._seconds: dict[Kind, float] = {"model": model_seconds, "method": method_seconds}
        self._pending: list[tuple[Kind, int, Any, Any]] = []
        self._methods = 0

    @override
    def __repr__(self) -> str:
        return f"Meter{self._values()}"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Meter) and self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def _values(self) -> tuple[float, ...]:
        seconds = self.model_seconds, self.method_seconds
        return (self.forwards, self.backwards, *seconds, self.largest_batch, self.back_offs)

    @property
    def model_seconds(self) -> float:
        """Inside the model's passes."""
        return self._read()["model"]

    @property
    def method_seconds(self) -> float:
        """Inside the methods' own arithmetic."""
        return self._read()["method"]

    @contextmanager
    def method(self) -> Iterator[None]:
        """Time a method's own arithmetic, the model's passes inside it left out."""
        began = self._now()
        self._methods += 1
        try:
            yield
        finally:
            self._methods -= 1
            self._add("method", 1, began, self._now())

    @contextmanager
    def model(self) -> Iterator[None]:
        """Time a pass of the model; one that fails is not counted."""
        began = self._now()
        yield
        ended = self._now()
        self._add("model", 1, began, ended)
        if self._methods:
            self._add("method", -1, began, ended)

    def _now(self) -> Any:
        """A time, or an event in the stream of a device that has such."""
        module: Any = None if self.device.type == "cpu" else torch.get_device_module(self.device)
        if not hasattr(module, "Event"):
            return time.perf_counter()
        event: Any = module.Event(enable_timing=True)
        event.record(*([module.current_stream(self.device)] if hasattr(module, "current_stream") else []))
        return event

    def _add(self, kind: Kind, sign: int, began: Any, ended: Any) -> None:
        if isinstance(ended, float):
            self._seconds[kind] += sign * (ended - began)
        else:
            self._pending.append((kind, sign, began, ended))
            if len(self._pending) >= MOST_PENDING:
                self._read()

    def _read(self) -> dict[Kind, float]:
        """The seconds, with what was pending."""
        if self._pending:
            self._pending[-1][3].synchronize()
            for kind, sign, began, ended in self._pending:
                self._seconds[kind] += sign * began.elapsed_time(ended) / 1000
            self._pending.clear()
        return self._seconds
