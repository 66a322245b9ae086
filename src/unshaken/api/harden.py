"""`harden`: train a model by recipes, in a run directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from unshaken.api.job import choose_device, default_out
from unshaken.api.tracking import log_training
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.registry import parse_method
from unshaken.data import DataSource
from unshaken.harden.engine.judgement import Reference
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.run import HardenResult, train_run
from unshaken.harden.engine.training import Training, TrainingOptions
from unshaken.report.pages.training import TRAINING


@of_arguments
@keywords(Training)
def harden(
    model: str | nn.Module,
    data: DataSource,
    recipes: str | Sequence[Any] = (),
    *,
    out: str | Path | None = None,
    resume: bool = False,
    new_head: bool = False,
    limit: int | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    workers: int | None = None,
    download: bool = False,
    track: str | None = None,
    validation: Callable[[Classifier, Batch], float] | None = None,
    reference: Reference | None = None,
    **training: Unpack[TrainingOptions],
) -> HardenResult:
    """Train a model by recipes, in a run directory that `run:DIR` loads.

    Args:
        model: an architecture, which gets fresh weights (`small`, `small-cnn`, `small-vit`, `new:torchvision:NAME`,
            `new:timm:NAME`), or a SPEC or module whose weights are trained on.
        data: a SPEC or an object, as for `audit`, labelled; a seeded part of it is held out and chooses the checkpoint.
            Recipes that learn without labels, such as `swav`, take unlabelled data, of which nothing is held out.
        recipes: `NAME[:k=v,...]`, or objects of the room `harden`; none for plain cross-entropy.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; the weights are those of a run that never stopped.
        new_head: replace the last linear layer where the data has other classes than the model.
        limit: take so many images: seeded, stratified.
        device: `auto`, `cpu`, `cuda`, `mps`.
        devices: processes that train together on this machine; under `torchrun` what it started.
        nodes: machines.
        workers: threads that decode.
        download: whether model and data may be fetched.
        track: log each epoch, and at the end files and model, to MLflow (a folder or a tracking URI), Weights & Biases
            (`wandb:PROJECT`) or event files (`tensorboard:DIR`).
        validation: figure in [0, 1] of a classifier on the held-out images; it chooses the checkpoint in the place of
            the option `select`, and the starting weights are a candidate.
        reference: figures of the starting weights in the place of those on held-out images, which they know.
        training: see `unshaken.harden.engine.training.Training`.

    Returns:
        A `HardenResult`: its run, the chosen model, and the result.

    Raises:
        UnshakenError: model, data, recipes or directory are wrong, or training diverged; the message says what to do.
    """
    done = train_run(
        model,
        data,
        parse_recipes(recipes),
        Training.from_text(training),
        out=str(out or default_out(model, data, "harden")),
        resume=resume,
        new_head=new_head,
        limit=limit,
        device=choose_device(device),
        devices=devices,
        nodes=nodes,
        workers=workers,
        download=download,
        track=track,
        validation=validation,
        reference=reference,
    )
    if done.result:  # the first of several processes has it
        TRAINING.write(done.run)
        log_training(track, done.run)
    return done


def parse_recipes(given: str | Sequence[Any]) -> list[Any]:
    """Recipes from texts; what is an object already stays."""
    texts = [given] if isinstance(given, str) else list(given)
    return [_recipe(r) if isinstance(r, str) else r for r in texts]


def _recipe(text: str) -> Any:
    """The recipe of a text.

    Raises:
        ParameterError: the name is not a recipe's.
    """
    found = parse_method(text, "harden")
    if not isinstance(found, Recipe):
        raise ParameterError(
            f"{found.info.name!r} is a defence at inference, not a recipe: use it with 'unshaken attack --defence'"
        )
    return found
