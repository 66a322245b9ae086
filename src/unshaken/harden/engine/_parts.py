"""A checkpoint in parts: what all processes hold alike is divided among them, so that each writes its share."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

_PART = re.compile(r"checkpoint-\d{8,}-\d{3,}-of-\d{3,}\.safetensors")


def part_names(number: int, processes: int) -> list[str]:
    """The files of a checkpoint by process.

    Those of another step have other names: an interrupted writer leaves the parts of the step before as they were.

    >>> part_names(120, 2)
    ['checkpoint-00000120-001-of-002.safetensors', 'checkpoint-00000120-002-of-002.safetensors']
    """
    return [f"checkpoint-{number:08d}-{k:03d}-of-{processes:03d}.safetensors" for k in range(1, processes + 1)]


def is_part(name: str) -> bool:
    """Whether a file's name is that of a part."""
    return _PART.fullmatch(name) is not None


def shares(tensors: Mapping[str, Tensor], alike: Collection[str], processes: int) -> list[list[str]]:
    """The names of the tensors that each process writes: all processes find the same shares.

    Args:
        tensors: of the whole state.
        alike: names of those that every process holds to the bit; the first process writes the others.
        processes: how many share.
    """
    found: list[list[str]] = [[] for _ in range(processes)]
    found[0] = [name for name in tensors if name not in alike]
    loads = [sum(tensors[name].nbytes for name in found[0])] + [0] * (processes - 1)
    for name in sorted(alike, key=lambda name: (-tensors[name].nbytes, name)):
        least = loads.index(min(loads))
        found[least].append(name)
        loads[least] += tensors[name].nbytes
    return found
