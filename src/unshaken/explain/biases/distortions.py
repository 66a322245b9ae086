"""Distortions: the accuracy of models without shape, without texture, without colour, on the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.numbers import parse_number
from unshaken.core.registry import find_method, register
from unshaken.core.rng import SampleRng
from unshaken.data import load_data
from unshaken.explain.biases._answers import (
    Answers,
    Companions,
    asking,
    known_labels,
    partners_in,
    read_together,
    required_labels,
)
from unshaken.explain.biases.cue_sets import partners
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.measure import Figure, compare, share
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.cues.contour import contour
from unshaken.stress.cues.phase_noise import exchange_phases
from unshaken.stress.cues.scramble import scramble_inside
from unshaken.stress.cues.silhouette import silhouette
from unshaken.stress.engine.base import Stressor
from unshaken.stress.engine.filters import luma

Apply = Callable[[Batch, Batch, int], Tensor]
"""From samples, their partners of other classes, and the run seed to changed images."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """A change that takes cues away.

    Args:
        name: with its strength.
        words: what it does, with its strength and unit.
        apply: does it.
        paired: whether it needs a partner of another class for each sample.
    """

    name: str
    words: str
    apply: Apply
    paired: bool = False


def add_noise(batch: Batch, sd: float, seed: int) -> Tensor:
    """Images with Gaussian noise of deviation `sd` that depends on the seed and their ids, not clipped."""
    draws = SampleRng.of(seed, f"gaussian noise {sd:g}", batch.ids).noise(*batch.images.shape[1:])
    return batch.images + sd * draws.to(batch.images.device)


_STRONG: Mapping[str, tuple[str, Callable[[float], Apply]]] = {
    "scramble": ("{0:g} x {0:g} tiles in another order", lambda p: lambda b, o, s: scramble_inside(b.images, int(p))),
    "blur": ("Gaussian blur, sigma {0:g} px", lambda sigma: lambda b, o, s: gaussian_blur(b.images, sigma)),
    "noise": ("Gaussian noise, deviation {0:g}", lambda sd: lambda b, o, s: add_noise(b, sd, s)),
}
"""Name to words and to what makes the change of a strength."""
LARGEST = 100
"""Strength of a blur, in pixels, and of noise: what is more takes time and leaves nothing of the image."""
_PLAIN: Mapping[str, tuple[str, Apply, bool]] = {
    "grey": ("without colour", lambda b, o, s: luma(b.images).expand_as(b.images), False),
    "silhouette": ("black outline on white, by Otsu's threshold", lambda b, o, s: silhouette(b.images), False),
    "contour": ("edges by Canny's method", lambda b, o, s: contour(b.images), False),
    "other-amplitude": (
        "amplitudes of an image of another class, own phases; stands in for another style",
        lambda b, o, s: exchange_phases(o.images, b.images),
        True,
    ),
}
"""Name to words, the change, and whether it needs partners."""


def read_distortion(text: str) -> Distortion:
    """A distortion by its name.

    Args:
        text: `scramble-P` with P tiles along each side, `blur-SIGMA` in pixels, `noise-SD` in [0, 1] pixel units,
            `grey`, `silhouette`, `contour`, `other-amplitude`, or any stressor as `NAME@SEVERITY`, such as `fog@3`.

    Raises:
        ParameterError: there is none of this name, or its strength is not allowed.
    """
    if text in _PLAIN:
        words, apply, paired = _PLAIN[text]
        return Distortion(text, words, apply, paired)
    name, at, severity = text.partition("@")
    if at:
        stressor = find_method(name, "stress").cls()
        if not isinstance(stressor, Stressor) or severity not in map(str, stressor.severities):
            known = ", ".join(map(str, getattr(stressor, "severities", ())))
            raise ParameterError(f"distortion {text!r}: the severities of {name!r} are {known}")
        level = int(severity)
        return Distortion(text, f"{name}, severity {level}", lambda b, o, s: stressor.apply(b, level, s).images)
    name, _, strength = text.rpartition("-")
    if name not in _STRONG:
        names = [*_PLAIN, *(f"{n}-2" for n in _STRONG), "fog@3"]
        raise ParameterError(f"no distortion {text!r}; {did_you_mean(text, names)}")
    value = parse_number(strength)
    if value <= 0 or (name == "scramble" and (value < 2 or value != int(value))):
        wanted = "a whole number of tiles from 2" if name == "scramble" else "a strength above 0"
        raise ParameterError(f"distortion {text!r}: give {wanted}")
    if value > LARGEST and name != "scramble":
        raise ParameterError(f"distortion {text!r}: give a strength of {LARGEST} at most")
    words, make = _STRONG[name]
    return Distortion(text, words.format(value), make(float(value)))


CLEAN, GIVEN = "clean", "given"
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

    distortions: tuple[str, ...] = Field(
        default=DEFAULT,
        min_length=1,
        description="scramble-TILES, silhouette, contour, grey, blur-PX, noise-SD, other-amplitude, STRESSOR@SEVERITY",
    )
    given: str = Field(
        default="", description="SPEC of further images of the same samples by their ids, such as stylised ones"
    )

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
                correct, rows = batch[common], common.to(batch.images.device)
                for one in chosen:
                    images = one.apply(correct, partner[rows] if partner else correct, subject.seed).clamp(0, 1)
                    _note(right, one.name, answers.ask(one.name, correct.with_images(images.contiguous())), correct)
                if given is not None:
                    _note(right, GIVEN, answers.ask(GIVEN, correct.with_images(given.images[rows])), correct)
        words = {
            **{one.name: one.words for one in chosen},
            **({GIVEN: f"images of {self.given}"} if self.given else {}),
        }
        return self._findings(answers, right, words, total)

    def _batches(
        self, subject: Subject, chosen: Sequence[Distortion], labels: NDArray[np.int64]
    ) -> Iterator[tuple[Batch, Batch | None, Batch | None]]:
        """The samples, partners where a distortion needs them, and the user's versions where there are any."""
        companions = []
        if paired := any(one.paired for one in chosen):
            companions.append(partners_in(subject, partners(labels, subject.seed)))
        if self.given:
            companions.append(_same_ids(subject, self.given))
        for batch, *others in read_together(subject, *companions):
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


def _same_ids(subject: Subject, spec: str) -> Companions:
    given = load_data(spec)
    place = {i: n for n, i in enumerate(given.ids)}
    ids = [] if subject.dataset is None else [subject.dataset.ids[i] for i in subject.indices]
    if absent := [i for i in ids if i not in place]:
        raise DataError(
            f"data {spec!r} has no image for {len(absent)} of {len(ids)} samples, such as {absent[0]!r}: name its "
            "files as those of the data"
        )
    return Companions(given, [place[i] for i in ids])
