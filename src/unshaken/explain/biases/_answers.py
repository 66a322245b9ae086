"""Stimuli shown to all models, with a row for each answer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.prediction import predict
from unshaken.explain.engine.analysis import Findings, Subject

Decide = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From logits `[N, K]` to decisions and confidences, both `[N]`."""
SHOWN = 6
"""Examples of a stimulus that the page shows."""


def most_likely(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The predicted class, -1 where there is none, and its probability."""
    return predict(logits), logits.softmax(1).amax(1)


@dataclass(slots=True, eq=False)
class Answers:
    """What models answer to stimuli.

    Args:
        oracles: name of the model to what asks it.
    """

    oracles: Mapping[str, Oracle]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, Tensor]]] = field(default_factory=dict)

    def ask(
        self, stimulus: str, batch: Batch, *, first: Tensor | None = None, second: Tensor | None = None,
        decide: Mapping[str, Decide] | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Show images to every model, and keep a row for each answer.

        Args:
            stimulus: its name.
            batch: the images; with labels where an answer can be right.
            first: class of the first cue, int64 `[N]`; None for none.
            second: class of the second cue.
            decide: of each model; default the most likely class.

        Returns:
            Decisions `[N]` by model, on the CPU.
        """
        self.show(stimulus, batch)
        found = {}
        for name, oracle in self.oracles.items():
            began = time.perf_counter()
            decision, confidence = (most_likely if decide is None else decide[name])(oracle.exact(batch.images))
            each = (time.perf_counter() - began) / max(1, len(batch))
            found[name] = decision.cpu()
            right = None if batch.labels is None else (decision == batch.labels).cpu().tolist()
            self._add(
                len(batch), id=list(batch.ids), model=name, stimulus=stimulus, first_cue=_listed(first),
                second_cue=_listed(second), prediction=found[name].tolist(), confidence=confidence.cpu().tolist(),
                correct=right, forwards=1, backwards=0, seconds=each,
            )  # fmt: skip
        return found

    def show(self, stimulus: str, batch: Batch) -> None:
        """Keep the first few images of a stimulus as examples."""
        kept = self.examples.setdefault(stimulus, [])
        kept += [(i, x.cpu()) for i, x in zip(batch.ids, batch.images[: SHOWN - len(kept)], strict=False)]

    def _undecided(self) -> list[str]:
        """A sentence for each model whose output was not finite for some images."""
        asked = list(zip(self.columns.get("model", ()), self.columns.get("confidence", ()), strict=True))
        counts = {m: [math.isnan(c) for name, c in asked if name == m] for m in self.oracles}
        return [
            f"{name} gives no finite output for {sum(wrong):,} of {len(wrong):,} images: these count as wrong."
            for name, wrong in counts.items()
            if any(wrong)
        ]

    def _add(self, n: int, **values: Any) -> None:
        for name, value in values.items():
            self.columns.setdefault(name, []).extend(value if isinstance(value, list) else [value] * n)

    def findings(self, *, extra: Mapping[str, Any], **found: Any) -> Findings:
        """The findings of an analysis, with its rows, its examples and its cost."""
        shown = {name: examples for name, examples in self.examples.items() if examples}
        pictures = {
            f"examples.{name}": torch.stack([x for _, x in e]).mul(255).round().byte() for name, e in shown.items()
        }
        stimuli = {name: [i for i, _ in examples] for name, examples in shown.items()}
        known = {"models": list(self.oracles), "stimuli": stimuli, **extra}
        meters = [oracle.meter for oracle in self.oracles.values()]
        found["remarks"] = (*found.get("remarks", ()), *self._undecided())
        return Findings(
            rows=self.columns,
            arrays={**pictures, **found.pop("arrays", {})},
            extra=known,
            forwards=sum(m.forwards for m in meters),
            backwards=sum(m.backwards for m in meters),
            **found,
        )


def _listed(values: Tensor | None) -> list[int] | None:
    return None if values is None else [int(v) for v in values]


@contextmanager
def asking(subject: Subject) -> Iterator[Answers]:
    """All models in evaluation mode, to be asked; they are left as they were found."""
    with ExitStack() as stack:
        for model in subject.models.values():
            stack.enter_context(evaluating(model))
        yield Answers({name: Oracle(model, limit=subject.batch) for name, model in subject.models.items()})
