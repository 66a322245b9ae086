"""`Engine`: which executor computes the shards of a run, from a text such as `local:4` or `ray:cpus=2,gpus=0.5`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType

from typing_extensions import override

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.imports import need
from unshaken.core.numbers import parse_number, shorten
from unshaken.core.texts import parse_values

MOST_PROCESSES = 1024
PARTS = 1e-4
"""Ray knows a processor's and a GPU's shares in such parts."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An executor's kind.

    Args:
        kind: `local` or `ray`.
        processes: of this machine; 1 for this process alone.
        cpus: processors that each worker of a cluster takes, a share or a whole number.
        gpus: GPUs that each of them takes, likewise; None for 1 where the run computes on a GPU, else 0.
    """

    kind: str = "local"
    processes: int = 1
    cpus: float = 1
    gpus: float | None = None

    @override
    def __str__(self) -> str:
        if self.kind == "local":
            return self.kind if self.processes == 1 else f"{self.kind}:{self.processes}"
        given = [f"cpus={self.cpus:g}"] if self.cpus != 1 else []
        given += [] if self.gpus is None else [f"gpus={self.gpus:g}"]
        return ":".join(filter(None, (self.kind, ",".join(given))))


LOCAL, RAY = Engine(), Engine("ray")


def read_engine(text: str, device: str = "auto") -> Engine:
    """The engine that a text names.

    Args:
        text: `local` for this process, `local:N` for N processes of this machine, `ray` for a cluster's workers, each
            of which takes one processor, and one GPU where the run computes on GPUs; `ray:cpus=C,gpus=G` says how many
            otherwise: whole numbers, or shares such as `gpus=0.5`.
        device: that the run computes on.

    Raises:
        ParameterError: it names none, or the device is one of several of this machine and the engine chooses it.
        MissingExtra: ray is not installed.

    >>> str(read_engine("local:4"))
    'local:4'
    """
    kind, colon, count = text.partition(":")
    if kind == "ray":
        gpu, _, number = device.partition(":")
        if number.isascii() and number.isdecimal() and int(number):
            raise ParameterError(
                f"device {device} is one of this machine, and --engine {shorten(text)} gives each worker a GPU of its "
                f"node: use --device {gpu}; CUDA_VISIBLE_DEVICES={number} where Ray is started keeps it to that one"
            )
        values = {key: _read_share(text, key, value) for key, value in parse_values(text)[1].items()}
        load_ray()
        return Engine("ray", cpus=values.get("cpus", 1), gpus=values.get("gpus"))
    digits = count.isascii() and count.isdigit()
    if kind != "local" or (colon and not (digits and len(count) < 6 and 1 <= int(count) <= MOST_PROCESSES)):
        raise ParameterError(
            f"engine {shorten(text)} is not one of local, local:N with N from 1 to {MOST_PROCESSES:,}, ray, "
            "ray:cpus=C,gpus=G"
        )
    return Engine("local", int(count) if colon else 1)


def _read_share(text: str, key: str, value: str) -> float:
    """Number of processors or GPUs, or a share of one."""
    if key not in ("cpus", "gpus"):
        raise ParameterError(f"engine {shorten(text)} has no {key!r}; {did_you_mean(key, ('cpus', 'gpus'))}")
    number = parse_number(value, f"{key} of engine {shorten(text)}")
    least = PARTS if key == "cpus" else 0
    if not least <= number <= MOST_PROCESSES or (number > 1 and number != int(number)):
        raise ParameterError(
            f"engine {shorten(text)}: {key} is {value}, but must be a whole number up to {MOST_PROCESSES:,}, or a "
            f"share of one from {least:g}, such as 0.5"
        )
    return number


def load_ray() -> ModuleType:
    """The package ray, without its usage reports.

    Raises:
        MissingExtra: it is absent.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere unless the user says so
    return need("ray", "ray", "ray", "--engine ray")
