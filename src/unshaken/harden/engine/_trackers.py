"""Tracking services for training runs: MLflow, or TensorBoard's event files; imported when used."""

from __future__ import annotations

import itertools
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unshaken.core.errors import MissingExtra, ParameterError

EXPERIMENT = "unshaken"
"""The experiment of MLflow, unless MLFLOW_EXPERIMENT_NAME says otherwise."""
_LONGEST, _MOST = 500, 100
"""Characters of a value, and entries of a batch, that every version of MLflow takes."""
_QUIET = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a folder is what was asked for
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""What MLflow reads from the environment, where the user has not set it: no use of the network but what was asked for,
seconds instead of minutes of retries, nothing on stdout."""
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


class Sink(ABC):
    """A service that logs a training run.

    Args:
        address: of the place, absolute; kept without user and password.
    """

    failures: tuple[type[Exception], ...] = (OSError,)
    """What it raises when it cannot be reached."""

    def __init__(self, address: str) -> None:
        self.address = bare(address)

    @abstractmethod
    def begin(self, name: str, run: str, parameters: Mapping[str, str]) -> str:
        """Begin a run, or go on with one.

        Args:
            name: of the run, for people.
            run: its id there; empty for a new one.
            parameters: told once, when it is new.

        Returns:
            Its id.
        """

    @abstractmethod
    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Tell figures of an epoch, counted from 1."""

    @abstractmethod
    def say(self, tags: Mapping[str, str]) -> None:
        """Tell texts."""

    @abstractmethod
    def close(self, status: str) -> None:
        """Nothing more comes; `FINISHED`, `FAILED` or `KILLED`."""


def sink_of(track: str | None) -> Sink | None:
    """The sink of an address: a folder or a URI of MLflow, or `tensorboard:DIR`; None for None.

    Raises:
        MissingExtra: its package is absent.
        ParameterError: the address is not understood.
    """
    if track is None:
        return None
    kind, _, target = track.partition(":")
    if not track.strip() or (kind == "tensorboard" and not target.strip()):
        raise ParameterError(f"track {track!r} names no place: give a folder or a URI of MLflow, or tensorboard:DIR")
    if kind == "tensorboard":
        return EventFiles(target)
    return MlflowRun(track)


def bare(text: str) -> str:
    """A text with the user and password of each URL taken out.

    >>> bare("https://ann:secret@host/path")
    'https://host/path'
    """
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


class MlflowRun(Sink):
    """A run of MLflow.

    Args:
        place: a folder, or a tracking URI.
    """

    def __init__(self, place: str) -> None:
        remote = "://" in place or place.startswith(("file:", "databricks"))
        self.uri = place if remote else Path(place).expanduser().absolute().as_uri()
        super().__init__(self.uri)
        if place.startswith(_DATABASES) and find_spec("sqlalchemy") is None:
            raise ParameterError(f"track {self.address!r}: a database needs all of MLflow: pip install mlflow")
        with _quiet():
            try:
                from mlflow.entities import Metric, Param, RunTag
                from mlflow.exceptions import MlflowException
                from mlflow.tracking import MlflowClient
            except ImportError:
                raise MissingExtra("mlflow-skinny", "tracking", f"track {self.address!r}") from None
        self._metric, self._param, self._tag, self._client_of = Metric, Param, RunTag, MlflowClient
        self.failures = (MlflowException, OSError)
        self.run = ""

    def begin(self, name: str, run: str, parameters: Mapping[str, str]) -> str:
        """See `Sink`."""
        with _quiet():
            self.client: Any = self._client_of(tracking_uri=self.uri)
            if run:
                self.client.update_run(run, status="RUNNING")
                self.run = run
                return run
            title = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
            found = self.client.get_experiment_by_name(title)
            experiment = found.experiment_id if found else self.client.create_experiment(title)
            self.run = str(self.client.create_run(experiment, run_name=name).info.run_id)
            values = [self._param(k, v[:_LONGEST]) for k, v in parameters.items()]
            for first in range(0, len(values), _MOST):
                self.client.log_batch(self.run, params=values[first : first + _MOST])
        return self.run

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """See `Sink`."""
        now = int(time.time() * 1000)
        with _quiet():
            self.client.log_batch(self.run, metrics=[self._metric(k, v, now, number) for k, v in figures.items()])

    def say(self, tags: Mapping[str, str]) -> None:
        """See `Sink`."""
        with _quiet():
            self.client.log_batch(self.run, tags=[self._tag(k, v[:_LONGEST]) for k, v in tags.items()])

    def close(self, status: str) -> None:
        """See `Sink`."""
        with _quiet():
            self.client.set_terminated(self.run, status=status)


class EventFiles(Sink):
    """Event files in a folder, which TensorBoard shows; the run has a subfolder of its name.

    Args:
        folder: where.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder).expanduser().absolute()
        super().__init__(f"tensorboard:{self.folder}")
        if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
            raise MissingExtra("tensorboardX", "tracking", f"track {self.address!r}")

    def begin(self, name: str, run: str, parameters: Mapping[str, str]) -> str:
        """See `Sink`."""
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        names = (name if i == 1 else f"{name}-{i}" for i in itertools.count(1))
        own = run or next(n for n in names if not (self.folder / n).exists())
        again = f".{time.time_ns()}"  # files of one second have one name, and the later would replace the earlier
        self.logger: Any = TensorBoardLogger(self.folder, name="", version=own, filename_suffix=again)
        if not run:
            lines = ["|parameter|value|", "|---|---|", *(f"|{k}|{v}|" for k, v in parameters.items())]
            self.logger.experiment.add_text("parameters", "\n".join(lines), 0)
        self.logger.save()
        return own

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """See `Sink`."""
        self.logger.log_metrics(figures, step=number)
        self.logger.save()

    def say(self, tags: Mapping[str, str]) -> None:
        """See `Sink`."""
        for name, text in tags.items():
            self.logger.experiment.add_text(name, text, 0)
        self.logger.save()

    def close(self, status: str) -> None:
        """See `Sink`."""
        self.logger.finalize(status)


@contextmanager
def _quiet() -> Iterator[None]:
    """The environment as in `_QUIET`, and then as it was."""
    added = {k: v for k, v in _QUIET.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
