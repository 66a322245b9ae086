"""Adversarial training of an ensemble: attacked as a whole, learned from by each member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.harden.engine.ensemble import Members, alike, summed_cross_entropy
from unshaken.harden.engine.recipe import IterativeRecipe, Step


@register("ensemble-at", reference="Tramèr et al. 2018, arXiv:1705.07204")
class EnsembleAT(IterativeRecipe, Members):
    """Adversarial training of an ensemble, on examples against the whole ensemble."""

    takes: ClassVar[frozenset[str]] = frozenset({"inner", "loss"})
    refuses: ClassVar[Mapping[str, str]] = {"targets": "it is not defined for mixed labels; leave one of the two out"}

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        return Members.rebuild(self, model)

    @override
    def inner(self, step: Step) -> Tensor:
        rng = step.rng.fold("ensemble-at")
        return step.inner.find(self.search(), step.images, step.labels, rng, norm=self.norm, eps=self.eps)

    @override
    def loss(self, step: Step) -> Tensor:
        return summed_cross_entropy(alike(step, step.shown), step.labels)
