"""Stimuli shown to all models beside their partners and masks, with a row for each answer, and counts of conflicts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import evaluating, predict
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.data import Dataset
from unshaken.explain.biases.cue_bias import bias_by_class, bias_difference, cue_bias
from unshaken.explain.engine.analysis import Findings, Subject
from unshaken.measure import Figure
from unshaken.measure.statistics.columns import Indices

Decide = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From logits `[N, K]` to decisions and confidences, both `[N]`."""
SHOWN = 6
"""Examples of a stimulus that the page shows."""


def most_likely(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The predicted class, -1 where there is none, and its probability."""
    return predict(logits), logits.softmax(1).amax(1)


@dataclass(slots=True, eq=False)
class Answers:
    """Answers of models to stimuli, a row each, and examples of the stimuli.

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
        examples = self.examples.setdefault(stimulus, [])
        examples += [(i, x.cpu()) for i, x in zip(batch.ids, batch.images[: SHOWN - len(examples)], strict=False)]

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
    """Put all models in evaluation mode to be asked; they are left as they were found."""
    with ExitStack() as stack:
        for model in subject.models.values():
            stack.enter_context(evaluating(model))
        yield Answers({name: Oracle(model, limit=subject.batch) for name, model in subject.models.items()})


@dataclass(frozen=True, slots=True)
class Companions:
    """One image more for each sample, such as its partner or its mask.

    Args:
        dataset: where it comes from.
        indices: its places there, one a sample.
    """

    dataset: Dataset
    indices: Sequence[int]


def known_labels(subject: Subject) -> Indices:
    """The labels of the samples, int64 `[N]`.

    Raises:
        DataError: there are none, or they are masks.
    """
    dataset = subject.dataset
    if dataset is None or dataset.labels is None or dataset.labels.ndim != 1:
        spec = "" if dataset is None else f" {dataset.options.spec!r}"
        raise DataError(f"data{spec} has no class for each image, which this analysis needs")
    return dataset.labels[list(subject.indices)]


def required_labels(batch: Batch) -> Tensor:
    """The labels of a batch of data that has them.

    Raises:
        DataError: it has none.
    """
    if batch.labels is None:
        raise DataError("the images have no labels, which this analysis needs")
    return batch.labels


def partners_in(subject: Subject, chosen: Indices) -> Companions:
    """Partners from the same data, by their places among the samples."""
    places = list(subject.indices)
    return Companions(_dataset(subject), [places[i] for i in chosen.tolist()])


def read_together(subject: Subject, *others: Companions) -> Iterator[tuple[Batch, ...]]:
    """The samples in batches, each with its companions; left out where any of them cannot be read.

    Raises:
        DataError: companions have another size than the samples.
    """
    columns = [Companions(_dataset(subject), subject.indices), *others]
    subjects = [subject, *(replace(subject, dataset=o.dataset, indices=o.indices) for o in others)]
    streams = [(batch[i : i + 1] for batch in s.batches() for i in range(len(batch))) for s in subjects]
    heads = [next(s, None) for s in streams]
    rows: list[tuple[Batch, ...]] = []
    for places in zip(*(c.indices for c in columns), strict=True):
        ids = [c.dataset.ids[p] for c, p in zip(columns, places, strict=True)]
        there = [h is not None and h.ids[0] == i for h, i in zip(heads, ids, strict=True)]
        if all(there):
            rows.append(tuple(h for h in heads if h is not None))
            if len(rows) == subject.batch:
                yield _joined(rows)
                rows = []
        heads = [next(s, None) if t else h for s, t, h in zip(streams, there, heads, strict=True)]
    for other in subjects[1:]:
        subject.bad.update(other.bad)
    if rows:
        yield _joined(rows)


def _joined(rows: Sequence[tuple[Batch, ...]]) -> tuple[Batch, ...]:
    found = tuple(Batch.concat(column) for column in zip(*rows, strict=True))
    sizes = {tuple(b.images.shape[2:]) for b in found}
    if len(sizes) > 1:
        first, *rest = (tuple(b.images.shape[2:]) for b in found)
        odd = next(s for s in rest if s != first)
        raise DataError(
            f"images of {first[0]} x {first[1]} pixels came with masks or partners of {odd[0]} x {odd[1]}: "
            "bring all to one size with the option size, as in ?size=224"
        )
    return found


def _dataset(subject: Subject) -> Dataset:
    if subject.dataset is None:
        raise DataError("this analysis needs images: give data")
    return subject.dataset


@dataclass(slots=True)
class Conflicts:
    """Decisions of models about the same images.

    Args:
        first: class of the first cue, parts of int64 `[n]`.
        second: class of the second cue.
        decided: by model.
    """

    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)
    decided: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, first: Tensor, second: Tensor, decided: dict[str, Tensor]) -> None:
        """Add the decisions about some images."""
        self.first.append(first.cpu())
        self.second.append(second.cpu())
        for name, decisions in decided.items():
            self.decided.setdefault(name, []).append(decisions)

    def figures(self) -> tuple[dict[str, Figure], list[str]]:
        """Each model's bias and share of decisions for a cue, differences from the first model, and remarks."""
        figures: dict[str, Figure] = {}
        remarks = []
        first, second = self._cues()
        decided: dict[str, Indices] = {name: torch.cat(parts).numpy() for name, parts in self.decided.items()}
        baseline = next(iter(decided.values()))
        for place, (name, decisions) in enumerate(decided.items()):
            bias = cue_bias(decisions, first, second)
            found = {"bias": bias.figure(), "cue_share": bias.cue_figure()}
            if place:
                found["difference"] = bias_difference(baseline, decisions, first, second)
            figures |= {f"{what}.{name}": figure for what, figure in found.items() if figure is not None}
            if found["bias"] is None:
                remarks.append(f"{name} decides for neither cue of any image, so that it has no bias.")
        return figures, remarks

    def counts(self, names: Sequence[str]) -> dict[str, Any]:
        """Decisions for the first cue, the second and neither, of each model: in all, and by class of the first cue."""
        first, second = self._cues()
        whole, by_class = {}, {}
        for model, parts in self.decided.items():
            decisions: Indices = torch.cat(parts).numpy()
            whole[model] = cue_bias(decisions, first, second).counts
            by_class[model] = {names[c]: b.counts for c, b in bias_by_class(decisions, first, second).items()}
        return {"counts": whole, "by_class": by_class}

    def _cues(self) -> tuple[Indices, Indices]:
        return torch.cat(self.first).numpy(), torch.cat(self.second).numpy()
