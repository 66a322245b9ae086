"""`Engine`: which executor computes the shards of a run, from a text such as `local:4`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType

from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.imports import need
from unshaken.core.numbers import shorten

MOST_PROCESSES = 1024


@dataclass(frozen=True, slots=True)
class Engine:
    """An executor's kind.

    Args:
        kind: `local` or `ray`.
        processes: of this machine; 1 for this process alone.
    """

    kind: str = "local"
    processes: int = 1

    @override
    def __str__(self) -> str:
        return self.kind if self.processes == 1 else f"{self.kind}:{self.processes}"


LOCAL = Engine()


def read_engine(text: str) -> Engine:
    """The engine that a text names.

    Args:
        text: `local` for this process, `local:N` for N processes of this machine, `ray` for a cluster's workers.

    Raises:
        ParameterError: it names none.
        MissingExtra: ray is not installed.

    >>> str(read_engine("local:4"))
    'local:4'
    """
    kind, colon, count = text.partition(":")
    if text == "ray":
        load_ray()
        return Engine("ray")
    digits = count.isascii() and count.isdigit()
    if kind != "local" or (colon and not (digits and len(count) < 6 and 1 <= int(count) <= MOST_PROCESSES)):
        raise ParameterError(
            f"engine {shorten(text)} is not one of local, local:N with N from 1 to {MOST_PROCESSES:,}, ray"
        )
    return Engine("local", int(count) if colon else 1)


def load_ray() -> ModuleType:
    """The package ray, without its usage reports.

    Raises:
        MissingExtra: it is absent.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user says so
    return need("ray", "ray", "ray", "--engine ray")
