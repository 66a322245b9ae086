"""`log_refusal`: one line for each request that was refused, for whoever watches over a server."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from starlette.types import Scope

log = logging.getLogger("unshaken.refusals")
LONGEST = 200
"""Characters of a path or of a reason."""
CALLER = "unshaken.caller"
"""Where a request's scope has the name of the caller, once it is known."""


def log_refusal(scope: Scope, status: int, why: str) -> None:
    """Log that a request was refused: JSON in ASCII, so that nothing that was sent can look like another line.

    Neither tokens nor queries nor bodies are logged.

    Args:
        scope: of the request.
        status: of the answer.
        why: as the client is answered.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    record = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "address": (scope.get("client") or ("",))[0],
        "caller": scope.get(CALLER, ""),
        "method": scope["method"][:LONGEST],
        "path": scope["path"][:LONGEST],
        "status": status,
        "why": why[:LONGEST],
    }
    log.info(json.dumps(record))


def log_to(file: str) -> None:
    """Append the lines to a file from here on, or write them to standard error.

    Args:
        file: its path; `-` for standard error.
    """
    handler = logging.StreamHandler() if file == "-" else logging.FileHandler(file, encoding="ascii")
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
