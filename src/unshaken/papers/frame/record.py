"""`Record`: what decides the rows of a run directory, written before the first row and compared on resuming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unshaken.core.errors import RunError
from unshaken.run.config import provenance
from unshaken.run.store import RunDir

NAME = "paper.json"


@dataclass(slots=True)
class Record:
    """The record `paper.json` of a run directory.

    Args:
        run: the directory.
        settings: slug, seed, SPECs and parameters.
        inputs: data and models read, by what they are, with their fingerprints.
        networks: names of trained networks, with the keys of their weights.
        trained: networks that were trained by this process, by name.
        resumed: whether the directory held rows when it was opened.
    """

    run: RunDir
    settings: Mapping[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    trained: list[str] = field(default_factory=list)
    resumed: bool = False

    @classmethod
    def pin(cls, run: RunDir, settings: Mapping[str, Any]) -> Record:
        """Open a run directory for some settings; nothing is read or trained before.

        Args:
            run: new, or left by an interrupted run.
            settings: JSON values that decide the rows.

        Raises:
            RunError: its rows were decided by other settings, which are named.
        """
        if not run.exists(NAME):
            record = cls(run, settings)
            record._write()
            return record
        there = run.read_json(NAME)
        if "settings" not in there:
            raise RunError(f"{run}: holds rows of an earlier version of unshaken; choose another --out")
        old = there["settings"]
        if names := [k for k in {**old, **settings} if old.get(k) != settings.get(k)]:
            raise RunError(f"{run}: holds rows of another experiment ({', '.join(names)} differ); choose another --out")
        return cls(run, settings, there["inputs"], there["networks"], resumed=run.fs.isdir(run.at("rows")))

    def add_input(self, name: str, fingerprint: str) -> None:
        """Note data or a model that is read.

        Raises:
            RunError: it has changed since the directory's first rows.
        """
        self._add(self.inputs, name, fingerprint, "has changed since its rows were made")

    def add_network(self, name: str, key: str, *, cached: bool) -> None:
        """Note a trained network.

        Raises:
            RunError: other weights go by this name in the directory: data, settings or the code of training changed.
        """
        self._add(self.networks, name, key, "would be trained otherwise now (by other code, data or settings)")
        if not cached:
            self.trained.append(name)

    def from_cache(self) -> bool:
        """Whether there are networks, and this process trained none of them."""
        return bool(self.networks) and not self.trained

    def remark(self) -> str:
        """What the seconds of the run leave out."""
        parts = []
        if self.from_cache():
            parts.append("The networks came from the cache, so the seconds hold no training.")
        if self.resumed:
            parts.append("The run was resumed, so the seconds hold only what was missing.")
        return " ".join(parts)

    def _add(self, known: dict[str, str], name: str, value: str, change: str) -> None:
        if known.get(name, value) != value:
            raise RunError(f"{self.run}: {name} {change}; choose another --out")
        if name not in known:
            known[name] = value
            self._write()

    def _write(self) -> None:
        whole = {"settings": self.settings, "inputs": self.inputs, "networks": self.networks}
        self.run.write_json({**whole, "provenance": provenance()}, NAME)
