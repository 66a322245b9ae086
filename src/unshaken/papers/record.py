"""`Record`: what decides the rows of a run directory, written before the first row and compared on resuming.

It also keeps where everything came from: the versions and the machine of every session, the seconds of all of them, the
rules as they stood before the first row, and for each network whether it came from the cache, and what made it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from unshaken.core.errors import RunError
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir

NAME = "paper.json"
BETWEEN = 1.0
"""Seconds between two notes of the time alone, so that runs of many small tables do not write as many records."""


@dataclass(slots=True)
class Record:
    """The record `paper.json` of a run directory.

    Args:
        run: the directory.
        settings: slug, seed, SPECs and parameters.
        frozen: `rule`, the digest of the claim's parts and rules before the first row, and `date`.
        inputs: data and models read, by what they are, with their fingerprints.
        networks: names of trained networks, with the keys of their weights.
        origins: the same names, with `cached` and what is known of the training: `date`, versions and machine.
        sessions: `date`, `seconds`, versions and machine of every session that worked on the run.
        seen: by condition, how many of its images networks of this run learned from, and how many it has.
        fewer: by SPEC, how many images were asked for, and how many there are, where these are fewer.
        resumed: whether the directory held rows when it was opened.
    """

    run: RunDir
    settings: Mapping[str, Any]
    frozen: Mapping[str, str]
    inputs: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    origins: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    seen: dict[str, list[int]] = field(default_factory=dict)
    fewer: dict[str, list[int]] = field(default_factory=dict)
    resumed: bool = False
    _began: float = 0.0
    _noted: float = 0.0
    _learned: set[bytes] = field(default_factory=set)

    @classmethod
    def pin(cls, run: RunDir, settings: Mapping[str, Any], rule: str) -> Record:
        """Open a run directory for some settings; nothing is read or trained before.

        Args:
            run: new, frozen beforehand, or left by an interrupted run.
            settings: JSON values that decide the rows.
            rule: digest of the claim's parts, rules and settings as they are now.

        Raises:
            RunError: its rows were decided by other settings, which are named.
        """
        if not run.exists(NAME):
            record = cls(run, settings, {"rule": rule, "date": now()})
            record._write()
            return record
        there = run.read_json(NAME)
        if "settings" not in there or "frozen" not in there:
            raise RunError(f"{run}: holds rows of an earlier version of unshaken; choose another --out")
        old = there["settings"]
        if names := [k for k in {**old, **settings} if old.get(k) != settings.get(k)]:
            raise RunError(f"{run}: holds rows of another experiment ({', '.join(names)} differ); choose another --out")
        known = {name: there[name] for name in ("frozen", "inputs", "networks", "origins", "sessions")}
        known |= {name: there.get(name, {}) for name in ("seen", "fewer")}
        return cls(run, settings, **known, resumed=run.fs.isdir(run.at("rows")))

    def begin(self) -> None:
        """Note that a session begins."""
        self._began = time.perf_counter()
        self.sessions.append({"date": now(), "seconds": 0.0, **provenance()})
        self._write()

    def worked(self) -> None:
        """Note how long it has worked, once a second; a killed one counts up to the last such note."""
        if time.perf_counter() - self._noted >= BETWEEN:
            self._write()

    def end(self) -> None:
        """Note that the session ends, however it does."""
        self._write()

    @property
    def seconds(self) -> float:
        """Wall time of all sessions."""
        return round(sum(float(s["seconds"]) for s in self.sessions), 1)

    def provenance(self) -> dict[str, Any]:
        """Provenance that a result keeps."""
        own = {"frozen": dict(self.frozen), "sessions": self.sessions, "inputs": self.inputs, "networks": self.origins}
        return own | {name: there for name, there in (("seen", self.seen), ("fewer", self.fewer)) if there}

    def add_input(self, name: str, fingerprint: str) -> None:
        """Note data or a model that is read.

        Raises:
            RunError: it has changed since the directory's first rows.
        """
        self._add(self.inputs, name, fingerprint, "has changed since its rows were made")

    def add_network(self, name: str, key: str, *, cached: bool, made: Mapping[str, Any]) -> None:
        """Note a trained network.

        Args:
            name: unique in the run.
            key: of its weights.
            cached: whether it came from the cache.
            made: when, by which versions and on which machine it was trained; empty where that is unknown.

        Raises:
            RunError: other weights go by this name in the directory: data, settings or the code of training changed.
        """
        self.origins.setdefault(name, {"cached": cached, **made})
        self._add(self.networks, name, key, "would be trained otherwise now (by other code, data or settings)")

    def add_learned(self, images: Iterable[bytes]) -> None:
        """Note images that a network of this run learns from, by their digests."""
        self._learned.update(images)

    def add_seen(self, condition: str, images: Sequence[bytes]) -> None:
        """Note the images of a condition, by their digests, where networks of this run learned from some of them."""
        count = sum(image in self._learned for image in images)
        if count:
            self.seen[condition] = [count, len(images)]
            self._write()

    def add_fewer(self, spec: str, *, asked: int, there: int) -> None:
        """Note that data has fewer images than asked for."""
        self.fewer[spec] = [max(asked, *self.fewer.get(spec, [0])), there]
        self._write()

    def from_cache(self) -> bool:
        """Whether there are networks, and no session of the run trained one of them."""
        return bool(self.origins) and all(made["cached"] for made in self.origins.values())

    def _add(self, known: dict[str, str], name: str, value: str, change: str) -> None:
        if known.get(name, value) != value:
            raise RunError(f"{self.run}: {name} {change}; choose another --out")
        if name not in known:
            known[name] = value
            self._write()

    def _write(self) -> None:
        self._noted = time.perf_counter()
        if self.sessions:
            self.sessions[-1]["seconds"] = round(self._noted - self._began, 1)
        names = ("settings", "frozen", "inputs", "networks", "origins", "sessions", "seen", "fewer")
        self.run.write_json({name: getattr(self, name) for name in names}, NAME)


def now() -> str:
    """The date and time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def figures_in_words(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Accuracies of a network with their intervals.

    >>> figures_in_words({"clean": {"value": 0.9312, "low": 0.926, "high": 0.936, "n": 10000}})
    'clean 0.931 (0.926 to 0.936, 10,000 images)'
    """
    texts = (f"{k} {f['value']:.3f} ({f['low']:.3f} to {f['high']:.3f}, {f['n']:,} images)" for k, f in figures.items())
    return ", ".join(texts)


def sessions_in_words(provenance: Mapping[str, Any]) -> list[str]:
    """The code and the machine of a result's sessions, one sentence each where they differ; and what was cached.

    Shared networks have a sentence each, with their accuracy and the hash of their weights.

    >>> sessions_in_words({"networks": {"a": {"cached": True}, "b": {"cached": False}}})
    ['1 of its 2 networks came from the cache: the minutes do not hold their training.']
    """
    sentences = []
    networks = provenance.get("networks", {})
    for name, made in networks.items():
        if "hash" in made:
            figures = figures_in_words(made["figures"])
            sentences.append(
                f"{name.capitalize()}: accuracy {figures}, hash {made['hash'][:12]}, made on {made['date'][:10]}."
            )
    cached = sum(bool(made.get("cached")) for made in networks.values())
    if 0 < cached < len(networks):
        sentences.append(
            f"{cached} of its {len(networks)} networks came from the cache: the minutes do not hold their training."
        )
    for session in provenance.get("sessions", []):
        code = f"unshaken {session['unshaken']}" + (f", commit {session['commit']}" if "commit" in session else "")
        date, on = session["date"][:10], session.get("processor", session["platform"])
        sentences.append(f"Made on {date} by {code}, torch {session['torch']}, on {on}, threads: {session['threads']}.")
    return list(dict.fromkeys(sentences))
