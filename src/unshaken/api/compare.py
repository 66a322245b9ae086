"""`compare`: runs side by side, paired on the same samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unshaken.report import compare_runs
from unshaken.run import RunDir


def compare(*runs: str | Path | RunDir) -> Any:
    """Compare runs on the same samples: paired differences with intervals, corrected for the number of conditions.

    Args:
        runs: two or more run directories; the first is what the others are compared with.
    """
    return compare_runs([r if isinstance(r, RunDir) else RunDir(r) for r in runs])
