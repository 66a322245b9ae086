"""What a dozen detectors cost beside one plain pass, and beside pytorch-ood, which runs them one by one.

    python benchmarks/detection_cost.py --model demo:standard --data demo --images 512
    python benchmarks/detection_cost.py --model imagenet:efficientnet-lite0 --data imagenet-sample --images 128

Measured: seconds for the scores of all detectors over the same images in batches of `--batch`, against a plain forward
pass of the model as it is (in inference mode), in turns, median and quartiles of `--repeats` rounds. Detectors are
fitted before. Each tool has a process of its own, for `unshaken` changes the allocator of its process, which would make
the other faster, too. pytorch-ood is imported only there; install it beside this package. Passes are counted from
outside, by the convolutions that are executed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _peers import count, first_images, machine
from torch import Tensor

import unshaken
from unshaken.core import Batch, Classifier
from unshaken.data import load_data, stream

DETECTORS = {
    "msp": "MaxSoftmax",
    "max-logit": "MaxLogit",
    "energy": "EnergyBased",
    "entropy": "Entropy",
    "gen": "GEN",
    "kl-matching": "KLMatching",
    "knn": "KNN",
    "vim": "ViM",
    "react": "ReAct",
    "ash": "ASH",
    "scale": "SCALE",
    "dice": "DICE",
}
"""Ours to theirs; none needs a gradient."""


def ours(model: Classifier, chosen: argparse.Namespace, images: Tensor) -> Callable[[], Tensor]:
    """All scores, by one call."""
    from unshaken.core.oracle import Oracle
    from unshaken.core.search_copy import search_copy
    from unshaken.detect import Shares, fit
    from unshaken.detect.engine.screen import screen

    data = load_data(chosen.data)
    names = [f"knn:k={chosen.k}" if n == "knn" else n for n in DETECTORS]
    detector_set = fit(
        model, data, names, limit=min(len(data), chosen.fit), shares=Shares(calibration=0.1)
    ).detector_set
    samples = Batch(images, None, tuple(str(i) for i in range(len(images))))
    oracle = Oracle(detector_set.model, limit=chosen.batch, search_copy=search_copy(detector_set.model, images[:2]))

    def work() -> Tensor:
        found = screen(detector_set.detectors, detector_set.anatomy, samples, oracle)
        return torch.stack([s.score for s in found.values()])

    return work


def theirs(model: Classifier, chosen: argparse.Namespace, images: Tensor) -> Callable[[], Tensor]:
    """All scores, one detector after another."""
    import pytorch_ood.detector as peer

    from unshaken.detect.engine.anatomy import Anatomy

    anatomy = Anatomy.of(model, images[:2])
    if anatomy.weight is None or anatomy.bias is None:
        raise SystemExit(f"{chosen.model} has no linear head")
    weight, bias, layer = anatomy.weight, anatomy.bias, anatomy.penultimate

    def encode(x: Tensor) -> Tensor:
        return model.features(x, (layer,))[1][layer]

    def head(f: Tensor) -> Tensor:
        return torch.nn.functional.linear(f.flatten(1), weight, bias)

    def maps(x: Tensor) -> Tensor:
        return encode(x)[:, :, None, None]

    half = weight.shape[1] // 2
    made = {
        **{n: getattr(peer, DETECTORS[n])(model) for n in ("msp", "max-logit", "energy", "entropy", "gen")},
        "kl-matching": peer.KLMatching(model),
        "knn": peer.KNN(encode, k=chosen.k),
        "vim": peer.ViM(encode, d=512 if weight.shape[1] >= 768 else half, w=weight, b=bias),
        "react": peer.ReAct(encode, head),
        "ash": peer.ASH(maps, head),
        "scale": peer.SCALE(maps, head),
        "dice": peer.DICE(encode, w=weight, b=bias, p=0.9),
    }
    data = load_data(chosen.data)
    batches = [
        (b.images, b.labels)
        for b in stream(data, range(min(len(data), chosen.fit)), view=model.view, batch_size=chosen.batch)
        if isinstance(b, Batch)
    ]
    with torch.no_grad():
        for name in DETECTORS:
            made[name].fit(batches)

    def work() -> Tensor:
        with torch.no_grad():
            return torch.stack([torch.cat([made[n].predict(x) for x in images.split(chosen.batch)]) for n in DETECTORS])

    return work


def measured(tool: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """The rows of one tool, in this process."""
    torch.set_num_threads(chosen.threads)
    model = unshaken.load_model(chosen.model).eval().requires_grad_(False)
    images, _ = first_images(chosen.images, chosen.data, model)
    work = {"unshaken": ours, "pytorch-ood": theirs}[tool](model, chosen, images)

    def plain() -> None:
        with torch.inference_mode():
            for x in images.split(chosen.batch):
                model(x)

    passes, _, _ = count(model, images, work)
    times: dict[str, list[float]] = {"plain": [], "all": []}
    for number in range(chosen.repeats + 1):
        for name, function in (("plain", plain), ("all", work)):
            began = time.perf_counter()
            function()
            if number:
                times[name].append(time.perf_counter() - began)
    ratios = sorted(b / a for a, b in zip(times["plain"], times["all"], strict=True))
    quarter = len(ratios) // 4
    return {
        "tool": tool,
        "plain": statistics.median(times["plain"]) / len(images),
        "all": statistics.median(times["all"]) / len(images),
        "ratio": statistics.median(ratios),
        "low": ratios[quarter],
        "high": ratios[-1 - quarter],
        "passes": passes,
    }


def main() -> None:
    """Run each tool in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:standard")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--tools", default="unshaken")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--fit", type=int, default=10_000, help="images that detectors are fitted on at most")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measured(chosen.one, chosen)))
        return
    print(f"{machine()}; {chosen.model} on {chosen.data}, {chosen.images} images in batches of {chosen.batch}")
    print(f"{len(DETECTORS)} detectors: {', '.join(DETECTORS)}")
    rows = []
    for tool in chosen.tools.split(","):
        done = subprocess.run([sys.executable, *sys.argv, "--one", tool], check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        r = rows[-1]
        print(
            f"{tool}: plain pass {r['plain'] * 1e3:.3f} ms an image, all scores {r['all'] * 1e3:.3f} ms = "
            f"{r['ratio']:.2f} plain passes ({r['low']:.2f} to {r['high']:.2f}); {r['passes']:.1f} passes"
        )
    if len(rows) == 2:
        print(f"{rows[1]['tool']} takes {rows[1]['all'] / rows[0]['all']:.1f} times as long as {rows[0]['tool']}")


if __name__ == "__main__":
    main()
