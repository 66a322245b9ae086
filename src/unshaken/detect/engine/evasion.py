"""`evasion`: adversarial examples for model and detector together, beside those that know of the model only."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.base import Attack
from unshaken.attack.engine.end_point import EndPoints, find_end_points
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.oracle import Oracle, required
from unshaken.core.registry import parse_method, register
from unshaken.core.state import State
from unshaken.detect.engine.detector_set import DetectorSet
from unshaken.detect.engine.guard import guard
from unshaken.detect.engine.screen import DetectorScores, screen
from unshaken.detect.engine.screening import FittedStep

NAIVE, ADAPTIVE = "naive", "adaptive"
BLIND = "square:queries=300"
"""The search through a detector that gives no gradient."""
NO_GRADIENT = FlagKind(
    "detector-without-gradient",
    "a detector gives no gradient, so the attack on it was blind",
    "Read its adaptive figure as a lower bound of what an attacker can do; choose a smoother detector, or "
    "attack with more queries.",
)


@register("evasion", reference="Carlini & Wagner 2017, arXiv:1705.07263", norms=("linf", "l2", "l1"))
class Evasion(FittedStep):
    """Detector evasion: the share of adversarial examples that fool the model and are accepted by the detector.

    The naive figure takes examples that an attack made on the bare model and shows them to each detector. The adaptive
    one attacks the model behind the detector (see `guard`); a naive example that gets past counts there too, so the
    adaptive figure is never the better one. Every example is judged by a fresh pass and the detector as it stands.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "gradient"})
    needs_labels: ClassVar[bool] = True

    attack: str = Field(
        default="pgd:steps=20,rel_stepsize=0.1", description="attack and its parameters, NAME[:k=v,...]"
    )

    @field_validator("attack")
    @classmethod
    def _known(cls, value: str) -> str:
        search_of(value)
        return value


class Observation(State):
    """Answers of model and detector for one image a sample, in fresh passes.

    Args:
        images: `[N, C, H, W]`.
        logits: `[N, K]`, the model's.
        scored: the detector's score.
        past: bool `[N]`: a wrong class, and an accepted score.
        forwards: passes that the search spent, int64 `[N]`.
        backwards: as `forwards`.
        seconds: float64 `[N]`.
    """

    images: Tensor
    logits: Tensor
    scored: DetectorScores
    past: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor


class EvasionRun:
    """One budget: the examples for the bare model, made once, and those through each detector."""

    def __init__(
        self,
        method: Evasion,
        detector_set: DetectorSet,
        batch: Batch,
        oracle: Oracle,
        seed: int,
        norm: str,
        radius: float,
    ) -> None:
        self.method, self.detector_set, self.batch, self.oracle, self.seed = method, detector_set, batch, oracle, seed
        self.norm, self.radius, self.labels = norm, radius, required(batch.labels)
        self.bare = self._ends(
            detector_set.model, search_of(method.attack), early=False
        )  # all steps: the surest wrong class
        self.naive = self._observe(self.bare, detector_set)

    def examples(self, label: str, kind: str) -> tuple[Observation, list[Flag]]:
        """One detector at the examples for the bare model (`NAIVE`), or at those through it (`ADAPTIVE`)."""
        return self._adaptive(label) if kind == ADAPTIVE else (self.naive[label], [])

    def distance(self, images: Tensor) -> Tensor:
        """How far images are from the unchanged ones, under the norm, `[N]`."""
        return self._ball().distance(images)

    def _ball(self) -> Ball:
        radius = torch.full((len(self.batch),), self.radius, device=self.batch.images.device)
        return Ball.of(self.batch.images, radius, self.norm)

    def _adaptive(self, label: str) -> tuple[Observation, list[Flag]]:
        """Examples through the detector; where one fails and the naive one gets past, that stands."""
        behind, flags = guard(self.detector_set, label, self.method.accept), list[Flag]()
        search = search_of(self.method.attack)
        if not _steep(behind, self.batch):
            search = search_of(BLIND)
            text = f"{label}: its score gives no gradient; the adaptive attack is {BLIND}, which sees logits only"
            flags.append(NO_GRADIENT.flag(f"{text}: the figure may flatter the detector"))
        own = self._observe(self._ends(behind, search, early=True), self.detector_set.only(label))[label]
        naive = self.naive[label]
        naive_wins = naive.past & ~own.past
        better, rest = naive_wins.nonzero().flatten(), (~naive_wins).nonzero().flatten()
        best = Observation.concat([own[rest], naive[better]])[torch.cat([rest, better]).argsort()]
        cost = {k: getattr(own, k) + getattr(naive, k) for k in ("forwards", "backwards", "seconds")}
        return best.replace(**cost), flags

    def _ends(self, model: Classifier, search: Attack[Any], *, early: bool) -> EndPoints:
        return find_end_points(
            model, search, self.batch, norm=self.norm, eps=self.radius, seed=self.seed, early=early,
            meter=self.oracle.meter,
        )  # fmt: skip

    def _observe(self, ends: EndPoints, detector_set: DetectorSet) -> dict[str, Observation]:
        """Answers of model and detectors for the end points; one outside the ball counts as the clean image."""
        inside = self._ball().contains(ends.x)
        images = torch.where(inside.view(-1, 1, 1, 1), ends.x, self.batch.images)
        batch, oracle = self.batch.with_images(images), self.oracle
        logits = oracle.exact(images)
        found = screen(detector_set.detectors, detector_set.anatomy, batch, oracle, self.seed)
        shown = {}
        for label, scored in found.items():
            accepted = (scored.score <= self.detector_set.threshold(label, self.method.accept).value).to(logits.device)
            past = accepted & (predict(logits) != self.labels)
            shown[label] = Observation(images, logits, scored, past, ends.forwards, ends.backwards, ends.seconds)
        return shown


def _steep(behind: Classifier, batch: Batch) -> bool:
    """Whether the rejection's logit has a gradient of its own at some image."""
    points = batch.images[:4].detach().requires_grad_(True)
    try:
        with evaluating(behind), torch.enable_grad():
            logits = behind(points)
            away = logits[:, -1] - logits[:, :-1].amax(1)
            if not away.requires_grad:
                return False
            (gradient,) = torch.autograd.grad(away.sum(), points, allow_unused=True)
    except (RuntimeError, UnshakenError):
        return False
    return gradient is not None and bool((gradient != 0).any())


def search_of(text: str) -> Attack[Any]:
    """The attack that a text names, which must be a single search.

    Raises:
        ParameterError: it is none, or not known.
    """
    found = parse_method(text, "attack")
    if not isinstance(found, Attack):
        raise ParameterError(f"{text!r} is no single search: choose pgd, apgd, square or another that is one attack")
    return found
