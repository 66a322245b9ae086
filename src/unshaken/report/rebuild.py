"""`rebuild_report`: the report of a run made again, whichever command the run is of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unshaken.core.errors import RunError
from unshaken.report.explain_page import write_explain_report
from unshaken.report.fairness_page import write_fairness_report
from unshaken.report.holistic_page import write_holistic_report
from unshaken.report.image_text_page import RECORD as IMAGE_TEXT
from unshaken.report.image_text_page import write_image_text_report
from unshaken.report.label_kinds_page import write_kinds_report
from unshaken.report.label_versions_page import RECORD as VERSIONS
from unshaken.report.label_versions_page import write_label_versions
from unshaken.report.labels_page import write_labels_report
from unshaken.report.read.service import RECORD as SERVICE
from unshaken.report.service_page import write_service_report
from unshaken.report.write import write_images_report, write_report, write_training_report
from unshaken.store.run_dir import RunDir
from unshaken.tasks.fairness.figures import RECORD as FAIRNESS
from unshaken.tasks.zero_shot.record import RECORD as HOLISTIC


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
    for name, write in _WRITERS.items():
        if run.exists(name):
            write(run)
            record: dict[str, Any] = run.read_json(name)
            return record
    if run.exists("rows"):
        write_images_report(run)
        return {"flags": run.rows("flags").to_pylist()}
    return write_report(run)[0]  # which says what the folder lacks


def _write_search(run: RunDir) -> object:
    """The page of a search for wrong labels, of one class an image or of another kind."""
    record = run.read_json("labels.json")
    if not record.get("finished"):
        raise RunError(f"{run}: its search for wrong labels has not finished; add --resume to the search")
    return write_kinds_report(run) if "kind" in record else write_labels_report(run)


_WRITERS: dict[str, Callable[[RunDir], object]] = {
    "harden.json": write_training_report,
    HOLISTIC: write_holistic_report,
    "explain.json": write_explain_report,
    VERSIONS: write_label_versions,
    FAIRNESS: write_fairness_report,
    "labels.json": _write_search,
    IMAGE_TEXT: write_image_text_report,
    SERVICE: write_service_report,
}
"""The record that a command leaves in its folder, and what makes its page."""
