"""Distortions: the accuracy of models without shape, without texture, without colour, on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.data import load_data
from unshaken.explain.biases._answers import Answers, asking
from unshaken.explain.biases._together import Beside, known_labels, partners_in, required_labels, together
from unshaken.explain.biases.cue_sets import partners
from unshaken.explain.biases.distort import Distortion, read_distortion
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.measure import Figure, compare, share

CLEAN, GIVEN = "clean", "given"
PLUS = BeforeValidator(lambda values: tuple(values.split("+")) if isinstance(values, str) else values)
"""Several values as text `a+b`."""
DEFAULT = ("scramble-2", "scramble-4", "silhouette", "contour", "grey", "blur-1", "noise-0.1", "other-amplitude")


@register("distortions", reference="Chen et al. 2020, arXiv:2006.09373")
class Distortions(Analysis):
    """Distortions: accuracy without shape, texture or colour, on the images that all models classify correctly.

    Scrambled tiles keep texture and destroy shape; silhouettes, contours and other amplitudes do the reverse.
    """

    table: ClassVar[str] = "biases"
    group: ClassVar[str] = "biases"
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images", "labels"})
    several: ClassVar[bool] = True

    distortions: Annotated[tuple[str, ...], PLUS] = Field(
        DEFAULT,
        min_length=1,
        description="scramble-TILES, silhouette, contour, grey, blur-PX, noise-SD, other-amplitude, STRESSOR@SEVERITY",
    )
    given: str = Field("", description="SPEC of further images of the same samples by their ids, such as stylised ones")

    @field_validator("distortions")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for name in names:
                read_distortion(name)
        except ParameterError as error:
            raise ValueError(str(error)) from None
        return names

    @override
    def find(self, subject: Subject) -> Findings:
        chosen = [read_distortion(name) for name in self.distortions]
        labels = known_labels(subject)
        right: dict[str, dict[str, list[NDArray[np.bool_]]]] = {}
        total = 0
        with asking(subject) as answers:
            for batch, partner, given in self._batches(subject, chosen, labels):
                decided = answers.ask(CLEAN, batch)
                total += len(batch)
                common = torch.stack([d == required_labels(batch).cpu() for d in decided.values()]).all(0)
                if not bool(common.any()):
                    continue
                kept, rows = batch[common], common.to(batch.images.device)
                for one in chosen:
                    images = one.apply(kept, partner[rows] if partner else kept, subject.seed).clamp(0, 1)
                    _note(right, one.name, answers.ask(one.name, kept.with_images(images.contiguous())), kept)
                if given is not None:
                    _note(right, GIVEN, answers.ask(GIVEN, kept.with_images(given.images[rows])), kept)
        words = {
            **{one.name: one.words for one in chosen},
            **({GIVEN: f"images of {self.given}"} if self.given else {}),
        }
        return self._findings(answers, right, words, total)

    def _batches(
        self, subject: Subject, chosen: Sequence[Distortion], labels: NDArray[np.int64]
    ) -> Iterator[tuple[Batch, Batch | None, Batch | None]]:
        """The samples, partners where a distortion needs them, and the user's versions where there are any."""
        beside = []
        if paired := any(one.paired for one in chosen):
            beside.append(partners_in(subject, partners(labels, subject.seed)))
        if self.given:
            beside.append(_same_ids(subject, self.given))
        for batch, *others in together(subject, *beside):
            yield batch, others[0] if paired else None, others[-1] if self.given else None

    def _findings(
        self, answers: Answers, right: dict[str, dict[str, list[NDArray[np.bool_]]]], words: dict[str, str], total: int
    ) -> Findings:
        figures: dict[str, Figure] = {}
        models = list(answers.oracles)
        common = 0
        for stimulus, by_model in right.items():
            hits = {name: np.concatenate(parts) for name, parts in by_model.items()}
            common = len(hits[models[0]])
            for name in models:
                figures[f"accuracy.{name}.{stimulus}"] = share(int(hits[name].sum()), common)
            for name in models[1:]:
                figures[f"difference.{name}.{stimulus}"] = compare(hits[models[0]], hits[name]).difference
        whose = "all models classify" if len(models) > 1 else "the model classifies"
        remarks = [f"Accuracies are of the {common} of {total} images that {whose} correctly undistorted."]
        if not common:
            remarks = [f"None of {total} images is classified correctly by every model: there is nothing to compare."]
        extra: dict[str, Any] = {"words": words, "common": common, "samples": total}
        return answers.findings(figures=figures, remarks=tuple(remarks), extra=extra)


def _note(
    right: dict[str, dict[str, list[NDArray[np.bool_]]]], stimulus: str, decided: dict[str, Tensor], batch: Batch
) -> None:
    for name, decision in decided.items():
        right.setdefault(stimulus, {}).setdefault(name, []).append((decision == required_labels(batch).cpu()).numpy())


def _same_ids(subject: Subject, spec: str) -> Beside:
    """The user's versions of the samples.

    Raises:
        DataError: a sample has none.
    """
    given = load_data(spec)
    place = {i: n for n, i in enumerate(given.ids)}
    ids = [] if subject.dataset is None else [subject.dataset.ids[i] for i in subject.indices]
    if absent := [i for i in ids if i not in place]:
        raise DataError(
            f"data {spec!r} has no image for {len(absent)} of {len(ids)} samples, such as {absent[0]!r}: name its "
            "files as those of the data"
        )
    return Beside(given, [place[i] for i in ids])
