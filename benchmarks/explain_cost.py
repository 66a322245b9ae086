"""What attributions cost on a network for photos, beside captum and plain loops, at the same maps.

    python benchmarks/explain_cost.py --images 4 --repeats 5 --threads 2
    python benchmarks/explain_cost.py --images 1 --repeats 3 --points 8 --masks 16 --stride 29

Measured: seconds an image of integrated gradients and SmoothGrad of `--points` points, occlusion by patches of 50 px
every `--stride`, and RISE of `--masks` masks, on `imagenet:efficientnet-lite0`, in turns, the order rotating; median,
least and largest of `--repeats` rounds after one that is not counted, and the median of the ratios within a round.
Passes are counted from outside, by the convolutions that are executed. Then the maps are compared, by the norm of the
difference over that of the map. Gradients of a network of ReLUs jump where an activation lies within rounding of a
kink: an image either has such a place, and differs by a thousandth or so, from float64 too, or agrees to a millionth.
SmoothGrad's noise differs between the tools, so its line says the correlation of the maps instead; of occlusion only
pixels that both cover by the same patches are compared.

Unshaken's time holds all that a call does: the copy of the model with folded batch norms, its comparison with the
model, and a fresh pass where the class is looked up. captum gets its batches by `internal_batch_size` and the like, of
the same size; the model's weights want no gradients. RISE is not in captum: its row is the published loop, with the
same masks, made beforehand.

About half an hour at the first line's numbers on two cores; the second line takes two minutes.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from _peers import absent, count, first_images, label, machine, spread
from torch import Tensor

import unshaken
from unshaken.core.rng import SampleRng
from unshaken.explain import attribute
from unshaken.explain.attribution.rise import RISE
from unshaken.explain.engine.attribution import Target

PATCH = 50
"""Side of occlusion's patch, in pixels."""
Work = Callable[[], Tensor]


@dataclass(frozen=True)
class Method:
    """One method and both ways to it.

    Args:
        title: for the table.
        ours: makes maps `[N, H, W]`.
        peer: the tool beside it.
        theirs: as `ours`; None where the tool is absent.
        compare: from both maps to a sentence.
    """

    title: str
    ours: Work
    peer: str
    theirs: Work | None
    compare: Callable[[Tensor, Tensor], str]


def difference(ours: Tensor, theirs: Tensor) -> str:
    """The norm of the difference over that of the map: the median over images, and the largest."""
    shares = ((ours - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)).sort().values
    return f"difference {float(shares.median()):.1e}, at most {float(shares[-1]):.1e}"


def correlation(ours: Tensor, theirs: Tensor) -> str:
    """Pearson's, over pixels, the mean over images."""
    pairs = zip(ours.flatten(1), theirs.flatten(1), strict=True)
    return f"correlation {statistics.mean(float(torch.corrcoef(torch.stack(p))[0, 1]) for p in pairs):.3f}"


def methods(chosen: argparse.Namespace, model: Any, images: Tensor, classes: Tensor) -> list[Method]:
    """All of them."""
    side, size = images.shape[2], chosen.batch
    attr: Any = importlib.import_module("captum.attr") if importlib.util.find_spec("captum") else None

    def ours(text: str) -> Work:
        return lambda: attribute(model, images, text, classes=classes, limit=size).maps

    def theirs(run: Callable[[], Tensor]) -> Work | None:
        return run if attr is not None else None

    def integrated() -> Tensor:
        found = attr.IntegratedGradients(model).attribute(
            images, 0 * images, target=classes, n_steps=chosen.points - 2, method="riemann_middle",
            internal_batch_size=size,
        )  # fmt: skip
        return found.sum(1).detach()

    def smooth() -> Tensor:
        found = []
        for image, c in zip(images.split(1), classes, strict=True):
            tunnel = attr.NoiseTunnel(attr.Saliency(model))
            sigma = 0.15 * float(image.max() - image.min())
            found.append(
                tunnel.attribute(
                    image.clone().requires_grad_(), nt_type="smoothgrad", nt_samples=chosen.points, stdevs=sigma,
                    nt_samples_batch_size=size, target=int(c), abs=False,
                ).abs().mean(1).detach()
            )  # fmt: skip
        return torch.cat(found)

    def occluded() -> Tensor:
        found = [
            attr.Occlusion(model).attribute(
                image, (image.shape[1], PATCH, PATCH), (image.shape[1], chosen.stride, chosen.stride), 0.0,
                target=int(c), perturbations_per_eval=size,
            )[:, 0]
            for image, c in zip(images.split(1), classes, strict=True)
        ]  # fmt: skip
        return torch.cat(found)

    rise = RISE(samples=chosen.masks)
    rng = SampleRng.of(0, "explain rise", [str(i) for i in range(len(images))])
    numbers = torch.arange(chosen.masks).expand(len(images), -1)
    masks = rise.masks(Target(images, classes), numbers, rng)

    def published() -> Tensor:
        found = []
        with torch.inference_mode():
            for image, own, c in zip(images, masks, classes, strict=True):
                parts = [model(image * m[:, None]).softmax(1)[:, c] for m in own.split(size)]
                found.append(torch.einsum("q,qhw->hw", torch.cat(parts), own) / (len(own) * rise.keep))
        return torch.stack(found)

    inside = (side - PATCH) // chosen.stride * chosen.stride
    return [
        Method(
            f"integrated gradients, {chosen.points - 2} points (unshaken: and 2 for completeness)",
            ours(f"integrated-gradients:steps={chosen.points - 2}"), "captum", theirs(integrated), difference,
        ),
        Method(
            f"SmoothGrad, {chosen.points} points", ours(f"smoothgrad:samples={chosen.points}"), "captum",
            theirs(smooth), correlation,
        ),
        Method(
            f"occlusion, {PATCH} pixels every {chosen.stride}",
            ours(f"occlusion:patch={PATCH / side},stride={chosen.stride},score=logit"), "captum", theirs(occluded),
            lambda a, b: difference(a[:, :inside, :inside], b[:, :inside, :inside]),
        ),
        Method(f"RISE, {chosen.masks} masks", ours(f"rise:samples={chosen.masks}"), "plain", published, difference),
    ]  # fmt: skip


def measure(method: Method, repeats: int, images: int) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    """Seconds an image of each round, and the last maps."""
    works = {"unshaken": method.ours} | ({method.peer: method.theirs} if method.theirs is not None else {})
    times: dict[str, list[float]] = {name: [] for name in works}
    maps: dict[str, Tensor] = {}
    for number in range(repeats + 1):
        order = [*works] if number % 2 else [*reversed(works)]
        for name in order:
            began = time.perf_counter()
            maps[name] = works[name]()
            if number:
                times[name].append((time.perf_counter() - began) / images)
    return times, maps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imagenet:efficientnet-lite0")
    parser.add_argument("--data", default="", help="SPEC of photos; default uniform noise")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--stride", type=int, default=10)
    parser.add_argument("--masks", type=int, default=500)
    parser.add_argument("--batch", type=int, default=16, help="images in one pass, for all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model = unshaken.load_model(chosen.model).eval().requires_grad_(False)
    if chosen.data:
        images, _ = first_images(chosen.images, chosen.data, model)
    else:
        height, width = model.input_size or (224, 224)
        images = torch.rand(chosen.images, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        classes = torch.cat([model(x) for x in images.split(chosen.batch)]).argmax(1)
    classes = classes.clone()
    print(f"{machine()}; {chosen.model}, {len(images)} images of {list(images.shape[1:])}, batches of {chosen.batch}\n")
    print("| method | tool | forward, backward passes | seconds an image | peer / unshaken | maps |")
    print("|---|---|---|---|---|---|")
    for method in methods(chosen, model, images, classes):
        times, maps = measure(method, chosen.repeats, len(images))
        ratio, alike = "", ""
        if method.theirs is None:
            print(f"| {method.title} | captum | {absent('captum')} | | | |")
        else:
            pairs = zip(times[method.peer], times["unshaken"], strict=True)
            ratio = spread([theirs / own for theirs, own in pairs], 2)
            alike = method.compare(maps["unshaken"], maps[method.peer])
        for name, work in (("unshaken", method.ours), (method.peer, method.theirs)):
            if work is None:
                continue
            forwards, backwards, _ = count(model, images, work)
            found = f"{forwards:.1f}, {backwards:.1f}"
            tail = f"{ratio} | {alike}" if name == "unshaken" else " | "
            print(f"| {method.title} | {label(name)} | {found} | {spread(times[name], 3)} | {tail} |", flush=True)


if __name__ == "__main__":
    main()
