"""Gates held against a rehearsal of the run, so that one on a figure which will not be there costs no hours."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import torch

from unshaken.certify.engine.base import certificates
from unshaken.core.batch import Batch
from unshaken.core.outcomes import outcomes
from unshaken.core.part import CLEAN, Condition, Part
from unshaken.core.registry import find_method
from unshaken.report.figures.detected import COVARIATE
from unshaken.report.gates.check import check_gate
from unshaken.report.gates.grammar import NO_REGRESSION, OF_ATTACKS, OF_SETS, Gate, asked_radii
from unshaken.report.read.frame import is_nearest
from unshaken.report.read.methods import read_methods
from unshaken.report.summary import build
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

SAMPLES = 4
"""Made-up samples of a rehearsal."""


def check_planned(
    gates: Sequence[str | Gate],
    config: RunConfig,
    conditions: Sequence[Condition],
    *,
    labelled: bool,
    detection: Sequence[dict[str, Any]] = (),
    slices: Sequence[dict[str, Any]] = (),
) -> None:
    """Refuse a gate on a condition or figure that a run will not produce.

    Made-up rows of the run's own conditions go through the real summary, so this needs no list of figures. The
    gate `no-regression` is left out.

    Args:
        gates: of the run.
        config: of the run.
        conditions: that it will have.
        labelled: whether its data has labels.
        detection: see `planned_detection`; empty for a run without detectors.
        slices: the part `slices` of `summary.json` as it will be; empty for a run without slices.

    Raises:
        ParameterError: there will be no such figure; with near names.
    """
    read = [g if isinstance(g, Gate) else Gate.parse(g) for g in gates]
    read = [g for g in read if g.name != NO_REGRESSION]
    if not read:
        return
    made_up = rehearse(config, conditions, labelled=labelled, radii=asked_radii(read))
    summary = {**made_up, "detection": list(detection), "slices": list(slices)}
    for gate in read:
        check_gate(gate, summary)


def planned_detection(
    labels: Sequence[str], sets: Sequence[tuple[str, str]], attacks: Sequence[tuple[str, float]]
) -> list[dict[str, Any]]:
    """The part `detection` of `summary.json` as it will be, without its figures.

    Args:
        labels: of the detectors.
        sets: group and name of each set that they are tried on.
        attacks: norm and eps of each attack on them.
    """
    some = {"value": 0.5, "low": 0.5, "high": 0.5, "n": SAMPLES, "interval": ""}
    ranked = [s for s in sets if s[0] != COVARIATE] or list(sets)
    record = {
        "accepted": some,
        "auroc": some if ranked else None,
        "means": [{"group": group, "auroc": some} for group in dict.fromkeys(group for group, _ in sets)],
        "groups": [{"group": group, "name": name, **dict.fromkeys(OF_SETS, some)} for group, name in sets],
        "attacked": [
            {"norm": norm, "eps": eps, **{kind: {"past": some} for kind in OF_ATTACKS}} for norm, eps in attacks
        ],
    }
    return [{"condition": label, **record} for label in labels]


def rehearse(
    config: RunConfig, conditions: Sequence[Condition], *, labelled: bool, radii: Sequence[float] = ()
) -> dict[str, Any]:
    """The summary that a run would have of made-up samples, right when unchanged and wrong under every condition.

    Args:
        config: of the run.
        conditions: that it will have.
        labelled: whether its data has labels.
        radii: sizes that gates ask about.
    """
    with tempfile.TemporaryDirectory(prefix="unshaken-") as folder:
        _write_rows(RunDir(folder), config, conditions, labelled)
        return build(RunDir(folder), radii=radii).data


def _write_rows(run: RunDir, config: RunConfig, conditions: Sequence[Condition], labelled: bool) -> None:
    ids, k = tuple(f"rehearsal/{i}" for i in range(SAMPLES)), max(2, len(config.classes))
    run.write_json(config.model_copy(update={"ids": list(ids), "beside": [], "inside": []}).to_json(), "run.json")
    if config.task in WRITERS:
        WRITERS[config.task](run, conditions, ids)
        return
    labels = torch.arange(SAMPLES) % k
    batch = Batch(torch.zeros(SAMPLES, 1, 1, 1), labels if labelled else None, ids)
    methods = read_methods(config)
    for condition in (CLEAN, *conditions):
        shown = labels if condition.id == CLEAN.id else (labels + 1) % k
        distance = torch.ones(SAMPLES) if is_nearest(condition) else None
        part = outcomes(condition, batch, 3.0 * torch.nn.functional.one_hot(shown, k), distance=distance)
        run.write_rows(table_of(part), "outcomes", condition.id, 0)
        record = config.methods.get(condition.method)
        if record is not None and record.room == "certify" and find_method(condition.method).cls.gives_certificates:
            size = max(methods.radii(condition.id), default=0.0)
            reach = torch.full((SAMPLES,), float(condition.eps or condition.severity or size))
            proof = certificates(condition, batch, radius=reach, norm=condition.norm or "l2", prediction=shown)
            run.write_rows(table_of(proof), "certificates", condition.id, 0)
        if condition.target is not None:
            aims = {"id": list(ids), "label": labels.tolist(), "target": shown.tolist(), "reached": [True] * SAMPLES}
            run.write_rows(table_of(Part("targets", condition, aims)), "targets", condition.id, 0)
        elif record is not None and record.room == "attack":  # what an attack writes beside its outcomes
            counts = {key: [0] for key in ("turn", "standing", "broken", "forwards", "backwards", "seconds")}
            turn = {"condition": [condition.id], "attack": [condition.method], **counts}
            run.write_rows(table_of(Part("turns", condition, turn)), "turns", condition.id, 0)


def _write_objects(run: RunDir, conditions: Sequence[Condition], ids: Sequence[str]) -> None:
    """One object in each image, found in each."""
    n, box = len(ids), [0.0, 0.0, 8.0, 8.0]
    boxes: dict[str, Any] = {"id": list(ids), "boxes": [box] * n, "classes": [[0]] * n}
    there = boxes | {"crowd": [[False]] * n, "areas": [[64.0]] * n, "view": [[1.0, 1.0, 0.0, 0.0]] * n}
    found = boxes | {"scores": [[0.9]] * n}
    shared = {"id": list(ids), "prediction": [1] * n, "confidence": [0.9] * n, "loss": [0.0] * n}
    for condition in (CLEAN, *conditions):
        for table, columns in (("detections", found), ("objects", there), ("outcomes", shared)):
            run.write_rows(table_of(Part(table, condition, columns)), table, condition.id, 0)


def _write_overlaps(run: RunDir, conditions: Sequence[Condition], ids: Sequence[str]) -> None:
    """One class at each of 64 pixels, predicted as labelled."""
    n = len(ids)
    names = [f"{near}{name}" for near in ("", "boundary_") for name in ("intersection", "predicted", "labelled")]
    counts = {"id": list(ids), **{name: [[64]] * n for name in names}}
    shared = {"id": list(ids), "prediction": [64] * n, "confidence": [0.9] * n, "loss": [0.0] * n}
    for condition in (CLEAN, *conditions):
        for table, columns in (("overlaps", counts), ("outcomes", shared)):
            run.write_rows(table_of(Part(table, condition, columns)), table, condition.id, 0)


WRITERS = {"detection": _write_objects, "segmentation": _write_overlaps}
"""What writes the rows of a rehearsal for each task but classification."""
