"""Runs, files and registered models of MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from typing_extensions import override

from unshaken.core.errors import MissingExtra, ParameterError
from unshaken.core.quiet_mlflow import quiet_mlflow
from unshaken.store.tracking.sink import EXPERIMENT, Sink

_LONGEST, _MOST = 500, 100
"""Characters of a value, and entries of a batch, that every version of MLflow takes."""
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


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
        with quiet_mlflow():
            try:
                from mlflow.entities import Metric, Param, RunTag
                from mlflow.exceptions import MlflowException
                from mlflow.tracking import MlflowClient
            except ImportError:
                raise MissingExtra("mlflow-skinny", "tracking", f"track {self.address!r}") from None
        self._metric, self._param, self._tag, self._client_of = Metric, Param, RunTag, MlflowClient
        self.failures = (MlflowException, OSError)
        self.run = ""

    @override
    def check(self) -> None:
        with quiet_mlflow():
            self._client_of(tracking_uri=self.uri, registry_uri=self.uri).search_experiments(max_results=1)

    @override
    def begin(self, name: str, run: str, parameters: Mapping[str, str]) -> str:
        with quiet_mlflow():
            # the registry of the same place: by default MLflow takes a database in the working folder
            self.client: Any = self._client_of(tracking_uri=self.uri, registry_uri=self.uri)
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

    @override
    def log_metrics(self, step: int, figures: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        values = [self._metric(k, v, now, step) for k, v in figures.items()]
        with quiet_mlflow():
            for first in range(0, len(values), _MOST):
                self.client.log_batch(self.run, metrics=values[first : first + _MOST])

    @override
    def log_tags(self, tags: Mapping[str, str]) -> None:
        values = [self._tag(k, v[:_LONGEST]) for k, v in tags.items()]
        with quiet_mlflow():
            for first in range(0, len(values), _MOST):
                self.client.log_batch(self.run, tags=values[first : first + _MOST])

    @override
    def log_files(self, folder: Path) -> None:
        with quiet_mlflow():
            self.client.log_artifacts(self.run, str(folder))

    @override
    def register(self, name: str, folder: Path, alias: str | None) -> str:
        with quiet_mlflow():
            self.client.log_artifacts(self.run, str(folder), "model")
            if not self.client.search_registered_models(f"name = '{name}'"):
                self.client.create_registered_model(name)
            source = f"{self.client.get_run(self.run).info.artifact_uri}/model"
            version = str(self.client.create_model_version(name, source=source, run_id=self.run).version)
            if alias is not None:
                self.client.set_registered_model_alias(name, alias, version)
        return version

    @override
    def close(self, status: str) -> None:
        with quiet_mlflow():
            self.client.set_terminated(self.run, status=status)
