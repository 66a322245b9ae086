"""How a training run chooses the weights that it keeps."""

from __future__ import annotations

from collections.abc import Callable

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.harden.engine.training import Training

Validation = Callable[[Classifier, Batch], float]
"""A figure in [0, 1] of a classifier on held-out images."""
FIGURES = {
    "robust": "held_robust", "clean": "held_accuracy", "last": "held_accuracy", "repair": "held_repaired"
}  # fmt: skip
"""The figure by which each way to select compares checkpoints."""


def selection_of(training: Training, validation: Validation | None, *, threat: bool, labelled: bool) -> str:
    """The figure that chooses the checkpoint, a name in `FIGURES`.

    Args:
        training: what was asked for.
        validation: a figure that takes its place; None for none.
        threat: whether a recipe has a threat that the model can be attacked with.
        labelled: whether the images have labels.

    Raises:
        ParameterError: the figure is not there.
    """
    chosen: str = ("robust" if threat else "clean") if training.select == "auto" else training.select
    if not labelled:
        chosen = _select_without_labels(training, validation)
    if chosen == "robust" and not threat:
        raise ParameterError("select=robust needs a recipe with a threat, such as at; choose clean or last")
    return chosen if validation is None else "repair"


def _select_without_labels(training: Training, validation: Validation | None) -> str:
    """How the checkpoint is chosen where images have no labels: the last one.

    Raises:
        ParameterError: it is to be chosen by accuracy.
    """
    wanted = {
        f"select={training.select}": training.select in ("robust", "clean"),
        "max_clean_loss": training.max_clean_loss is not None,
        "validation": validation is not None,
    }
    for name, given in wanted.items():
        if given:
            raise ParameterError(f"{name} needs accuracy on held-out images, and the data has no labels: leave it out")
    return "last"
