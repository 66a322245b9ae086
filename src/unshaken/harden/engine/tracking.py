"""Optional tracking: log a training run to MLflow or TensorBoard, epoch by epoch."""

from __future__ import annotations

import io
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from unshaken.core.errors import RunError
from unshaken.harden.engine._trackers import Sink, bare
from unshaken.harden.engine.recipe import Recipe
from unshaken.run.store import RunDir

if TYPE_CHECKING:
    from unshaken.harden.engine.run import HardenConfig

NAME = "tracking.json"
"""Where a run directory keeps, for each URI, which run it is there and how many epochs were told."""
_PATIENCE = 10
"""After a failure nothing is tried for so many times as long as the failure took."""

Flags = Callable[[], Mapping[str, str]]
"""Name to detail of the doubts met so far."""


class Tracker:
    """Logs a training run. A failing service does not stop the training; missed epochs are logged later.

    Args:
        sink: who is told; None for nobody.
        run: the run directory.
        flags: see `Flags`.
    """

    def __init__(self, sink: Sink | None, run: RunDir, flags: Flags) -> None:
        self.sink, self.run, self.flags = sink, run, flags
        self.uri = "" if sink is None else sink.address
        self.place: dict[str, Any] = {"run": "", "epochs": 0}
        self.waiting: list[dict[str, float]] = []
        self._flagged: set[str] = set()
        self._again = 0.0

    def begin(self, name: str, parameters: Mapping[str, str]) -> None:
        """Start a run there, or go on with the one of this directory; epochs that it missed are told.

        Raises:
            RunError: the service does not answer, or has lost the run.
        """
        if self.sink is None:
            return
        kept = self._kept()
        self.place |= kept.get(self.uri, {})
        try:
            self.place["run"] = self.sink.begin(name, self.place["run"], parameters)
        except self.sink.failures as error:
            lost = f"; delete {NAME} in {self.run} to begin another there" if self.place["run"] else ""
            raise RunError(f"track {self.uri!r}: {self._why(error)}{lost}") from None
        self._keep()
        if self.run.exists("curves.parquet"):
            for record in pq.read_table(io.BytesIO(self.run.read("curves.parquet"))).to_pylist():
                self.told({k: v for k, v in record.items() if v is not None})

    def told(self, record: dict[str, float]) -> None:
        """Tell an epoch, once.

        Args:
            record: of the curves; `epoch` counts from 0.
        """
        if self.sink is None or record["epoch"] < self.place["epochs"] + len(self.waiting):
            return
        self.waiting.append(dict(record))
        if time.monotonic() >= self._again:
            self._try(self._send)

    def ended(self, result: Mapping[str, Any]) -> None:
        """Tell how the run ended and where its files are.

        Args:
            result: as in `harden.json`.
        """
        if self.sink is None:
            return
        at = os.path.abspath(self.run.root) if self.run.local else str(self.run).rstrip("/")
        files = {"model": "model.safetensors", "last": "last.safetensors", "report": "report.html"}
        tags = {"run": at, **{k: f"{at}/{v}" for k, v in files.items()}}
        tags |= {"chosen_epoch": str(result["chosen_epoch"]), "chosen_by": result["chosen_by"]}
        figures = {f"chosen_{k}": float(f["value"]) for k, f in result["figures"].items()}

        def tell(sink: Sink) -> None:
            self._send(sink)
            if figures:
                sink.epoch(result["chosen_epoch"], figures)
            sink.say(tags)

        self._try(tell)

    def close(self, status: str) -> None:
        """Say that nothing more comes.

        Args:
            status: `FINISHED`, `FAILED` or `KILLED`.
        """
        self._try(lambda sink: sink.close(status))

    def _send(self, sink: Sink) -> None:
        """All that waits, the oldest first."""
        while self.waiting:
            record = self.waiting[0]
            figures = {k: v for k, v in record.items() if k != "epoch" and math.isfinite(v)}
            sink.epoch(int(record["epoch"]) + 1, figures)
            self.place["epochs"] = int(record["epoch"]) + 1
            del self.waiting[0]
        new = {f"flag.{k}": v for k, v in self.flags().items() if k not in self._flagged}
        if new:
            sink.say(new)
            self._flagged |= {k.removeprefix("flag.") for k in new}
        self._keep()

    def _try(self, act: Callable[[Sink], None]) -> None:
        """Do it; where the service fails, warn, and leave it alone for a while."""
        if self.sink is None:
            return
        start = time.monotonic()
        try:
            act(self.sink)
        except self.sink.failures as error:
            now = time.monotonic()
            self._again = now + _PATIENCE * (now - start)
            warnings.warn(
                f"track {self.uri!r}: {self._why(error)}; training goes on, and what was missed ({len(self.waiting)} "
                "epochs) is told later, at the latest by the same command with --resume",
                RuntimeWarning,
                stacklevel=3,
            )

    def _kept(self) -> dict[str, Any]:
        found: Any = self.run.read_json(NAME) if self.run.exists(NAME) else {}
        shape = {"run": str, "epochs": int}
        places = found.values() if isinstance(found, dict) else [None]
        if not all(isinstance(p, dict) and all(isinstance(p.get(k), t) for k, t in shape.items()) for p in places):
            raise RunError(f"{self.run}: {NAME} is damaged (it does not say run and epochs of a place); delete it")
        return dict(found)

    def _keep(self) -> None:
        self.run.write_json({**self._kept(), self.uri: self.place}, NAME)

    def _why(self, error: BaseException) -> str:
        """What failed, in one line without a password."""
        message = bare(" ".join(str(error).split()) or type(error).__name__)
        return message if len(message) <= 300 else message[:297] + "..."


@contextmanager
def tracked(
    sink: Sink | None, run: RunDir, config: HardenConfig, recipes: Sequence[Recipe], flags: Flags
) -> Iterator[Tracker]:
    """Track a training run for as long as the context lasts.

    Args:
        sink: who is told; None for nobody.
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
    """What is told of a run once: model, data, recipes with all their parameters, and the options of the loop."""
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
