"""Fitted detectors in a run: their scores on the samples, and adversarial examples that they accept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unshaken.core.batch import Batch
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.part import Condition, Part, name_condition
from unshaken.core.registry import find_method
from unshaken.detect.engine.evasion import ADAPTIVE, NAIVE, Evasion, EvasionRun, search_of
from unshaken.detect.engine.rows import answers, joined, scores
from unshaken.detect.engine.screen import screen
from unshaken.detect.engine.screening import Screening
from unshaken.run.adapters import Line, conditions_of, rows_of


@conditions_of.register
def _(method: Screening, line: Line) -> list[Condition]:
    """One condition for each detector."""
    if line.severities or line.eps:
        raise ParameterError(f"{line.label}: detectors have no severities and no eps: omit them")
    return [Condition(one, "screening") for one in method.detectors]


@rows_of.register
def _(method: Screening, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    """Scores, and the answers of the model behind each detector."""
    oracle = context.oracle
    detector_set = method.detector_set(oracle.model, context.once).only(*method.detectors)
    views = {method.split: (batch, context.clean)}
    for part in method.shifts:
        name, _, severity = part.rpartition("-")
        moved = find_method(name, "stress").cls().apply(batch, int(severity), context.seed)
        views[f"covariate/{part}"] = moved, oracle.exact(moved.images)
    found = {
        split: screen(detector_set.detectors, detector_set.anatomy, shown, oracle, context.seed)
        for split, (shown, _) in views.items()
    }
    parts = []
    for condition in conditions:
        label = condition.id
        threshold, own = detector_set.threshold(label, method.accept).value, found[method.split][label]
        rows = [
            scores(condition, label, shown, found[s][label], split=s, threshold=threshold, logits=logits)
            for s, (shown, logits) in views.items()
        ]
        cost = {k: getattr(own, k).cpu().numpy() for k in ("forwards", "backwards", "seconds")}
        answer = answers(condition, batch, own, detector_set.detectors[label], threshold, context.clean, **cost)
        parts += [joined(rows), answer]
    return parts


@conditions_of.register
def _(method: Evasion, line: Line) -> list[Condition]:
    """Two conditions for each detector and budget."""
    if line.severities or not line.eps:
        raise ParameterError(f"{line.label}: give budgets eps, such as [8/255], and no severities")
    if line.norm not in (known := search_of(method.attack).norms):
        raise ParameterError(f"{line.label}: no norm {line.norm!r}; {did_you_mean(line.norm, known)}")
    return [
        Condition(_evasion(one, kind, line.norm, e), "evasion", eps=e, norm=line.norm)
        for e in line.eps
        for one in method.detectors
        for kind in (NAIVE, ADAPTIVE)
    ]


@rows_of.register
def _(method: Evasion, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    """Scores at the examples, and which of them are accepted with a wrong class (`correct` is false)."""
    detector_set, parts = method.detector_set(context.oracle.model, context.once).only(*method.detectors), list[Part]()
    norm = str(conditions[0].norm)
    for radius in dict.fromkeys(float(c.eps or 0.0) for c in conditions):
        attacked = EvasionRun(method, detector_set, batch, context.oracle, context.seed, norm, radius)
        named = {c.id: c for c in conditions if float(c.eps or 0.0) == radius}
        for label in method.detectors:
            threshold, fitted = detector_set.threshold(label, method.accept).value, detector_set.detectors[label]
            for kind in (NAIVE, ADAPTIVE):
                condition = named[_evasion(label, kind, norm, radius)]
                found, flags = attacked.examples(label, kind)
                changed = batch.with_images(found.images)
                split = f"{kind}/{norm}-{radius:.6g}"
                cost = {k: getattr(found, k).cpu().numpy() for k in ("forwards", "backwards", "seconds")}
                far = attacked.distance(found.images).cpu().numpy()
                part = answers(condition, changed, found.scored, fitted, threshold, found.logits, distance=far, **cost)
                part.columns["correct"] = (~found.past).cpu().numpy()
                parts.append(
                    scores(
                        condition, label, changed, found.scored, split=split, threshold=threshold, logits=found.logits
                    )
                )
                parts.append(replace(part, flags=tuple(flags)))
    return parts


def _evasion(label: str, kind: str, norm: str, eps: float) -> str:
    return name_condition(f"{label}-{kind}", norm, eps)
