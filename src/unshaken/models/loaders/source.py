"""Where a net came from, for those whose weights do not tell it all."""

from __future__ import annotations

from torch import nn

_KEY = "unshaken_source"


def mark_source(net: nn.Module, digest: str) -> None:
    """Keep the hash of the file that a net came from, through copies too."""
    net.__dict__[_KEY] = digest


def source_of(net: nn.Module) -> str:
    """The hash that `mark_source` kept, or nothing."""
    return str(net.__dict__.get(_KEY, ""))
