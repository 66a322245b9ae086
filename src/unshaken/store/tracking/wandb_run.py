"""Runs, files and model versions of Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from unshaken.core.errors import MissingExtra
from unshaken.store.tracking.sink import Sink

_EXIT = {"FINISHED": 0, "FAILED": 1, "KILLED": 130}


class WandbRun(Sink):
    """A run of Weights & Biases; `WANDB_MODE=offline` keeps it on this machine.

    Args:
        place: `PROJECT`, or `ENTITY/PROJECT`.
    """

    def __init__(self, place: str) -> None:
        super().__init__(f"wandb:{place}")
        try:
            import wandb
        except ImportError:
            raise MissingExtra("wandb", "wandb", f"track {self.address!r}") from None
        entity, _, self._project = place.rpartition("/")
        self._entity = entity or None
        self._wandb: Any = wandb
        self._step = 0
        self.failures = (wandb.Error, OSError)

    @override
    def begin(self, name: str, run: str, parameters: Mapping[str, str]) -> str:
        self._run = self._wandb.init(
            project=self._project, entity=self._entity, name=name, id=run or None, resume="allow" if run else None,
            config=None if run else dict(parameters), settings=self._wandb.Settings(silent=True, console="off"),
        )  # fmt: skip
        return str(self._run.id)

    @override
    def log_metrics(self, step: int, figures: Mapping[str, float]) -> None:
        if step < self._step:  # steps only grow there; a later word about an earlier epoch becomes the run's own figure
            self._run.summary.update(dict(figures))
            return
        self._step = step
        self._run.log(dict(figures), step=step)

    @override
    def log_tags(self, tags: Mapping[str, str]) -> None:
        self._run.summary.update(dict(tags))

    @override
    def log_files(self, folder: Path) -> None:
        self._run.log_artifact(self._artifact(f"run-{self._run.id}", "run", folder))

    @override
    def register(self, name: str, folder: Path, alias: str | None) -> str:
        kept = self._run.log_artifact(
            self._artifact(name, "model", folder), aliases=["latest", *([alias] if alias else [])]
        )
        return str(getattr(kept, "version", None) or "latest")

    def _artifact(self, name: str, kind: str, folder: Path) -> Any:
        artifact = self._wandb.Artifact(name, type=kind)
        artifact.add_dir(str(folder))
        return artifact

    @override
    def close(self, status: str) -> None:
        self._run.finish(exit_code=_EXIT.get(status, 1))
