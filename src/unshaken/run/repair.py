"""Plan the repair of an audited model: its weaknesses, recipes for them, and their cost."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, evaluating, predict
from unshaken.core.consent import refuse_code
from unshaken.core.context import Context
from unshaken.core.device import device_of
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.notebook import facts_card
from unshaken.core.oracle import Oracle, required
from unshaken.data.named import NAMED
from unshaken.data.resident import Samples
from unshaken.harden.engine.findings import Finding
from unshaken.harden.engine.judgement import Reference
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.start import Start
from unshaken.harden.engine.training import Training
from unshaken.measure import Figure, accuracy_by_class, share
from unshaken.run.adapters import rows_of
from unshaken.run.plan import prepare
from unshaken.store.config import Entry, RunConfig, read_config
from unshaken.store.run_dir import RunDir

PIECE = 256


@dataclass(frozen=True, slots=True)
class Validation:
    """The mean accuracy over weaknesses: under the conditions of each, or of the worst class where it has none.

    Args:
        plan: lines that hold the conditions.
        weaknesses: ids of conditions, one tuple a weakness; an empty one for the gap between classes.
        seed: of what the methods draw.
        images: held-out images at most.
    """

    plan: tuple[Entry, ...]
    weaknesses: tuple[tuple[str, ...], ...]
    seed: int
    images: int

    def __call__(self, model: Classifier, held: Batch) -> float:
        """The figure, in [0, 1].

        Args:
            model: any.
            held: labelled images that it was not trained on.
        """
        device = device_of(model)
        batch = held[slice(0, self.images)].to(device)
        labels = required(batch.labels)
        wanted = {c for conditions in self.weaknesses for c in conditions}
        found: dict[str, float] = {}
        with evaluating(model):
            oracle = Oracle(model, limit=PIECE)
            clean = oracle.exact(batch.images)
            right = (predict(clean) == labels).cpu().numpy()
            context = Context(oracle, self.seed, clean)
            for step in prepare(self.plan):
                if wanted.isdisjoint(c.id for c in step.conditions):
                    continue
                for part in rows_of(step.method, batch, step.conditions, context):
                    if part.table == "outcomes" and part.condition.id in wanted:
                        found[part.condition.id] = float(np.mean(part.columns["correct"]))
        worst = min(f.value for f in accuracy_by_class(right, labels.cpu().numpy()).values())
        return statistics.fmean(
            statistics.fmean(found[c] for c in conditions) if conditions else worst for conditions in self.weaknesses
        )


TUNING: Mapping[str, Any] = {"epochs": 5, "lr": 0.02, "max_clean_loss": 0.2}
"""What differs from a training from scratch."""


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """Recipes that address an audit's findings, and their cost.

    Args:
        model: SPEC that is trained on.
        data: SPEC of the training images.
        findings: from the largest loss to the smallest.
        recipes: in the order of the loop.
        training: of the loop.
        images: to train on.
        seconds: expected, of training on this machine; the audit afterwards takes what it took before.
        passes: expected, forward and backward.
        audit_seconds: what the audit took.
        validation: figure on held-out images that chooses the checkpoint.
        reference: figures of the model on the audited images, where it seems to have learned the held-out ones.
    """

    model: str
    data: str
    findings: tuple[Finding, ...]
    recipes: tuple[Recipe, ...]
    training: Training
    images: int
    seconds: float
    passes: int
    audit_seconds: float
    validation: Validation | None = None
    reference: Reference | None = None

    @property
    def aims(self) -> tuple[tuple[str, ...], ...]:
        """The conditions of each weakness that the recipes are for, none of them for the gap between classes."""
        return _aims(self.findings, self.recipes)

    def _repr_html_(self) -> str:
        found = {f.what: f"loses {f.loss:.1%} of accuracy; {f.left_out or f.recipe}" for f in self.findings}
        cost = (
            f"{self.images:,} images, about {self.seconds:,.0f} s, then an audit of about {self.audit_seconds:,.0f} s"
        )
        doubt = {"doubt": self.reference.why} if self.reference else {}
        return facts_card(f"Plan to repair {self.model}", {**found, **doubt, "cost": cost})


def training_data(config: RunConfig) -> str:
    """The training images that belong to what was audited.

    Raises:
        ParameterError: they are not known: the audited samples themselves must not be trained on.
    """
    spec = config.data.partition("?")[0]
    if spec == "demo":
        return "fashion-mnist?split=train"
    if spec in NAMED and "split=train" not in config.data:
        return f"{spec}?split=train"
    raise ParameterError(
        f"the audit saw {config.data!r}, and to train on it would make the audit worthless: give other images of these "
        "classes with --data"
    )


def check_apart(config: RunConfig, data: str, fingerprint: str) -> None:
    """Refuse to train on what was audited.

    Raises:
        ParameterError: the two are the same data.
    """
    if fingerprint == config.data_fingerprint:
        raise ParameterError(f"{data!r} is the data that was audited: give other images of these classes with --data")


def validation_of(
    config: RunConfig, findings: Iterable[Finding], recipes: Sequence[Recipe], training: Training
) -> Validation | None:
    """Conditions that show whether a repair gained anything: its recipes' weaknesses; None where there are none.

    Args:
        config: of the audit.
        findings: of it.
        recipes: of the plan.
        training: of the loop.
    """
    aims = _aims(findings, recipes)
    return Validation(tuple(config.plan), aims, config.seed, training.check_images) if aims else None


def _aims(findings: Iterable[Finding], recipes: Sequence[Recipe]) -> tuple[tuple[str, ...], ...]:
    names = {r.info.name for r in recipes}
    return tuple(f.conditions for f in findings if not f.left_out and f.recipe.partition(":")[0] in names)


@dataclass(frozen=True, slots=True)
class Trial:
    """Figures of a few steps of a training.

    Args:
        seconds: expected of the whole.
        passes: expected of the whole, forward and backward.
        held_accuracy: of the starting weights on the held-out images.
    """

    seconds: float
    passes: int
    held_accuracy: Figure


def try_out(
    start: Start, samples: Samples, recipes: Sequence[Recipe], training: Training, validation: Validation | None = None
) -> Trial:
    """The cost of a training, from its first three steps (all, where an epoch has fewer) on a copy, and its start.

    Args:
        start: left as it is.
        samples: of the training.
        recipes: of the training.
        training: of the loop.
        validation: of it.
    """
    model = copy.deepcopy(start.model)
    for recipe in recipes:
        model = recipe.rebuild(model)
    loop = Loop(model, samples, recipes, training)
    steps, timed = loop.steps, min(3, loop.steps)
    loop.steps, loop.training = timed, training.model_copy(update={"epochs": 1, "max_clean_loss": None})
    began = time.perf_counter()
    right = loop.check(loop.live, loop.live)["held_accuracy"] * len(loop.held)
    if validation is not None:
        validation(loop.live, loop.held)
    checks = time.perf_counter() - began
    loop.check = lambda live, kept: {}  # type: ignore[assignment]
    began = time.perf_counter()
    progress = loop.train()
    step = (time.perf_counter() - began) / timed
    passes = (progress.forwards + progress.backwards) / timed
    epochs = training.epochs
    seconds = epochs * (steps * step + checks / training.check_every)
    return Trial(seconds, round(epochs * steps * passes), share(round(right), len(loop.held)))


def read_audit(run: RunDir) -> RunConfig:
    """The configuration of a finished audit.

    Raises:
        RunError: it is not finished, or there is none.
        ModelError: its plan, which the audit afterwards follows, names code that this call did not.
    """
    config = read_config(run)
    if not run.exists("summary.json"):
        raise RunError(f"{run}: the audit has not ended; finish it with --resume")
    refuse_code(config.plan, f"{run}/run.json")
    return config
