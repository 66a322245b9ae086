"""`learned_edm`: a small diffusion model of a row's images, from the cache or trained by `unshaken.generate`."""

from __future__ import annotations

from torch import Tensor

from unshaken.generate import EDM, EDMSettings, Fitting, UNet, UNetSettings
from unshaken.generate.fitting import fit
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split


def learned_edm(
    context: Context, name: str, data: Split, fitting: Fitting, *, classes: int = 0, attention: bool = True,
    noise: EDMSettings | None = None,
) -> EDM:  # fmt: skip
    """An EDM in evaluation mode; it does not go through the loop of `harden`, which trains classifiers.

    Args:
        context: of the experiment.
        name: unique in the run.
        data: what it learns; height and width multiples of 4.
        fitting: how long and how fast; its seed also draws the weights.
        classes: number of classes that it can be asked for; 0 for none.
        attention: whether the net attends.
        noise: that it learns to remove; default as in the publication.
    """
    _, channels, height, width = data.images.shape
    settings = UNetSettings(image=(channels, height, width), classes=classes, attention=attention)
    noise = EDMSettings() if noise is None else noise
    model = EDM(UNet(settings, seed=fitting.seed), noise)
    options = {"net": settings, "noise": noise, "fitting": fitting}

    def make() -> dict[str, Tensor]:
        return (
            fit(model, data.images, data.labels if classes else None, fitting).model.get_submodule("net").state_dict()
        )

    key = {"data": data.digest, **{k: v.model_dump(mode="json") for k, v in options.items()}}
    model.net.load_state_dict(context.weights(name, key, make, [fit, EDM, UNet]))
    return model.eval()
