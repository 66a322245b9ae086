"""`Protocol`: the identity of everything but the model that decides what the figures of a run mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from unshaken.store.config import RunConfig

VERSION = 1
"""Rises when this package computes other figures from the same plan, seed and images."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """The settings that two runs share whose figures may stand in one column.

    Args:
        fields: by name: `version`, `task`, `plan`, `methods` (parameters with defaults, and conditions), `seed`, `eot`,
            `precision`, `data` (fingerprint), `samples` (number and digest of the ids), `labels`, `further_models` and
            `from_files`.
    """

    fields: dict[str, Any]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits, the same exactly when all fields are."""
        return _digest([json.dumps(self.fields, sort_keys=True)])

    @property
    def code(self) -> str:
        """The first 6 digits, for people."""
        return self.digest[:6]

    def differences(self, other: Protocol) -> list[str]:
        """Names of the fields in which another protocol differs."""
        return [name for name, value in self.fields.items() if other.fields.get(name) != value]


def protocol_of(config: RunConfig) -> Protocol:
    """The protocol of a run.

    Names of the model, the data and the plan, the device and the order of the samples make no difference. The size that
    photos are cut to and the batch size are the model's own.

    Args:
        config: of the run.
    """
    labels = None
    if config.labels is not None:
        labels = {
            "used": config.labels.by != "nothing", "of": sorted(config.labels.classes),
            "scored_among": [config.labels.within, len(config.classes)],
        }  # fmt: skip
    return Protocol({
        "version": VERSION,
        "task": config.task,
        "plan": [entry.model_dump(mode="json") for entry in config.plan],
        "methods": [
            step.model_dump(mode="json", include={"method", "parameters", "conditions", "radii"})
            for step in config.steps
        ],
        "seed": config.seed,
        "eot": config.eot,
        "precision": config.precision,
        "data": config.data_fingerprint,
        "samples": [len(config.ids), _digest(sorted(config.ids))],
        "labels": labels,
        "further_models": config.further_models,
        "from_files": sorted(config.from_files),
    })  # fmt: skip


def _digest(parts: Iterable[str]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "backslashreplace")
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()
