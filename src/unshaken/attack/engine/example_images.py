"""Images that an attack needs beside those it attacks: of a SPEC, or the run's first ones."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.attack.engine.attack_run import AttackContext
from unshaken.core.errors import ParameterError
from unshaken.data import BadSample, load_data, stream


def example_images(context: AttackContext, spec: str, name: str, most: int) -> Tensor:
    """Images `[N, C, H, W]` in [0, 1] on the model's device, at most `most`, the same for every part of a run.

    Args:
        context: of the attack.
        spec: a data SPEC; empty for the run's first samples, by id.
        name: of the attack and of the parameter that holds the SPEC, for messages, such as `uap: fit`.
        most: number of images.

    Raises:
        ParameterError: there is no image that can be read.
    """
    found: list[Tensor] = []
    if spec:
        data = load_data(spec)
        parts = stream(data, range(min(most, len(data))), view=context.oracle.model.view)
        found = [part.images for part in parts if not isinstance(part, BadSample)]
    elif (given := context.reference) is not None:
        found = [given.images[sorted(range(len(given)), key=given.ids.__getitem__)[:most]]]
    if not found:
        raise ParameterError(f"{name}={spec!r} has no image that can be read")
    return torch.cat(found).float().to(context.oracle.device)
