"""`quiet_mlflow`: MLflow without telemetry, long retries and lines on stdout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_QUIET = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a folder is what was asked for
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""What MLflow reads from the environment, where the user has not set it: no use of the network but what was asked for,
seconds instead of minutes of retries, nothing on stdout."""


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """The environment as in `_QUIET`, and then as it was."""
    added = {k: v for k, v in _QUIET.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
