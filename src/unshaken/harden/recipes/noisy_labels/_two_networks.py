"""Code shared by recipes for noisy labels: two networks that correct one another, and tables of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.ensemble import members_of, with_members
from unshaken.harden.engine.recipe import Recipe, Setup, has_several_processes


class TwoNetworks(Recipe):
    """A recipe that trains two networks of one architecture, which answer by the mean of their logits.

    The model becomes the first; the second starts from fresh weights, for two alike would make the same mistakes. An
    ensemble of two is trained on as it is.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    refuses: ClassVar[Mapping[str, str]] = {"targets": "it compares predictions with the given labels; leave one out"}

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        return with_members(model, 2, average="logits")

    @override
    def begin(self, setup: Setup) -> None:
        check_two(self.info.name, setup.model)


def check_two(name: str, model: Classifier) -> None:
    """Check that an ensemble has two members.

    Args:
        name: of the recipe.
        model: an ensemble.

    Raises:
        ParameterError: it has another number.
    """
    n = len(members_of(model))
    if n != 2:
        raise ParameterError(f"{name} trains two networks: give one, or an ensemble of 2, not of {n}")


def refuse_processes(name: str) -> None:
    """Refuse several processes to a recipe that remembers each sample.

    Args:
        name: of the recipe.

    Raises:
        ParameterError: several processes train together, each of which would have a table of its own.
    """
    if has_several_processes():
        raise ParameterError(f"{name} remembers each sample in one table: train it in one process (--devices 1)")
