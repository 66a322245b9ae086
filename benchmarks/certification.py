"""Randomised smoothing: votes a second, and what the sequential certificate saves.

    python benchmarks/certification.py votes --data fashion-mnist --arch small --sigma 0.25 --images 8 --n 10000
    python benchmarks/certification.py curve --data fashion-mnist --sigma 0.5 --images 200
    python benchmarks/certification.py curve --data cifar10 --sigma 0.25 --images 200

The network is trained here with Gaussian noise (recipe `gaussian-augmented`), or read from `--model`.

`votes`: `--n` votes for each of `--images` images. The reference is a loop in the style of the published code of Cohen
et al. (one image repeated, `randn_like`, argmax, counts by a loop over a numpy array) at the best of its batch sizes
256, 400 and 1,000. It draws another noise, so its counts differ by chance alone: the last column is the largest
difference of a top class's share, in standard errors. Ours is `unshaken.certify.smoothing.votes.vote`, in float32
and in bfloat16. Every contender has a process of its own (unshaken tells the allocator to keep freed memory, which
would speed up the others too); they take turns for `--repeats` rounds.

`curve`: certified accuracy at multiples of sigma/2 up to 3 sigma of `smoothing` (n=100,000, alpha=0.001) and of
`smoothing-sequential` with its defaults, on the same images and the same votes as far as each reads them, and the
passes that each took.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor

from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.certify.smoothing.smoothing_sequential import SequentialSmoothing
from unshaken.certify.smoothing.votes import vote
from unshaken.core import Batch, Classifier, Oracle
from unshaken.core.classifier import evaluating
from unshaken.core.search_copy import search_copy
from unshaken.data import load_data
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.harden.recipes.augmentation.gaussian_augmented import GaussianAugmented
from unshaken.models import load_model
from unshaken.papers.cache import cached

CLASSES = 10


def images_of(spec: str, n: int | None = None) -> tuple[Tensor, Tensor]:
    """uint8 images and labels: all, or n of them in even steps."""
    samples = Samples(load_data(spec), None, CLASSES)
    assert samples.resident is not None
    step = max(1, len(samples.resident) // (n or len(samples.resident)))
    return samples.resident[::step][:n], samples.labels[torch.from_numpy(samples.good)][::step][:n]


def pictures(options: argparse.Namespace) -> Batch:
    """The images that are certified."""
    images, labels = images_of(options.data, options.images)
    return Batch(images.float() / 255, labels, tuple(str(i) for i in range(len(images))))


def network(options: argparse.Namespace) -> Classifier:
    """The network under test."""
    if options.model:
        return load_model(options.model).eval()
    images, labels = images_of(f"{options.data}?split=train", options.train)
    training = Training(epochs=options.epochs, optimizer="adamw", lr=6e-3, select="last", check_every=options.epochs)

    model = fresh(options.arch, images, classes=CLASSES, seed=0)

    def make() -> tuple[dict[str, Tensor], dict[str, str]]:
        recipes = [CropFlip(), GaussianAugmented(sigma=options.sigma)]
        return fit(model, images, labels, recipes, training).model.net.state_dict(), {}

    key = {"data": options.data, "arch": options.arch, "sigma": options.sigma, "train": len(images)}
    model.net.load_state_dict(cached({**key, "epochs": options.epochs, "for": "certification"}, make).tensors)
    return model.eval()


def reference(model: Classifier, image: Tensor, sigma: float, n: int, batch: int) -> Tensor:
    """Votes `[K]` of one image, in the way of the published code."""
    counts = np.zeros(CLASSES, dtype=int)
    with torch.no_grad():
        left = n
        while left > 0:
            now = min(batch, left)
            copies = image.repeat((now, 1, 1, 1))
            answers = model(copies + torch.randn_like(copies) * sigma).argmax(1)
            for answer in answers.numpy():
                counts[answer] += 1
            left -= now
    return torch.from_numpy(counts)


def ours(model: Classifier, batch: Batch, sigma: float, n: int, precision: str) -> Tensor:
    """Votes `[N, K]`."""
    oracle = Oracle(model, precision=precision, search_copy=search_copy(model, batch.images[:2]))
    return vote(oracle, batch.images, batch.ids, sigma=sigma, n0=0, n=n, seed=0, method="benchmark").counts


TOOLS = ("reference loop, batch 256", "reference loop, batch 400", "reference loop, batch 1000")
OURS = ("unshaken, fp32", "unshaken, bf16")


def serve(options: argparse.Namespace, name: str, pipe: Connection) -> None:
    """One tool in a process of its own: at every request all votes, with the seconds that they took."""
    torch.set_num_threads(options.threads)
    model, batch = network(options), pictures(options)
    word = name.split()[-1]

    def work(some: Batch, n: int) -> Tensor:
        if name in OURS:
            return ours(model, some, options.sigma, n, word)
        return torch.stack([reference(model, x, options.sigma, n, int(word)) for x in some.images])

    with evaluating(model):
        work(batch[slice(0, 1)], 1000)
        pipe.send("ready")
        while pipe.recv():
            began = time.perf_counter()
            counts = work(batch, options.n)
            pipe.send((time.perf_counter() - began, counts))


def votes(options: argparse.Namespace) -> None:
    """Print votes a second."""
    network(options)  # trained once, before anybody needs it
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for name in (*TOOLS, *OURS):
        pipes[name], theirs = context.Pipe()
        context.Process(target=serve, args=(options, name, theirs), daemon=True).start()
        pipes[name].recv()
    seconds: dict[str, list[float]] = {name: [] for name in pipes}
    counts: dict[str, Tensor] = {}
    for turn in range(options.repeats):
        names = list(pipes)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            pipes[name].send(True)
            taken, counts[name] = pipes[name].recv()
            seconds[name].append(taken)
    for pipe in pipes.values():
        pipe.send(False)
    total = options.n * options.images
    best = min(TOOLS, key=lambda n: statistics.median(seconds[n]))
    shares = {n: c.gather(1, counts[best].argmax(1, keepdim=True)).squeeze(1) / options.n for n, c in counts.items()}
    print(f"\n{options.images} images, {options.n} votes each, sigma {options.sigma:g}, {options.threads} threads\n")
    print("| tool | votes a second (least to largest) | ratio to the best reference loop | passes | standard errors |")
    print("|---|---|---|---|---|")
    for name, taken in seconds.items():
        rates = sorted(total / s for s in taken)
        ratios = [a / b for a, b in zip(seconds[best], taken, strict=True)]
        error = (shares[best] * (1 - shares[best]) * 2 / options.n).sqrt().clamp_min(1 / options.n)
        off = float(((shares[name] - shares[best]).abs() / error).max())
        print(
            f"| {name} | {statistics.median(rates):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f}) | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {options.n} | {off:.1f} |"
        )


def curve(options: argparse.Namespace) -> None:
    """Print certified accuracy at each radius and what it took."""
    model, batch = network(options), pictures(options)
    with evaluating(model):
        compare(options, model, batch)


def compare(options: argparse.Namespace, model: Classifier, batch: Batch) -> None:
    """Both certificates of the same images."""
    grid = [options.sigma * z / 2 for z in range(7)]
    found = {}
    for method in (SequentialSmoothing(sigma=options.sigma), Smoothing(sigma=options.sigma, n=options.n)):
        oracle = Oracle(model, precision=options.precision, search_copy=search_copy(model, batch.images[:2]))
        began = time.perf_counter()
        certified = method.certify(oracle, batch, seed=0)
        right = (certified.prediction == batch.labels) & ~certified.abstained
        holds = [float((right & (certified.radius >= r)).double().mean()) for r in grid]
        found[method.name] = (holds, float(certified.tally.forwards.double().mean()), time.perf_counter() - began)
        print(f"{method.name}: {found[method.name][2]:.0f} s", flush=True)
    (quick, few, fast), (slow, many, long) = found["smoothing-sequential"], found["smoothing"]
    print(f"\n{len(batch)} images of {options.data}, sigma {options.sigma:g}, alpha 0.001, {options.precision}\n")
    print("| radius | smoothing, % | smoothing-sequential, % | difference, points |")
    print("|---|---|---|---|")
    for r, a, b in zip(grid, slow, quick, strict=True):
        print(f"| {r:g} | {100 * a:.1f} | {100 * b:.1f} | {100 * (b - a):+.1f} |")
    print(f"\npasses a sample: {many:,.0f} and {few:,.0f}: 1/{many / few:.1f}; seconds: {long:.0f} and {fast:.0f}")


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("votes", "curve"))
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--model", default="")
    parser.add_argument("--arch", default="strided-cnn")
    parser.add_argument("--sigma", type=float, default=0.5)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--train", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {time.strftime('%Y-%m-%d')}", flush=True)
    {"votes": votes, "curve": curve}[options.what](options)


if __name__ == "__main__":
    main()
