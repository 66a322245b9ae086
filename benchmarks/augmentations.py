"""What crop-flip, AugMix, PixMix and Noise2Net cost, and what they give against corruptions.

    UNSHAKEN_DATA=DIR python benchmarks/augmentations.py --images 6000 --epochs 10 --recipes crop-flip,augmix,pixmix
    python benchmarks/augmentations.py --only cost --rounds 9

Cost: milliseconds to augment a batch of CIFAR-sized noise, beside torchvision's AugMix on Pillow images, one after
another, for as many views. What is drawn once a run (PixMix's pictures) is not in it. Contenders take turns in rounds.

Gain: a small network is trained on a stratified part of CIFAR-10's training images for the same epochs with each
recipe (crop-flip comes before every other one), and asked about a stratified part of the test images, clean and under
the 15 common corruptions at one severity. The mean corrupted accuracy weighs the 15 alike; its interval, and those of
differences from crop-flip on the same images, are bootstraps over images. One training run a recipe: the intervals know
nothing of the seed. The claim is a gain of at least 5 points of mean corrupted accuracy for at most 2 points of the
clean one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from _peers import machine
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.functional import to_pil_image

import unshaken
from unshaken.core import Batch, Classifier, SampleRng
from unshaken.core.classifier import evaluating
from unshaken.core.device import keep_freed_memory
from unshaken.core.registry import find_method, parse_method
from unshaken.data.resident import Samples
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.inner import Inner
from unshaken.harden.engine.recipe import Recipe, Setup, Step
from unshaken.harden.engine.training import Training
from unshaken.measure import BENCHMARK, Figure, accuracy, paired_difference

BASE = "crop-flip"
GAIN, COST = 0.05, 0.02
BATCH = 128


@dataclass(frozen=True, slots=True)
class Trained:
    """What one recipe came to: correct answers, bool `[N]` and `[15, N]`, and CPU seconds of training."""

    clean: np.ndarray
    corrupted: np.ndarray
    seconds: float


def step_for(recipes: list[Recipe], images: Tensor, model: Classifier) -> Callable[[], Step]:
    """Makes the step that recipes find at the start of a run."""
    labels, memory = torch.zeros(len(images), dtype=torch.int64), {r.info.name: {} for r in recipes}
    for r in recipes:
        r.begin(Setup(model, images[:8], 10, 0, 1, 1, memory[r.info.name], lambda n: (images[:n], labels[:n])))
    rng, inner = SampleRng.of(0, "harden", [str(i) for i in range(len(images))]), Inner(model, images[:2], copied=False)

    def make() -> Step:
        return Step(
            model=model, classifier=model, images=images, labels=labels, rng=rng, inner=inner, epoch=0, number=0,
            share=0, epochs=1, steps=1, classes=10, second=lambda: (images, labels), memory=memory,
            average=lambda tensors: None,
        )  # fmt: skip

    return make


def contenders(names: list[str]) -> dict[str, Callable[[], object]]:
    """Name to one augmentation of a batch."""
    pixels = torch.randint(0, 256, (BATCH, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    model = fresh("small", pixels, classes=10, seed=0)
    work: dict[str, Callable[[], object]] = {}
    for name in names:
        recipe = parse_method(name, "harden")
        make = step_for([recipe], pixels.float() / 255, model)
        work[name] = lambda recipe=recipe, make=make: recipe.augment(make())
    photos, peer = [to_pil_image(p) for p in pixels], v2.AugMix(severity=3, all_ops=False)
    work["torchvision AugMix, two views"] = lambda: [peer(p) for p in photos for _ in range(2)]
    return work


def cost(names: list[str], rounds: int) -> None:
    """Print the table of milliseconds a batch."""
    work, spent = contenders(names), {}
    for run in work.values():
        run()
    for i in range(rounds):
        for name in np.roll(list(work), i).tolist():
            began = time.process_time()
            work[name]()
            spent.setdefault(name, []).append(1e3 * (time.process_time() - began))
    print(f"| a batch of {BATCH} | CPU ms, median | least | largest |\n|---|---|---|---|")
    for name in work:
        ms = spent[name]
        print(f"| {name} | {statistics.median(ms):.1f} | {min(ms):.1f} | {max(ms):.1f} |", flush=True)


def right(model: Classifier, images: Tensor, labels: Tensor) -> np.ndarray:
    """Which answers are correct, `[N]`."""
    with torch.inference_mode(), evaluating(model):
        return np.concatenate(
            [(model(x).argmax(1) == y).numpy() for x, y in zip(images.split(500), labels.split(500), strict=True)]
        )


def stratified(spec: str, limit: int) -> tuple[Tensor, Tensor]:
    """Bytes and labels of a stratified part of some data."""
    samples = Samples(unshaken.load_data(spec), None, 10, limit=limit)
    rows = torch.from_numpy(samples.good)
    return samples.resident[samples.place[rows]], samples.labels[rows]


def train(recipe: str, images: Tensor, labels: Tensor, options: argparse.Namespace) -> Trained:
    """Train with one recipe and ask about the test images."""
    names = [BASE] if recipe == BASE else [BASE, recipe]
    training = Training(
        epochs=options.epochs, batch_size=BATCH, lr=options.lr, nesterov=True, schedule="one-cycle", held_out=100,
        check_images=20, check_every=options.epochs, select="last", seed=options.seed,
    )  # fmt: skip
    model = fresh(options.model, images, classes=10, seed=options.seed)
    began = time.process_time()
    model = fit(model, images, labels, [parse_method(n, "harden") for n in names], training, classes=10).model
    seconds = time.process_time() - began
    shown, wanted = stratified(options.test_data, options.test)
    shown = shown.float() / 255
    batch = Batch(shown, wanted, tuple(str(i) for i in range(len(shown))))
    corrupted = [right(model, find_method(c).cls().apply(batch, options.severity).images, wanted) for c in BENCHMARK]
    return Trained(right(model, shown, wanted), np.stack(corrupted), seconds)


def said(figure: Figure) -> str:
    """A share in percent with its interval."""
    return f"{100 * figure.value:.1f} [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


def gain(recipes: list[str], options: argparse.Namespace) -> None:
    """Print the table of accuracies."""
    images, labels = stratified(options.data, options.images)
    print("| recipe | clean % | corrupted % | clean, change | corrupted, change | claim | CPU s |")
    print("|---|---|---|---|---|---|---|")
    base: Trained | None = None
    for recipe in dict.fromkeys([BASE, *recipes]):
        found = train(recipe, images, labels, options)
        mean = found.corrupted.mean(0)
        cells = [recipe, said(accuracy(found.clean)), said(paired_difference(np.zeros(len(mean)), mean))]
        if base is None:
            base, changes = found, ["", "", ""]
        else:
            clean = paired_difference(base.clean.astype(float), found.clean.astype(float))
            more = paired_difference(base.corrupted.mean(0), mean)
            holds = more.value >= GAIN and clean.value >= -COST
            changes = [said(clean), said(more), "holds" if holds else "does not hold"]
        print(f"| {' | '.join([*cells, *changes, f'{found.seconds:.0f}'])} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["cost", "gain"], help="one of the two tables")
    parser.add_argument("--recipes", default="crop-flip,augmix,pixmix", help="trained with, separated by ';' or ','")
    parser.add_argument("--timed", default="crop-flip;augmix;augmix:jsd=0;augmix:all_ops=true;pixmix;noise2net")
    parser.add_argument("--rounds", type=int, default=9, help="of the cost")
    parser.add_argument("--model", default="small", help="small architecture")
    parser.add_argument("--data", default="cifar10?split=train", help="trained on")
    parser.add_argument("--test-data", default="cifar10?split=test", help="asked about")
    parser.add_argument("--images", type=int, default=6000, help="training images")
    parser.add_argument("--test", type=int, default=1000, help="test images")
    parser.add_argument("--severity", type=int, default=3, help="of the corruptions")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the training images")
    parser.add_argument("--lr", type=float, default=0.1, help="largest learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and draws")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    print(f"{machine()}\n")
    if options.only != "gain":
        cost(options.timed.split(";"), options.rounds)
        print()
    if options.only != "cost":
        print(f"{options.images} training images, {options.epochs} epochs, {options.test} test images\n")
        gain(options.recipes.split(";" if ";" in options.recipes else ","), options)


if __name__ == "__main__":
    main()
