"""`KINDS`: the page of each command by the record that it leaves; `rebuild_report` makes a run's report again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unshaken.core.errors import RunError
from unshaken.report.matrix import NAME as MATRIX_RECORD
from unshaken.report.pages.evaluate import EVALUATE
from unshaken.report.pages.explain import EXPLAIN
from unshaken.report.pages.fairness import FAIRNESS
from unshaken.report.pages.image_text import IMAGE_TEXT
from unshaken.report.pages.image_text import RECORD as IMAGE_TEXT_RECORD
from unshaken.report.pages.label_kinds import LABEL_KINDS
from unshaken.report.pages.label_versions import LABEL_VERSIONS
from unshaken.report.pages.label_versions import RECORD as VERSIONS_RECORD
from unshaken.report.pages.labels import LABELS
from unshaken.report.pages.made_images import MADE_IMAGES
from unshaken.report.pages.matrix import write_matrix
from unshaken.report.pages.scaling import RECORD as SCALING_RECORD
from unshaken.report.pages.scaling import SCALING
from unshaken.report.pages.service import RECORD as SERVICE_RECORD
from unshaken.report.pages.service import write_history
from unshaken.report.pages.texture import RECORD as TEXTURE_RECORD
from unshaken.report.pages.texture import TEXTURE
from unshaken.report.pages.training import TRAINING
from unshaken.report.summary import NAME as SUMMARY
from unshaken.report.write import write_report
from unshaken.store.config import read_config
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import RECORD as EVALUATE_RECORD
from unshaken.tasks.fairness.figures import RECORD as FAIRNESS_RECORD


def rebuild_report(run: RunDir) -> dict[str, Any]:
    """Make the report again, from the run's folder alone.

    Args:
        run: of any command.

    Returns:
        What the folder's record or summary holds.

    Raises:
        RunError: there is no run, it has not finished, a file is damaged, or the pages cannot be written.
    """
    if run.exists("run.json"):
        return write_report(run)[0]
    for name, write in KINDS.items():
        if run.exists(name):
            write(run)
            record: dict[str, Any] = run.read_json(name)
            return record
    if run.exists("rows"):
        MADE_IMAGES.write(run)
        return {"flags": run.rows("flags").to_pylist()}
    return write_report(run)[0]  # raises the error that says what the folder lacks


def why_unfinished(run: RunDir) -> str:
    """Say that a run has not come to its end, in a line; empty where it has, and for a part of a larger run.

    Args:
        run: of any command, with its report.

    Raises:
        RunError: a file is damaged.
    """
    if run.exists("run.json"):
        whole = run.read_json(SUMMARY)["complete"] or read_config(run).part is not None
    else:
        record: dict[str, Any] = next((run.read_json(name) for name in KINDS if run.exists(name)), {})
        whole = record.get("finished", True) and record.get("result", True) is not None  # result: of a training
    return "" if whole else f"{run}: the run has not finished: finish it by its command with --resume"


def _write_search(run: RunDir) -> object:
    """The page of a search for wrong labels, of one class an image or of another kind."""
    record = run.read_json("labels.json")
    if not isinstance(record, dict):
        raise RunError(f"{run}: labels.json is damaged (a {type(record).__name__}, not a table)")
    if not record.get("finished"):
        raise RunError(f"{run}: its search for wrong labels has not finished; add --resume to the search")
    return LABEL_KINDS.write(run) if "kind" in record else LABELS.write(run)


KINDS: dict[str, Callable[[RunDir], object]] = {
    "harden.json": TRAINING.write,
    EVALUATE_RECORD: EVALUATE.write,
    "explain.json": EXPLAIN.write,
    VERSIONS_RECORD: LABEL_VERSIONS.write,
    FAIRNESS_RECORD: FAIRNESS.write,
    "labels.json": _write_search,
    IMAGE_TEXT_RECORD: IMAGE_TEXT.write,
    SERVICE_RECORD: write_history,
    MATRIX_RECORD: write_matrix,
    SCALING_RECORD: SCALING.write,
    TEXTURE_RECORD: TEXTURE.write,
}
"""The record that a command leaves in its folder, and what writes its page."""
