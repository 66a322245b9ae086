"""Runs in the files of leaderboards: RobustBench, OpenOOD, the Hugging Face hub, timm's tables of results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import yaml

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.numbers import shorten, show_budget
from unshaken.core.part import CLEAN
from unshaken.core.texts import csv_text
from unshaken.measure.detection.detection_parity import trapezoid_pr_area
from unshaken.report.figures.detected import COVARIATE, split_of
from unshaken.report.read.scores import NORMAL, read_scores
from unshaken.report.summary import NAME
from unshaken.store.config import RunConfig, read_config
from unshaken.store.run_dir import RunDir

TIMM = ["model", "top1", "top1_err", "top5", "top5_err", "param_count", "img_size", "crop_pct", "interpolation"]
"""Columns of timm's `results-*.csv`."""
OPENOOD = ["dataset", "FPR@95", "AUROC", "AUPR_IN", "AUPR_OUT", "ACC"]
"""Columns of the tables that OpenOOD 1.5 writes."""
URL = "https://unshaken.readthedocs.io"
_HUB = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_VIEW = re.compile(r"short side resized to (\d+) px \((\w+)\), centre (\d+) x (\d+) cut")
_WHOLE = re.compile(r"resized to (\d+) x (\d+) \((\w+)\)")


def robustbench(runs: Sequence[RunDir], dataset: str | None = None) -> str:
    """A run of AutoAttack as a file of RobustBench's `model_info`, accuracies in per cent.

    What the run does not know, such as title, authors and venue, is null, for the author to fill in.

    Args:
        runs: one, with its summary.
        dataset: RobustBench's name of the data, such as `cifar10`; None for the data SPEC without its options.

    Raises:
        ParameterError: there is not one run.
        RunError: it has no AutoAttack, or several, or is not finished.
    """
    config, summary = _read(_only(runs, "robustbench"))
    attacks = [c for c in summary["conditions"] if c["method"] == "autoattack" and c.get("accuracy")]
    if len(attacks) != 1:
        budgets = ", ".join(c["condition"] for c in attacks) or "none"
        raise RunError(
            f"{runs[0]}: RobustBench takes the accuracy under AutoAttack at one budget, and this run has {budgets}: "
            "make one by unshaken attack --method autoattack --norm linf --eps 8/255"
        )
    record: dict[str, Any] = {
        "link": None, "name": None, "authors": None, "additional_data": None, "number_forward_passes": 1,
        "dataset": dataset or config.data.partition("?")[0], "venue": None, "architecture": config.model_name,
        "eps": show_budget(attacks[0]["eps"]), "clean_acc": _percent(summary["clean"], 2), "reported": None,
        "autoattack_acc": _percent(attacks[0]["accuracy"], 2),
    }  # fmt: skip
    return json.dumps(record, indent=2) + "\n"


def eval_results(runs: Sequence[RunDir], dataset: str | None = None) -> str:
    """Runs as a file of `.eval_results` of a model on the Hugging Face hub: accuracy in per cent under each condition.

    A condition that several runs have stands there once, from the run with the most images.

    Args:
        runs: of the same model, with their summaries.
        dataset: the benchmark's repository on the hub, such as `cais/hle`, for data that does not come from there; its
            tasks are called as the conditions.

    Raises:
        ParameterError: a data set has no name on the hub.
        RunError: a run is not finished.
    """
    entries, images = dict[tuple[str, str], dict[str, Any]](), dict[tuple[str, str], int]()
    for run in runs:
        config, summary = _read(run)
        kind, _, name = config.data.partition("?")[0].partition(":")
        place = dataset or (name if kind == "hf" else "")
        if not _HUB.fullmatch(place):
            raise ParameterError(
                f"{run}: data {shorten(dataset or config.data)} is no data set of the hub: give --dataset OWNER/NAME"
            )
        figures = [(CLEAN.id, summary["clean"])]
        figures += [(c["condition"], c["accuracy"]) for c in summary["conditions"] if c.get("accuracy")]
        for condition, figure in figures:
            if figure and figure["n"] > images.get((place, condition), 0):
                images[place, condition] = figure["n"]
                low, high = (f"{figure[end]:.2%}" for end in ("low", "high"))
                notes = f"95 % interval {low} to {high}, {figure['n']} images, seed {config.seed}"
                entries[place, condition] = {
                    "dataset": {"id": place, "task_id": condition}, "value": round(100 * figure["value"], 2),
                    "source": {"url": URL, "name": "unshaken"}, "notes": notes,
                }  # fmt: skip
    return str(yaml.safe_dump(list(entries.values()), sort_keys=False, allow_unicode=True, width=1000))


def openood(runs: Sequence[RunDir], dataset: str | None = None) -> str:
    """A run of detectors as OpenOOD 1.5's table, in per cent: a line an abnormal set, and after each group its mean.

    Rates and areas are as there: `FPR@95` is the share of the normal flagged when 95 % of the abnormal are, areas are
    by trapezoids, `ACC` is the classifier's on the normal images. Of several detectors a first column has the names,
    called `postprocessor`. Shifts of the run's own images are in no group.

    Args:
        runs: one of `unshaken detect score`, with groups named `near/...` and `far/...`, and with its summary.
        dataset: not used, for the format does not name the normal data.

    Raises:
        ParameterError: there is not one run.
        RunError: it scored no abnormal set, or is not finished.
    """
    run = _only(runs, "openood")
    config, summary = _read(run)
    found, sets = summary.get("detection") or [], read_scores(run, config).sets
    lines = list[list[str]]()
    for detector in found:
        own = sets[detector["condition"]]
        groups = [g for g in detector["groups"] if g["group"] != COVARIATE and g["auroc"]]
        right = (detector["selective"] or {}).get("accuracy")
        for group in dict.fromkeys(g["group"] for g in groups):
            rows = {
                g["name"] or group: [
                    g["fpr95_ood_recall"]["value"], g["auroc"]["value"],
                    *(trapezoid_pr_area(own[NORMAL].values, own[split_of(g)].values, positive=side)
                      for side in ("normal", "abnormal")),
                    right["value"] if right else np.nan,
                ]
                for g in groups if g["group"] == group
            }  # fmt: skip
            rows[f"{group}ood"] = np.mean(list(rows.values()), axis=0).tolist()
            lines += [
                [detector["condition"], name, *(f"{100 * value:.2f}" if value == value else "" for value in row)]
                for name, row in rows.items()
            ]
    if not lines:
        raise RunError(
            f"{run}: no abnormal set with scores: make a run by unshaken detect score --against near/NAME=SPEC "
            "--against far/NAME=SPEC"
        )
    if len(found) == 1:
        return csv_text(OPENOOD, [line[1:] for line in lines])
    return csv_text(["postprocessor", *OPENOOD], lines)


def timm(runs: Sequence[RunDir], dataset: str | None = None) -> str:
    """Runs as timm's table of results on unchanged images, a line a run, the best first.

    Accuracies are in per cent, parameters in millions. What a run does not know is empty, such as the accuracy among
    five of rows without logits.

    Args:
        runs: with their summaries.
        dataset: not used, for the format does not name the data.

    Raises:
        RunError: a run is not finished, or has no labels.
    """
    rows = list[tuple[float, list[str]]]()
    for run in runs:
        config, summary = _read(run)
        if not summary["clean"]:
            raise RunError(f"{run}: no accuracy, for its data has no labels")
        shares = [
            "" if share is None else f"{100 * part:.3f}"
            for share in (summary["clean"]["value"], _among_five(run))
            for part in (share or 0, 1 - (share or 0))
        ]
        size = "" if config.parameters is None else f"{config.parameters / 1e6:.2f}"
        line = [config.model_name, *shares, size, *_photo(config.view)]
        rows.append((summary["clean"]["value"], line))
    return csv_text(TIMM, [line for _, line in sorted(rows, key=lambda row: -row[0])])


FORMATS: dict[str, Callable[[Sequence[RunDir], str | None], str]] = {
    "eval-results": eval_results,
    "openood": openood,
    "robustbench": robustbench,
    "timm": timm,
}


def export_runs(runs: Iterable[RunDir], form: str, dataset: str | None = None) -> str:
    """Runs as the text of a leaderboard's file.

    Args:
        runs: finished ones with their summaries, at least one.
        form: one of `FORMATS`.
        dataset: the data's name there; None for the one that the run has.

    Raises:
        ParameterError: there is no such format, or no run.
        RunError: a run does not hold what the format needs.
    """
    if form not in FORMATS:
        raise ParameterError(f"format {shorten(form)} is not one of {', '.join(FORMATS)}")
    if not (found := list(runs)):
        raise ParameterError("no run to export: give at least one run directory")
    return FORMATS[form](found, dataset)


def _only(runs: Sequence[RunDir], form: str) -> RunDir:
    if len(runs) != 1:
        raise ParameterError(f"format {form} is a file a model: give 1 run, not {len(runs)}")
    return runs[0]


def _read(run: RunDir) -> tuple[RunConfig, dict[str, Any]]:
    config = read_config(run)
    if not run.exists(NAME):
        raise RunError(f"{run}: no {NAME}; make it with 'unshaken report {run}'")
    summary: dict[str, Any] = run.read_json(NAME)
    if config.part is not None or not summary.get("complete", True):
        raise RunError(f"{run}: the run is not finished, so that its figures may change: finish it with --resume first")
    return config, summary


def _percent(figure: dict[str, Any] | None, digits: int) -> str | None:
    return None if figure is None else f"{100 * figure['value']:.{digits}f}"


def _among_five(run: RunDir) -> float | None:
    """The share of unchanged images whose class is among the five likeliest; None where a row has no logits."""
    table = run.rows("outcomes", ["label", "logits", "error"], condition=CLEAN.id)
    columns = (table[name].to_pylist() for name in ("label", "logits", "error"))
    rows = [(label, logits) for label, logits, error in zip(*columns, strict=True) if error is None]
    if not rows or any(label is None or not logits for label, logits in rows):
        return None
    ranks = [sum(other > logits[label] for other in logits) if label < len(logits) else 5 for label, logits in rows]
    found: list[int] = [rank for rank in ranks if rank < 5]
    return len(found) / len(ranks)


def _photo(view: str) -> list[str]:
    """Size, share of the short side that is cut out, and interpolation; empty for images taken as they are."""
    if found := _VIEW.match(view):
        side = min(int(found[3]), int(found[4]))
        return [str(side), f"{side / int(found[1]):.3f}", found[2]]
    if found := _WHOLE.match(view):
        return [str(min(int(found[1]), int(found[2]))), "1.000", found[3]]
    return ["", "", ""]
