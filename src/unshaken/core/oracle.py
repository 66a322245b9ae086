"""`Oracle`: the one place that calls a model. It counts, times, splits, backs off and keeps float32 to hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.device import device_of, full_float32, keep_freed_memory, release_memory, widest_float
from unshaken.core.errors import ModelError, is_out_of_memory
from unshaken.core.meter import Meter
from unshaken.core.query import Answer, Goal, Query, gradients_by

T = TypeVar("T")


class Oracle:
    """Runs a model and counts its forward and backward passes.

    Args:
        model: in evaluation mode; see `evaluating`.
        limit: images in one pass at most; halved (and recorded in `meter`) when memory runs out.
        draws: passes whose gradients are averaged, above 1 for models with randomness of their own.
        precision: `fp32`, or `bf16` for the search. `exact` is float32 always.
        strict_batch: raise instead of halving.
        search_copy: another module with the same function, used in the place of `model` for queries.
        meter: where to count; default a new one.
    """

    def __init__(
        self,
        model: Classifier,
        *,
        limit: int = 256,
        draws: int = 1,
        precision: str = "fp32",
        strict_batch: bool = False,
        search_copy: nn.Module | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.model, self.limit, self.precision, self.strict_batch = model, limit, precision, strict_batch
        self.draws = draws
        self._search: nn.Module = model if search_copy is None else search_copy
        self.device = device_of(model)
        self.meter = meter or Meter(device=self.device)
        if self.device.type == "cpu":
            keep_freed_memory()

    def share_meter(
        self, model: Classifier | None = None, *, precision: str | None = None, draws: int | None = None
    ) -> Oracle:
        """Another oracle, for another model or precision, that counts on the same meter.

        Args:
            model: to another model, such as a surrogate; None for the same.
            precision: of the search; None for the same.
            draws: passes averaged; None for the same, and 1 for another model.
        """
        own = model is None or model is self.model
        return Oracle(
            self.model if model is None else model,
            limit=self.limit,
            draws=draws or (self.draws if own else 1),
            precision=precision or self.precision,
            strict_batch=self.strict_batch,
            search_copy=self._search if own else None,
            meter=self.meter,
        )

    def ask(self, query: Query, goal: Goal | None = None) -> Answer:
        """Answer a query, in pieces that fit the memory, with the passes that each row needed.

        A row that met the goal needs no backward pass, so none is counted for it even where its neighbours in the batch
        need one and share it; the meter counts what was really spent.

        Raises:
            ModelError: a gradient is asked of a model that has none, or the output is no `[N, K]`.
        """

        def evaluate_rows(rows: slice) -> Answer:
            before = self.meter.forwards, self.meter.backwards
            answer = query[rows].evaluate(self, None if goal is None else goal[rows])
            n = len(query.points[rows])
            if answer.forwards is not None:  # a query whose rows cost different numbers of passes counts them itself
                return answer
            forwards = torch.full((n,), device=self.device, fill_value=(self.meter.forwards - before[0]) // n)
            backwards = torch.full((n,), device=self.device, fill_value=(self.meter.backwards - before[1]) // n)
            if answer.stopped is not None and bool(answer.stopped.any()):
                needless = answer.stopped.to(self.device)  # whether or not its neighbours in the batch need it
                backwards = backwards.masked_fill(needless, 0)
            return answer.replace(forwards=forwards, backwards=backwards)

        return _join(self._pieces(len(query.points), query.width, evaluate_rows))

    def exact(self, images: Tensor) -> Tensor:
        """Logits `[N, K]` of the original model in float32 by fresh forward passes, counted."""
        if not len(images):  # no pass to count, but K is known
            lacking = widest_float(images.device) != torch.float64  # which torch's batch norm of no images needs
            with torch.no_grad():
                none: Tensor = self.model(images.new_zeros(int(lacking), *images.shape[1:]).float()).float()
            return none[:0]

        def evaluate_rows(rows: slice) -> Answer:
            piece = images[rows].float()
            with torch.no_grad(), full_float32(piece.device):
                return Answer(logits=self._call(lambda: self.model(piece).float(), len(piece)))

        return required(Answer.concat(self._pieces(len(images), 1, evaluate_rows)).logits)

    # What a query is evaluated through (`Passes`).

    def forward(self, images: Tensor, layers: tuple[str, ...] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and named layers' outputs; a graph is kept where gradients are on."""

        def forward_pass() -> tuple[Tensor, dict[str, Tensor]]:
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                return self._eyes(layers).features(images, layers) if layers else (self._search(images), {})

        logits, features = self._call(forward_pass, len(images))
        return logits.float(), features

    def gradient(self, value: Tensor, points: Tensor, *, keep: bool = False) -> Tensor:
        """The gradient of `value.sum()` by `points`; `keep` the graph where another will be asked of it.

        Raises:
            ModelError: none passes through the model.
        """
        return self._backward(value, (points,), len(points), keep=keep)[0]

    def gradients(self, value: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of `value.sum()` by several tensors, such as outputs of layers, in one backward pass.

        Raises:
            ModelError: none passes through the model.
        """
        return self._backward(value, places, len(value))

    def _backward(self, value: Tensor, places: Sequence[Tensor], n: int, *, keep: bool = False) -> list[Tensor]:
        """Gradients by each place, zero where it has no part in the value; n images are counted."""
        self.check_gradients()
        with self.meter.model():
            found = gradients_by(value, places, keep=keep)
        self.meter.backwards += n
        return found

    def check_gradients(self) -> None:
        """Refuse a black box.

        Raises:
            ModelError: no gradient passes through the model.
        """
        if not self.model.differentiable:
            raise ModelError(
                f"model {self.model.name!r} gives no gradients (black box): use a method that needs logits or labels"
            )

    def method(self) -> AbstractContextManager[None]:
        """Times a method's own arithmetic."""
        return self.meter.method()

    def chunks(self, images: Tensor, function: Callable[[Tensor], Answer]) -> Answer:
        """`function` over pieces of at most `limit` images, joined."""
        parts = [function(x) for x in torch.split(images, self.limit)]
        return Answer.concat(parts)

    def _eyes(self, layers: tuple[str, ...]) -> Classifier:
        """The module whose layers are read: the search copy for inputs of linear layers alone, else the model."""
        if isinstance(self._search, Classifier):
            modules = dict(self._search.net.named_modules())
            if all(n.endswith(INPUT) and isinstance(modules.get(n.removesuffix(INPUT)), nn.Linear) for n in layers):
                return self._search
        return self.model

    def _call(self, function: Callable[[], T], n: int) -> T:
        with self.meter.model():
            result = function()
        self.meter.forwards += n
        self.meter.largest_batch = max(self.meter.largest_batch, n)
        return result

    def _pieces(self, n: int, width: int, evaluate_rows: Callable[[slice], Answer]) -> list[Answer]:
        """Answers to consecutive slices of n rows that hold `limit` images at most, halved when memory runs out."""
        parts, start = [], 0
        while start < n:
            stop = min(n, start + max(1, self.limit // width))
            spent = self.meter.forwards, self.meter.backwards
            try:
                parts.append(evaluate_rows(slice(start, stop)))
                start = stop
                continue
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.strict_batch or self.limit <= 1:
                    raise
            self.meter.forwards, self.meter.backwards = spent
            self.limit //= 2
            self.meter.back_offs += 1
            release_memory(self.device)  # here, for the error held what the failed pass had made
        return parts


def required(value: Tensor | None) -> Tensor:
    """A field of an answer that the question asked for.

    Raises:
        ModelError: it is absent.
    """
    if value is None:
        raise ModelError("the model gave no answer of the kind that was asked for")
    return value


def _join(parts: list[Answer]) -> Answer:
    """One answer; what was left out in some pieces (their goal was met) becomes zeros there, marked as `cut`."""
    whole = next((p for p in parts if p.cut is None), None)
    if whole is None or all(p.cut is None for p in parts):
        return Answer.concat(parts)
    filled = []
    for part in parts:
        gaps = {
            f.name: value.new_zeros(len(part), *value.shape[1:])
            for f in dataclasses.fields(Answer)
            if isinstance(value := getattr(whole, f.name), Tensor) and getattr(part, f.name) is None
        }
        cut = torch.zeros_like(required(part.stopped)) if part.cut is None else part.cut
        filled.append(part.replace(**gaps, cut=cut))
    return Answer.concat(filled)
