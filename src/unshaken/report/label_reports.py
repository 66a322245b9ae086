"""`write_label_report`: the report of a run about labels made again, whichever command the run is of."""

from __future__ import annotations

from typing import Any

from unshaken.core.errors import RunError
from unshaken.report.label_kinds_page import write_kinds_report
from unshaken.report.label_versions_page import RECORD, write_label_versions
from unshaken.report.labels_page import write_labels_report
from unshaken.run import RunDir

SEARCH = "labels.json"


def write_label_report(run: RunDir) -> dict[str, Any] | None:
    """Make `report.html` and `report.md` again from a folder of `unshaken labels find` or `labels compare`.

    Args:
        run: the folder.

    Returns:
        What the folder's record holds; None where it is of another command.

    Raises:
        RunError: the search has not finished, a file is damaged, or the pages cannot be written.
    """
    name = next((name for name in (RECORD, SEARCH) if run.exists(name)), None)
    if name is None:
        return None
    record: dict[str, Any] = run.read_json(name)
    if name == RECORD:
        write_label_versions(run)
    elif not record.get("finished"):
        raise RunError(f"{run}: its search for wrong labels has not finished; add --resume to the search")
    elif "kind" in record:
        write_kinds_report(run)
    else:
        write_labels_report(run)
    return record
