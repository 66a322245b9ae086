"""Which feature maps a mixing network looks at, and how many channels they have."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import UNFIT_INPUT, ModelError, did_you_mean
from unshaken.harden.engine.probe import SIDES, channels_of
from unshaken.harden.recipes.ensembles.layer_heads import spread

log = logging.getLogger(__name__)


def named(text: str, model: Classifier) -> tuple[str, str]:
    """The two layers that were named, else the middle and the last of those with maps."""
    names = tuple(part.strip() for part in text.split("+")) if text else spread(model, 2)
    if len(names) != 2:
        raise ModelError(f"mixing-network: model {model.name!r} has no two layers with maps: name them")
    return names[0], names[1]


def channels_at(model: Classifier, robust: Classifier, layers: tuple[Sequence[str], Sequence[str]]) -> tuple[int, int]:
    """Channels of the earlier and of the later maps of both networks together, by a pass over a blank image.

    Args:
        model: g.
        robust: h.
        layers: an earlier and a later layer of each.

    Raises:
        ModelError: a layer is absent or gives no maps, or the two take no image in common.
    """
    size = robust.input_size or model.input_size
    sizes = [size] if size else [(side, side) for side in SIDES]
    view = robust.view or model.view
    count = view.channels if view is not None else channels_of(robust.net)
    device = next(iter(model.parameters()), torch.zeros(0)).device
    for height, width in sizes:
        blank = torch.zeros(1, count, height, width, device=device)
        shapes = [_shapes(net, names, blank) for net, names in zip((model, robust), layers, strict=True)]
        if all(len(found) == 2 for found in shapes):
            if any(len(shape) != 4 for found in shapes for shape in found):
                raise ModelError(
                    f"mixing-network: of the layers {layers} one gives no maps [C, H, W]: name others, such as "
                    "convolutions"
                )
            return shapes[0][0][1] + shapes[1][0][1], shapes[0][1][1] + shapes[1][1][1]
    raise ModelError(
        f"mixing-network: the layers {layers} of {model.name!r} and {robust.name!r} are not reached by images of one "
        f"size; tried {', '.join(f'{h} x {w}' for h, w in sizes)}"
    )


def _shapes(model: Classifier, names: Sequence[str], images: Tensor) -> list[torch.Size]:
    """Shapes of the layers' outputs that a pass reaches: a head behind them may want images of another size.

    Raises:
        ModelError: there is no such layer.
    """
    found: dict[str, torch.Size] = {}
    modules = dict(model.net.named_modules())
    for name in names:
        if name not in modules:
            raise ModelError(f"model {model.name!r} has no layer {name!r}; {did_you_mean(name, modules)}")
    handles = [
        modules[name].register_forward_hook(lambda _m, _i, out, name=name: found.__setitem__(name, out.shape))
        for name in names
    ]
    try:
        with evaluating(model), torch.no_grad():
            model(images)
    except UNFIT_INPUT as error:
        log.info("%s does not take %s: %s", model.name, tuple(images.shape), error)
    finally:
        for handle in handles:
            handle.remove()
    return [found[name] for name in names if name in found]
