"""What recipes share that remember each sample in a table."""

from __future__ import annotations

import torch

from unshaken.core.errors import ParameterError


def refuse_processes(name: str) -> None:
    """Refuse several processes to a recipe that remembers each sample.

    Args:
        name: of the recipe.

    Raises:
        ParameterError: several processes train together, each of which would have a table of its own.
    """
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if together and torch.distributed.get_world_size() > 1:
        raise ParameterError(f"{name} remembers each sample in one table: train it in one process (--devices 1)")
