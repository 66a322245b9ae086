"""Findings of an audit: the weaknesses of a model, and the recipes that address them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.numbers import show_budget
from unshaken.core.part import CLEAN
from unshaken.core.registry import parse_method
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.judgement import read_summary
from unshaken.harden.engine.recipe import Recipe
from unshaken.measure import disparity
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir

MIN_LOSS = 0.05
"""The least loss of accuracy that a repair plan addresses."""
UNEVEN = 0.15
"""The least gap between the best and the worst class that a repair plan addresses."""
CHANCE = 0.05
"""Probability, were all classes equally easy, of a gap as large as the one found, above which it is not addressed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One weakness of the model: a condition that lowers its accuracy.

    Args:
        what: in words.
        loss: accuracy lost, in [0, 1].
        recipe: `NAME[:k=v,...]` that addresses it.
        left_out: why this recipe is not in the plan: chance explains the loss, or the recipe does not go together
            with others; empty where it is.
        conditions: ids of the audit's conditions that show it; none for the gap between classes.
    """

    what: str
    loss: float
    recipe: str
    left_out: str = ""
    conditions: tuple[str, ...] = ()


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
    """The gap between classes on unchanged images; one that chance explains is left out of the plan, with the reason.

    The largest of several noisy accuracies less the smallest is above zero for equally easy classes too, so the gap is
    held against what such classes show at the same counts.
    """
    rows = run.rows("outcomes", ["condition", "label", "correct"]).to_pydict()
    keep = [i for i, c in enumerate(rows["condition"]) if c == CLEAN.id and rows["correct"][i] is not None]
    labels, correct = ([rows[k][i] for i in keep] for k in ("label", "correct"))
    if len(set(labels)) < 2:
        return []
    found = disparity(correct, labels)
    if found.gap.value < UNEVEN:
        return []
    names = read_config(run).classes
    low, high = (repr(names[c]) if c < len(names) else str(c) for c in (found.worst_class, found.best_class))
    worst, best = found.worst.value, found.by_class[found.best_class].value
    doubt = (
        f"equally easy classes show a gap of {found.by_chance:.0%} on average at these counts, and one as large as "
        f"this in {found.p_equal:.0%} of cases: audit more images of each class"
    )
    text = f"class {low} has {worst:.0%} correct, {high} {best:.0%}"
    return [Finding(text, found.gap.value, "worst-class", doubt if found.p_equal > CHANCE else "")]


def choose(findings: Iterable[Finding], given: Sequence[Recipe] = ()) -> tuple[list[Finding], list[Recipe]]:
    """The recipes that go together, the larger loss first; each finding with the reason where its recipe is left out.

    Args:
        findings: from the largest loss to the smallest.
        given: the user's own recipes, which come before all.
    """
    recipes, annotated = list(given), []
    for finding in findings:
        if finding.left_out:
            annotated.append(finding)
            continue
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
