"""Optional tracking: log a training run to MLflow or TensorBoard, epoch by epoch."""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from typing_extensions import override

from unshaken.harden.engine.recipe import Recipe
from unshaken.store.run_dir import RunDir
from unshaken.store.tracking import RunTracker, Sink, metrics_of

if TYPE_CHECKING:
    from unshaken.harden.engine.harden_file import HardenConfig

Flags = Callable[[], Mapping[str, str]]
"""Name to detail of the doubts met so far."""


class Tracker(RunTracker):
    """Logs a training run. A failing service does not stop the training; missed epochs are logged later.

    Args:
        sink: the service; None for none.
        run: the run directory.
        flags: see `Flags`.
    """

    def __init__(self, sink: Sink | None, run: RunDir, flags: Flags) -> None:
        super().__init__(sink, run)
        self.flags = flags
        self.waiting: list[dict[str, float]] = []
        self._flagged: set[str] = set()

    @override
    def begin(self, name: str, parameters: Mapping[str, str]) -> None:
        super().begin(name, parameters)
        if self.sink is not None and self.run.exists("curves.parquet"):
            curves = io.BytesIO(self.run.read("curves.parquet"))
            for record in pq.read_table(curves, page_checksum_verification=True).to_pylist():
                self.log_epoch({k: v for k, v in record.items() if v is not None})

    @override
    def consequence(self) -> str:
        return (
            f"training goes on, and what was missed ({len(self.waiting)} epochs) is told later, at the latest by the "
            "same command with --resume"
        )

    def log_epoch(self, record: dict[str, float]) -> None:
        """Log an epoch, once.

        Args:
            record: of the curves; `epoch` counts from 0.
        """
        if self.sink is None or record["epoch"] < self.place["epochs"] + len(self.waiting):
            return
        self.waiting.append(dict(record))
        if time.monotonic() >= self.again:
            self.attempt(self._send)

    def ended(self, result: Mapping[str, Any]) -> None:
        """Log how the run ended, with intervals, and where its files are.

        Args:
            result: as in `harden.json`.
        """
        if self.sink is None:
            return
        at = os.path.abspath(self.run.root) if self.run.local else str(self.run).rstrip("/")
        files = {"model": "model.safetensors", "last": "last.safetensors", "report": "report.html"}
        tags = {"run": at, **{k: f"{at}/{v}" for k, v in files.items()}}
        tags |= {"chosen_epoch": str(result["chosen_epoch"]), "chosen_by": result["chosen_by"]}
        figures = metrics_of({f"chosen_{k}": f for k, f in result["figures"].items()})

        def log(sink: Sink) -> None:
            self._send(sink)
            if figures:
                sink.log_metrics(result["chosen_epoch"], figures)
            sink.log_tags(tags)

        self.attempt(log)

    def _send(self, sink: Sink) -> None:
        """All that waits, the oldest first."""
        while self.waiting:
            record = self.waiting[0]
            figures = {k: v for k, v in record.items() if k != "epoch" and math.isfinite(v)}
            sink.log_metrics(int(record["epoch"]) + 1, figures)
            self.place["epochs"] = int(record["epoch"]) + 1
            del self.waiting[0]
        new = {f"flag.{k}": v for k, v in self.flags().items() if k not in self._flagged}
        if new:
            sink.log_tags(new)
            self._flagged |= {k.removeprefix("flag.") for k in new}
        self.keep()


@contextmanager
def tracked(
    sink: Sink | None, run: RunDir, config: HardenConfig, recipes: Sequence[Recipe], flags: Flags
) -> Iterator[Tracker]:
    """Track a training run for as long as the context lasts.

    Args:
        sink: the service that is informed; None for none.
        run: the run directory, whose name is the run's name there.
        config: what decides the run.
        recipes: as parsed.
        flags: see `Flags`.

    Raises:
        RunError: the service does not answer, or has lost the run.
    """
    tracker = Tracker(sink, run, flags)
    tracker.begin(run.root.rpartition("/")[2] or "run", parameters_of(config, recipes))
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.close(status)


def parameters_of(config: HardenConfig, recipes: Sequence[Recipe]) -> dict[str, str]:
    """Parameters that are logged once for a run: model, data, recipes with theirs, and the options of the loop."""
    found = {
        "model": config.model,
        "data": config.data,
        "data_fingerprint": config.data_fingerprint,
        **({} if config.labels_version is None else {"labels_version": config.labels_version}),
        "recipes": " ".join(config.recipes) or "none",
        "processes": str(config.processes),
        **{f"images.{k}": str(v) for k, v in config.images.items()},
        **{f"provenance.{k}": str(v) for k, v in config.provenance.items()},
        **{k: str(v) for k, v in config.training.items()},
    }
    for recipe in recipes:
        found |= {f"{recipe.info.name}.{k}": str(v) for k, v in recipe.model_dump(mode="json").items()}
    return found
