"""What deletion costs on a network for photos, beside Quantus' pixel flipping, at the same curve.

    python benchmarks/map_metrics.py
    python benchmarks/map_metrics.py --images 8 --steps 224 --repeats 5 --threads 2

Measured: seconds an image of the deletion curve of `--steps` steps on `imagenet:efficientnet-lite0`, in turns, the
order rotating; median, least and largest of `--repeats` rounds after one that is not counted, and the median of the
ratios within a round. Passes are counted from outside, by the convolutions that are executed. Quantus gets all images
in one batch and a map in which the channels of a pixel follow each other, so that both remove the same pixels; it
leaves out the clean image, which is put into its curve. Then the areas are compared. Insertion has no counterpart in
Quantus and stands alone; its blur is a convolution too, and is counted among its passes.

A processor's cache decides more than anything else: of this network one image takes 32 ms in batches of 2 and 69 ms in
batches of 58, which is what a limit of 256 images gives. `--batch` is the limit.

The first line takes three minutes on a busy core. Passes bound the ratio: both need one a step.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import statistics
import time
import warnings
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from _peers import count, first_images, machine, spread
from torch import Tensor

import unshaken
from unshaken.explain import make_case
from unshaken.explain.engine.metric import Case
from unshaken.explain.engine.probed_metric import area_under_curve, removal_ranks
from unshaken.explain.metrics.deletion import Deletion
from unshaken.explain.metrics.insertion import Insertion

MODEL = "imagenet:efficientnet-lite0"


def flipped(case: Case, steps: int) -> Tensor:
    """The area by Quantus' PixelFlipping, with the clean image at its start."""
    import quantus

    channels = case.images.shape[1]
    order = -(channels * removal_ranks(case.maps)[:, None] + torch.arange(channels)[:, None, None]).double()
    metric = quantus.PixelFlipping(
        features_in_step=case.images[0].numel() // steps, perturb_baseline=0.0, abs=False, normalise=False,
        disable_warnings=True, display_progressbar=False,
    )  # fmt: skip
    with mock.patch("quantus.helpers.asserts.assert_features_in_step"):  # it counts places, and removes channels
        curve = metric(
            model=case.model, x_batch=case.images.numpy(), y_batch=case.classes.numpy(), a_batch=order.numpy(),
            device="cpu", softmax=True, batch_size=len(case.images),
        )  # fmt: skip
    with torch.no_grad():
        clean = case.model(case.images).softmax(1).gather(1, case.classes[:, None])
    return area_under_curve(torch.cat([clean.double(), torch.from_numpy(np.asarray(curve, float))], 1))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4, help="images in one pass of unshaken; small ones are quicker")
    parser.add_argument("--data", default="imagenet-sample")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    warnings.filterwarnings("ignore")
    model = unshaken.load_model(MODEL).eval()
    images, _ = first_images(chosen.images, chosen.data, model)
    case, _ = make_case(model, images, "gradcam", limit=chosen.batch)
    works: dict[str, Callable[[], Tensor]] = {
        "unshaken deletion": lambda: Deletion(steps=chosen.steps, substrate="black").judge(case).value,
        f"quantus {importlib.metadata.version('quantus')} PixelFlipping": lambda: flipped(case, chosen.steps),
        "unshaken insertion": lambda: Insertion(steps=chosen.steps).judge(case).value,
    }
    counted = {name: count(model, images, work) for name, work in works.items()}  # the round that warms up
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(chosen.repeats):
        names = list(works)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.perf_counter()
            works[name]()
            seconds[name].append((time.perf_counter() - began) / len(images))
    own, peer, _ = works
    print(f"{machine()}; {len(images)} images, {chosen.steps} steps, {chosen.repeats} rounds\n")
    print("| | passes an image | s an image | area |\n|---|---|---|---|")
    for name in works:
        forwards, _, areas = counted[name]
        print(f"| {name} | {forwards:.0f} | {spread(seconds[name], 2)} | {areas.mean().item():.4f} |")
    ratio = statistics.median(b / a for a, b in zip(seconds[own], seconds[peer], strict=True))
    difference = (counted[own][2] - counted[peer][2]).abs().max().item()
    print(
        f"\nQuantus takes {ratio:.2f} times as long (median of the rounds); areas differ by {difference:.1e} at most."
    )


if __name__ == "__main__":
    main()
