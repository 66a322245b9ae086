"""Photos in four exposures, as they are, standardised and enhanced, beside the originals and before a classifier."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.generate.self_regression import SelfRegression, SelfRegressionSettings, fit_self_regression
from unshaken.harden.defences.input_transform import standardise
from unshaken.measure import psnr, ssim
from unshaken.papers.context import Context
from unshaken.stress.camera.underexposure import Underexposure
from unshaken.stress.engine.base import to_8_bit
from unshaken.stress.engine.filters import luma
from unshaken_papers.noiser import (
    CAMERA,
    CLEAN,
    CONTROL,
    DARK,
    EXPOSURES,
    GIVEN,
    NETS,
    NO_NORM,
    OVER,
    SEVERITY,
    NoiserPaper,
)

DEVIATION = 0.25
GAMMA, DARKEST = 2.2, 0.35
PIECE = 20
"""Photos at once."""
TIMED = 5
"""Steps and images by which the cost is measured."""
Change = Callable[[Tensor], Tensor]


def run(paper: NoiserPaper, context: Context) -> None:
    """Networks of all seeds, each shown every exposure."""
    model = context.load_model(context.model)
    photos = context.datasets.stratified(None, paper.photos, view=model.view).batch()
    exposures = expose(photos, context.seed)
    with track("noiser", len(EXPOSURES) * (2 + paper.seeds * len(NETS))) as task:

        def show_all(place: Context, name: str, change: Change, classifier: Classifier | None) -> None:
            for exposure, batch in exposures.items():
                show(place, f"{name}.{exposure}", photos, batch, change, classifier)
                task.advance()

        show_all(context, GIVEN, lambda images: images, model)
        show_all(context, CONTROL, lambda images: standardise(images, DEVIATION), model)
        for repetition in context.repetitions(paper.seeds):
            for name, options in NETS.items():
                net = network(paper, repetition, name, options)
                show_all(repetition, name, net, None if name == NO_NORM else model)
    cost(paper, context)


def expose(photos: Batch, seed: int) -> Mapping[str, Batch]:
    """The photos in each exposure."""
    x = photos.images
    return {
        CLEAN: photos,
        DARK: photos.with_images(to_8_bit(DARKEST * x**GAMMA)),
        OVER: photos.with_images(1 - DARKEST * (1 - x) ** GAMMA),
        CAMERA: Underexposure().apply(photos, SEVERITY, seed),
    }


def settings(paper: NoiserPaper, seed: int, **options: object) -> SelfRegressionSettings:
    """The settings of a network."""
    own = {"hidden": paper.hidden, "sigma": paper.sigma, "steps": paper.steps, "lr": paper.lr, "seed": seed}
    return SelfRegressionSettings(**own, **options)


def network(paper: NoiserPaper, context: Context, name: str, options: Mapping[str, object]) -> SelfRegression:
    """A network of one seed, trained or from the cache."""
    wanted = settings(paper, context.seed, **options)
    weights = context.weights(
        name, wanted.model_dump(mode="json"), lambda: fit_self_regression(wanted).net.state_dict(),
        [fit_self_regression, SelfRegression],
    )  # fmt: skip
    net = SelfRegression(wanted)
    net.net.load_state_dict(weights)
    return net.eval().requires_grad_(False)


def show(
    context: Context, label: str, photos: Batch, given: Batch, change: Change, classifier: Classifier | None
) -> None:
    """Rows of photos in one exposure after a change: nearness to the originals, and what they are taken for."""
    if context.has(label, "shown") and (classifier is None or context.has(label)):
        return
    with torch.no_grad():
        changed = torch.cat([change(piece) for piece in torch.split(given.images, PIECE)])
    if classifier is not None:
        context.predict(label, classifier, given.with_images(changed))
    if not context.has(label, "shown"):
        context.write("shown", label, {"id": list(photos.ids), **likeness(changed, photos.images)})


def likeness(images: Tensor, originals: Tensor) -> dict[str, list[float]]:
    """PSNR, SSIM, mean luminance, and the largest minus the smallest mean of a channel, of each image."""
    found: dict[str, list[float]] = {"psnr": [], "ssim": []}
    for one, other in zip(torch.split(images, PIECE), torch.split(originals, PIECE), strict=True):
        found["psnr"] += psnr(one.numpy(), other.numpy()).tolist()
        found["ssim"] += ssim(one.numpy(), other.numpy()).tolist()
    means = images.mean((2, 3))
    found["luminance"] = luma(images).mean((1, 2, 3)).tolist()
    found["spread"] = (means.amax(1) - means.amin(1)).tolist()
    return found


def cost(paper: NoiserPaper, context: Context) -> None:
    """One row: the number of weights, and the seconds of a step of training and of an image of 600 x 400."""
    if context.has("noiser", "cost"):
        return
    began = time.perf_counter()
    net = fit_self_regression(settings(paper, 0).model_copy(update={"steps": TIMED}))
    trained = time.perf_counter()
    image = torch.zeros(1, 3, 400, 600)
    for _ in range(TIMED):
        net(image)
    ended = time.perf_counter()
    columns = {
        "parameters": sum(p.numel() for p in net.parameters()),
        "step_seconds": (trained - began) / TIMED,
        "image_seconds": (ended - trained) / TIMED,
    }
    context.write("cost", "noiser", {"id": ["600x400"], **columns})
