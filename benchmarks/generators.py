"""Images a second of the package's own generators, by the number of steps.

    python benchmarks/generators.py [--side 28 --channels 1 --images 64 --batch 64 --rounds 3]

Default networks with weights as they start: a trained one makes as many images a second. Each kind and number of steps
makes the same number of images in turns, after a warm-up; median, least and largest of the rounds. Passes are those of
the network for one image, counted from outside: a Heun step of EDM takes two. Nothing is judged but that the images lie
in [0, 1] and that none is a number short.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import torch
from _peers import machine

from unshaken.generate import DDPM, EDM, UNet, UNetSettings
from unshaken.generate.class_gaussian import ClassGaussianSettings, fit_class_gaussian
from unshaken.generate.generator import Generator
from unshaken.generate.latent.vae import VAESettings

STEPS = {"edm": (5, 10, 18), "ddpm": (5, 10, 25, 100)}


def generators(channels: int, side: int) -> Iterator[tuple[Generator, tuple[int | None, ...]]]:
    """Each kind, with the numbers of steps to try."""
    image = (channels, side, side)
    made = torch.randint(0, 256, (200, *image), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    classes = torch.arange(len(made)) % 10
    yield fit_class_gaussian(made, classes, ClassGaussianSettings(), seed=0), (None,)
    yield VAESettings().build(image, 0).eval(), (None,)
    for cls in (EDM, DDPM):
        yield cls(UNet(UNetSettings(image=image), seed=0)).eval(), STEPS[cls.kind]


def passes_of(model: Generator, steps: int | None) -> int | str:
    """Passes of the network of noise that make one image; empty for a kind without."""
    net, count = getattr(model, "net", None), 0
    if net is None:
        return ""

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    handle = net.register_forward_hook(note)
    model.sample(1, steps=steps)
    handle.remove()
    return count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("side", 28), ("channels", 1), ("images", 64), ("batch", 64), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    cases = [(m, s) for m, several in generators(options.channels, options.side) for s in several]
    seconds: list[list[float]] = [[] for _ in cases]
    for turn in range(options.rounds + 1):  # the first is the warm-up
        for k, (model, steps) in enumerate(cases):
            began = time.perf_counter()
            images = model.sample(options.images, steps=steps, batch_size=options.batch, seed=turn)
            seconds[k] += [time.perf_counter() - began] if turn else []
            assert images.shape[0] == options.images
            assert bool(((images >= 0) & (images <= 1)).all())
    print(machine())
    print(
        f"\n{options.channels} x {options.side} x {options.side} px, {options.images} images, batch {options.batch}\n"
    )
    print("| kind | steps | passes an image | images a second |")
    print("|---|---|---|---|")
    for (model, steps), taken in zip(cases, seconds, strict=True):
        rates = sorted(options.images / t for t in taken)
        text = f"{statistics.median(rates):.3g} ({rates[0]:.3g} to {rates[-1]:.3g})"
        print(f"| {model.kind} | {'' if steps is None else steps} | {passes_of(model, steps)} | {text} |")


if __name__ == "__main__":
    main()
