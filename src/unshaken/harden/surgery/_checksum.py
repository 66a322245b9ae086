"""What a set of weights descends from, by checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from unshaken.core.errors import ModelError

COUNTLESS = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the keys that are statistics and no parameters."""


def checksum(weights: Mapping[str, Tensor], leave_out: Iterable[str] = ()) -> str:
    """A hash of names, shapes and values, the same in every process.

    Args:
        weights: a state dict.
        leave_out: keys that do not count, such as the classifier's; of batch norms the counts never do.

    Returns:
        32 hexadecimal digits.
    """
    found = hashlib.blake2b(digest_size=16)
    for key in _counting(weights, leave_out):
        value = weights[key].detach().cpu().contiguous()
        found.update(f"{key}\x1f{value.dtype}\x1f{tuple(value.shape)}\x1f".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def architecture(weights: Mapping[str, Tensor], leave_out: Iterable[str] = ()) -> str:
    """A hash of names and shapes alone; see `checksum`."""
    text = "\n".join(f"{key} {tuple(weights[key].shape)}" for key in _counting(weights, leave_out))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def same_body(weights: Mapping[str, Mapping[str, Tensor]], classifier: Iterable[str]) -> None:
    """Refuse weights that are not of one architecture, the classifier aside.

    Args:
        weights: state dicts by what messages call them.
        classifier: keys that may differ.

    Raises:
        ModelError: a key is missing, or has another shape.
    """
    (first, one), *others = weights.items()
    keys = _counting(one, classifier)
    for name, other in others:
        there = _counting(other, classifier)
        if there != keys:
            odd = sorted(set(there) ^ set(keys))[0]
            raise ModelError(f"the weights {first!r} and {name!r} are not of one architecture: only one has {odd!r}")
        for key in keys:
            if one[key].shape != other[key].shape:
                raise ModelError(
                    f"the weights {first!r} and {name!r} are not of one architecture: {key!r} has the shapes "
                    f"{tuple(one[key].shape)} and {tuple(other[key].shape)}"
                )


def _counting(weights: Mapping[str, Tensor], leave_out: Iterable[str]) -> list[str]:
    skipped = set(leave_out)
    return sorted(k for k in weights if k not in skipped and not k.endswith("num_batches_tracked"))
