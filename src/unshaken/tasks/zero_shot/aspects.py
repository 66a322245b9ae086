"""Figures of one model in each aspect, from the rows of a comparison and of the runs beneath it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from unshaken.core.part import CLEAN
from unshaken.explain.engine.rows import ExplainRecord
from unshaken.measure import Figure, auroc, fpr95_id_accept, share
from unshaken.measure.statistics import means as measure
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot.calibration import CalibrationFigures, calibrate, fitting_half, within_classes
from unshaken.tasks.zero_shot.choices import Choice, compare_choices, renumber
from unshaken.tasks.zero_shot.prompts import prompt_figures
from unshaken.tasks.zero_shot.record import AUDIT, CUES, DETECT, HolisticRecord, ModelRecord, beneath
from unshaken.tasks.zero_shot.retrieval import RetrievalRanks, recalls
from unshaken.tasks.zero_shot.rows import Outcomes, conditions_of, read_outcomes, read_rows
from unshaken.tasks.zero_shot.visual_factors import factor_figures

RESAMPLES = 300
"""Bootstrap draws of the calibration of each set; there are many."""
JUDGED_HALF = "half of the data"
"""The set on which nothing was fitted."""
Found = dict[str, Any]


def model_figures(run: RunDir, record: HolisticRecord, model: ModelRecord) -> Found:
    """All figures of a model as JSON: aspect to figures; an aspect that was not asked for has none.

    Args:
        run: of the comparison.
        record: of the comparison.
        model: whose runs are finished.

    Raises:
        RunError: a run beneath is damaged.
    """
    audit = beneath(run, model.key, AUDIT)
    clean = read_outcomes(audit)
    found: Found = {"abnormal": abnormal(run, record, model), "shape": shape(run, model)}
    found |= {"retrieval": retrieval(run, model), "prompts": prompts(run, model)}
    if clean is None:
        return found
    hits = share(int(clean.correct.sum()), len(clean.ids))
    return found | {
        "accuracy": hits.to_json(),
        "visual": visual(clean, factors_of(run)),
        "calibration": calibration(run, record, model, clean),
        "corruptions": corruptions(audit, clean),
        "choices": choices(run, record, model, clean),
    }


def factors_of(run: RunDir) -> dict[str, list[str]]:
    """Factor to the ids of its images."""
    found: dict[str, list[str]] = {}
    for row in read_rows(run, "visual_factors").to_pylist():
        found.setdefault(row["factor"], []).append(row["id"])
    return found


def visual(clean: Outcomes, factors: Mapping[str, Sequence[str]]) -> Found:
    """Accuracy and error ratio by factor."""
    found = factor_figures(clean.ids, clean.correct, factors)
    return {
        factor: {
            "accuracy": figures.accuracy.to_json(),
            "error_ratio": None if figures.error_ratio is None else figures.error_ratio.to_json(),
        }
        for factor, figures in found.items()
    }


def calibration(run: RunDir, record: HolisticRecord, model: ModelRecord, clean: Outcomes) -> Found:
    """ECE and NLL before and after the temperature of half of the data: of the other half, corrupted and shifted."""
    if len(clean.ids) < 2:
        return {}
    fitted = fitting_half(clean.ids, int(record.settings["seed"]))
    judged = {i for i, f in zip(clean.ids, fitted, strict=True) if not f}
    sets = {JUDGED_HALF: clean.only(~fitted)}
    audit = beneath(run, model.key, AUDIT)
    for condition in conditions_of(audit):
        other = None if condition == CLEAN.id else read_outcomes(audit, condition)
        if other is not None:
            sets[condition] = other.only(np.array([i in judged for i in other.ids]))
    whole = {name: (s.logits, s.labels) for name, s in sets.items() if len(s.ids)}
    for name in record.shifts:
        other = read_outcomes(beneath(run, model.key, f"shift-{name}"))
        if other is not None:
            whole[name] = within_classes(other.logits, other.labels, model.within.get(name, ()))
    half = clean.only(fitted)
    temperature, found = calibrate(half.logits, half.labels, whole, resamples=RESAMPLES)
    return {
        "temperature": temperature.value,
        "inside": temperature.inside,
        "shifts": [name for name in record.shifts if name in whole],
        "sets": {
            name: {
                "accuracy": accuracy_of(*whole[name]),
                **{key: None if f is None else f.to_json() for key, f in calibrated_fields(figures)},
            }
            for name, figures in found.items()
        },
    }


def calibrated_fields(figures: CalibrationFigures) -> list[tuple[str, Figure | None]]:
    """The figures of a set by name."""
    return [(name, getattr(figures, name)) for name in ("ece", "nll", "ece_scaled", "nll_scaled")]


def accuracy_of(logits: Any, labels: Any) -> Found:
    """The share of the largest logits that are the label's, as JSON."""
    hits = np.asarray(logits).argmax(1) == np.asarray(labels)
    return share(int(hits.sum()), len(hits)).to_json()


def corruptions(audit: RunDir, clean: Outcomes) -> Found:
    """Accuracy by severity, the mean over the corruptions that have it, paired by image."""
    by_severity: dict[int, list[Outcomes]] = {}
    for condition in conditions_of(audit):
        (severity,) = set(audit.rows("outcomes", ["severity"], condition=condition)["severity"].to_pylist()) or {None}
        found = None if severity is None else read_outcomes(audit, condition)
        if found is not None and severity is not None:
            by_severity.setdefault(severity, []).append(found)
    out: Found = {}
    for severity, several in sorted(by_severity.items()):
        shared = set(clean.ids).intersection(*(s.ids for s in several))
        if shared:
            own = [s.only(np.array([i in shared for i in s.ids])).correct for s in several]
            out[str(severity)] = mean_figure(np.mean(own, 0))
    return out


def mean_figure(values: Any) -> Found:
    """The mean of shares with a bootstrap interval, as JSON; shares that are all alike are no certainty."""
    return measure.mean_figure(values, low=0.0, high=1.0).to_json()


def abnormal(run: RunDir, record: HolisticRecord, model: ModelRecord) -> Found:
    """AUROC and FPR at 95 % of normal images accepted, for each set of abnormal ones."""
    if not record.against:
        return {}
    place = beneath(run, model.key, DETECT)
    normal, found = _scores(place), dict[str, Any]()
    for name in record.against:
        other = _scores(beneath(place, "against", name))
        if len(normal) and len(other):
            figures = {"auroc": auroc(normal, other), "fpr95": fpr95_id_accept(normal, other, resamples=RESAMPLES)}
            found[name] = {key: figure.to_json() for key, figure in figures.items()}
    return found


def _scores(run: RunDir) -> Any:
    table = run.rows("scores", ["score", "condition", "error"])
    table = table.filter(pc.and_(pc.is_null(table["error"]), pc.is_valid(table["score"])))
    return table["score"].to_numpy()


def shape(run: RunDir, model: ModelRecord) -> Found:
    """Shape bias, and the share of decisions for one of the two cues."""
    place = beneath(run, model.key, CUES)
    if not place.exists("explain.json"):
        return {}
    figures = next(iter(ExplainRecord.read(place).found.values())).figures
    return {name.partition(".")[0]: figure for name, figure in figures.items()}


def retrieval(run: RunDir, model: ModelRecord) -> Found:
    """Recall of both directions."""
    table = read_rows(run, "retrievals", model.key)
    found = {}
    for direction in pc.unique(table["direction"]).to_pylist():
        rows = table.filter(pc.equal(table["direction"], direction))
        own = RetrievalRanks(
            direction, tuple(rows["id"].to_pylist()), tuple(rows["image"].to_pylist()),
            tuple(rank or 0 for rank in rows["rank"].to_pylist()), rows["depth"][0].as_py(),
        )  # fmt: skip
        found[direction] = {name: figure.to_json() for name, figure in recalls(own).items()}
    return found


def prompts(run: RunDir, model: ModelRecord) -> Found:
    """Accuracy by single templates and by all together."""
    table = read_rows(run, "prompts", model.key)
    if not len(table):
        return {}
    alone = np.array(table["alone"].to_pylist(), np.bool_)
    found = prompt_figures(alone, table["correct"].to_numpy(zero_copy_only=False).astype(np.bool_))
    return {
        "alone": {t: f.to_json() for t, f in zip(model.templates, found.alone, strict=True)},
        "spread": found.spread, "range": found.range,
        "together": found.together.to_json(), "gain": found.gain.to_json(),
    }  # fmt: skip


def choices(run: RunDir, record: HolisticRecord, model: ModelRecord, clean: Outcomes) -> Found:
    """The classifier beside the language model, between the same options.

    Options are classes of the first model; images with one that this model does not have are left out.
    """
    rows = read_rows(run, "choices").to_pylist()
    place = {name: i for i, name in enumerate(clean.ids)}
    known = [r for r in rows if r["id"] in place]
    own = [Choice(r["id"], tuple(r["options"]), r["label"], r["chosen"], r["error"] or "") for r in known]
    own = renumber(own, record.names_of(record.models[0]), record.names_of(model))
    if not own:
        return {}
    plain, chosen, both = compare_choices(own, clean.logits[[place[c.id] for c in own]])
    return {
        "classifier": plain.to_json(), "chooser": chosen.to_json(), "difference": both.difference.to_json(),
        "p_value": both.p_value, "errors": sum(bool(c.error) for c in own),
    }  # fmt: skip
