"""Plan the repair of an audited model: its weaknesses, recipes for them, and their cost."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unshaken.core.consent import refuse_code
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.notebook import facts_card
from unshaken.core.numbers import show_budget
from unshaken.core.registry import parse_method
from unshaken.data.named import NAMED
from unshaken.data.resident import Samples
from unshaken.harden.engine.audit_summary import read_summary
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.start import Start
from unshaken.harden.engine.training import Training
from unshaken.harden.engine.validation import Validation
from unshaken.measure import accuracy_by_class
from unshaken.run.config import RunConfig, read_config
from unshaken.run.store import RunDir

MIN_LOSS = 0.05
"""The least loss of accuracy that a repair plan addresses."""
UNEVEN = 0.15
"""The least gap between the best and the worst class that a repair plan addresses."""
TUNING: Mapping[str, Any] = {"epochs": 5, "lr": 0.02, "max_clean_loss": 0.2}
"""What differs from a training from scratch."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One weakness of the model: a condition that lowers its accuracy.

    Args:
        what: in words.
        loss: accuracy lost, in [0, 1].
        recipe: `NAME[:k=v,...]` that addresses it.
        left_out: why this recipe is not in the plan; empty where it is.
        conditions: ids of the audit's conditions that show it; none for the gap between classes.
    """

    what: str
    loss: float
    recipe: str
    left_out: str = ""
    conditions: tuple[str, ...] = ()


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

    def _repr_html_(self) -> str:
        found = {f.what: f"loses {f.loss:.1%} of accuracy; {f.left_out or f.recipe}" for f in self.findings}
        cost = (
            f"{self.images:,} images, about {self.seconds:,.0f} s, then an audit of about {self.audit_seconds:,.0f} s"
        )
        return facts_card(f"Plan to repair {self.model}", {**found, "cost": cost})


@dataclass(slots=True)
class _Losses:
    """Accuracy lost under conditions of one kind."""

    values: list[float] = field(default_factory=list)
    worst: tuple[float, float] = (0.0, 0.0)
    conditions: list[str] = field(default_factory=list)

    def add(self, condition: str, loss: float, strength: float = 0.0) -> None:
        self.values.append(loss)
        self.conditions.append(condition)
        self.worst = max(self.worst, (strength, loss))


def findings_of(run: RunDir, *, budget: float = math.inf) -> list[Finding]:
    """Findings of an audit, from the largest loss of accuracy to the smallest.

    Args:
        run: a finished run on labelled data.
        budget: largest linf budget that fits the data; attacks with a larger one are left out where there are others,
            and a model is trained within it.

    Raises:
        RunError: there is no finished run, or it has no clean accuracy to compare with.
    """
    summary = read_summary(run)
    if summary.clean is None:
        raise RunError(f"{run}: the audit has no labels, so there is no accuracy to improve; audit labelled images")
    clean = summary.clean.value
    groups: dict[str, _Losses] = {}
    beyond = _Losses()
    for condition in summary.conditions:
        if condition.accuracy is None:
            continue
        loss = clean - condition.accuracy.value
        name = condition.condition
        if condition.norm == "linf" and (condition.eps or 0.0) > budget * (1 + 1e-6):
            beyond.add(name, loss, budget)
        elif condition.norm:
            groups.setdefault(f"attack {condition.norm}", _Losses()).add(name, loss, condition.eps or 0.0)
        elif condition.method in ("translation", "cyclic_translation"):
            groups.setdefault("translation", _Losses()).add(name, loss)
        elif condition.group in ("noise", "blur", "weather", "digital"):
            groups.setdefault(condition.group, _Losses()).add(name, loss)
    if beyond.values:
        groups.setdefault("attack linf", beyond)
    found = [f for kind, losses in groups.items() if (f := _finding(kind, losses)) is not None]
    return sorted([*found, *_disparity(run)], key=lambda f: -f.loss)


def _finding(kind: str, losses: _Losses) -> Finding | None:
    mean, shown = statistics.fmean(losses.values), tuple(losses.conditions)
    if kind.startswith("attack"):
        norm, (eps, _) = kind.split()[1], losses.worst
        loss = max(losses.values)
        found = Finding(
            f"{norm} attacks up to {show_budget(eps)}",
            loss,
            f"trades:norm={norm},eps={show_budget(eps, 6)},beta=6.0",
            conditions=shown,
        )
        return found if loss >= MIN_LOSS and eps > 0 else None
    recipe = {"noise": "noise", "translation": "crop-flip:mirror=0"}.get(kind, "augmix")
    name = "translation" if kind == "translation" else f"{kind} corruptions"
    return Finding(name, mean, recipe, conditions=shown) if mean >= MIN_LOSS else None


def _disparity(run: RunDir) -> list[Finding]:
    """The gap between classes on unchanged images."""
    rows = run.rows("outcomes", ["condition", "label", "correct"]).to_pydict()
    keep = [i for i, c in enumerate(rows["condition"]) if c == "clean" and rows["correct"][i] is not None]
    if not keep:
        return []
    correct, labels = (np.array([rows[k][i] for i in keep]) for k in ("correct", "label"))
    classes = accuracy_by_class(correct, labels)
    ranked = sorted(classes, key=lambda c: classes[c].value)
    worst, best = (classes[c].value for c in (ranked[0], ranked[-1]))
    if best - worst < UNEVEN:
        return []
    names = read_config(run).classes
    low, high = (repr(names[c]) if c < len(names) else str(c) for c in (ranked[0], ranked[-1]))
    return [Finding(f"class {low} has {worst:.0%} correct, {high} {best:.0%}", best - worst, "worst-class")]


def choose(findings: Iterable[Finding], given: Sequence[Recipe] = ()) -> tuple[list[Finding], list[Recipe]]:
    """The recipes that go together, the larger loss first; each finding with the reason where its recipe is left out.

    Args:
        findings: from the largest loss to the smallest.
        given: the user's own recipes, which come before all.
    """
    recipes, annotated = list(given), []
    for finding in findings:
        recipe: Recipe = parse_method(finding.recipe, "harden")
        if recipe.info.name in {r.info.name for r in recipes}:
            annotated.append(finding)
            continue
        try:
            Composition([*recipes, recipe])
        except ParameterError as error:
            annotated.append(replace(finding, left_out=str(error)))
            continue
        recipes.append(recipe)
        annotated.append(finding)
    return annotated, recipes


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
    """What shows whether a repair gained anything: the weaknesses that its recipes are for; None where these are none.

    Args:
        config: of the audit.
        findings: of it.
        recipes: of the plan.
        training: of the loop.
    """
    names = {r.info.name for r in recipes}
    aimed = [f.conditions for f in findings if not f.left_out and f.recipe.partition(":")[0] in names]
    return Validation(tuple(config.plan), tuple(aimed), config.seed, training.check_images) if aimed else None


def expected_cost(
    start: Start, samples: Samples, recipes: Sequence[Recipe], training: Training, validation: Validation | None = None
) -> tuple[float, int]:
    """Seconds and passes of a training, from its first three steps (all, where an epoch has fewer) on a copy.

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
    check, loop.check = loop.check, lambda live, kept: {}  # type: ignore[assignment]
    began = time.perf_counter()
    progress = loop.train()
    step = (time.perf_counter() - began) / timed
    began = time.perf_counter()
    check(loop.live, loop.kept())
    if validation is not None:
        validation(loop.kept(), loop.held)
    checks = time.perf_counter() - began
    passes = (progress.forwards + progress.backwards) / timed
    epochs = training.epochs
    return epochs * (steps * step + checks / training.check_every), round(epochs * steps * passes)


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
