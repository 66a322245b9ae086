"""The cache of trained weights, by a digest of everything that decides them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from safetensors import safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from unshaken.papers.record import now
from unshaken.run.provenance import provenance
from unshaken.store.cache_dir import cache_dir
from unshaken.store.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights, and what is known of their training.

    Args:
        tensors: state dict.
        notes: JSON values kept beside them, such as training curves.
        cached: whether they came from the cache.
        made: when, by which versions and on which machine they were made; empty where that is unknown.
    """

    tensors: dict[str, Tensor]
    notes: Mapping[str, Any]
    cached: bool
    made: Mapping[str, Any]


def digest_of(key: Any) -> str:
    """32 hexadecimal digits of canonical JSON: the order of names does not matter, nesting does.

    >>> digest_of({"a": 1, "b": {"c": 2}}) == digest_of({"b": {"c": 2}, "a": 1}) != digest_of({"a": 1, "c": 2})
    True
    """
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """32 hexadecimal digits of names, types, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in tensors.items():
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def cached(key: Mapping[str, Any], make: Callable[[], tuple[Mapping[str, Tensor], Mapping[str, Any]]]) -> Weights:
    """Weights from the cache, else made and put there.

    Args:
        key: nested JSON values that decide the weights; kept beside them.
        make: gives the state dict, and notes of JSON values.
    """
    folder, name = RunDir(cache_dir() / "papers"), f"{digest_of(key)}.safetensors"
    found = folder.exists(name)
    if not found:
        tensors, notes = make()
        whole = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        known = {"key": key, "notes": notes, "made": {"date": now(), **provenance()}}
        folder.write(save_tensors(whole, {k: json.dumps(v) for k, v in known.items()}), name)
    with safe_open(folder.at(name), "pt") as file:
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        known = {k: json.loads(v) for k, v in file.metadata().items()}
    return Weights(tensors, known["notes"], found, known.get("made", {}))
