"""What ordinary processing and attacks do to a detector of generated images, as rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.rng import SampleRng
from unshaken.detect.watermark.purify import add_noise
from unshaken.detect.watermark.substitution import transferred
from unshaken.generate import EDM
from unshaken.papers.ai_image_detector_limits import ATTACKED, STRENGTHS, AIImageDetectorLimitsPaper
from unshaken.papers.ai_image_detector_limits.scores import (
    as_saved,
    peak_signal_to_noise,
    score,
    to_bytes,
    train_detector,
    write_scores,
)
from unshaken.papers.frame.context import Context
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.corruptions.jpeg_compression import jpeg_compression

Process = Callable[[Tensor, float, SampleRng], Tensor]
"""Images in [0, 1], a strength and the images' streams to processed images."""
SAMPLER_STEPS = 12


def resized(images: Tensor, factor: float, rng: SampleRng) -> Tensor:
    """Shrunk by a factor and brought back to the size they had, bilinear with antialiasing."""
    side = [max(1, round(n * factor)) for n in images.shape[2:]]
    small = F.interpolate(images, side, mode="bilinear", antialias=True)
    return F.interpolate(small, list(images.shape[2:]), mode="bilinear", antialias=True)


PROCESSES: Mapping[str, Process] = {
    "jpeg": lambda x, quality, rng: jpeg_compression(x, int(quality)),
    "resize": resized,
    "blur": lambda x, sigma, rng: gaussian_blur(x, sigma),
    "noise": add_noise,
}


def measure_generated(
    paper: AIImageDetectorLimitsPaper, context: Context, number: int, seed: int, generator: EDM, learn_real: Tensor,
    real: Tensor,
) -> None:  # fmt: skip
    """Rows of a detector on images as they are, processed and attacked.

    Args:
        paper: the sizes.
        context: with the repetition as its prefix.
        number: of the repetition; none generates an image of another.
        seed: of the repetition.
        generator: of images, all classes in turn.
        learn_real: uint8 `[N, C, H, W]`, to learn from, not seen by the generator.
        real: float `[n, C, H, W]` in [0, 1], 8-bit levels: the first half sets the threshold.
    """
    if context.has(f"generated.pgd.{ATTACKED[-1]}", "detector_scores"):
        return
    count, first, learned = paper.generated, number * paper.generated, 3 * paper.generated // 5
    labels = (torch.arange(count) + first) % generator.classes
    images = generator.sample(count, steps=SAMPLER_STEPS, seed=context.seed, first=first, labels=labels)
    learn_made, made = to_bytes(images[:learned]), as_saved(images[learned:])
    model = train_detector(learn_made, learn_real, epochs=paper.detector_epochs, noise=0.0, seed=seed)
    both = torch.cat([made, real])
    generated = torch.arange(len(both)) < len(made)
    half = len(made) + len(real) // 2
    fold = (generated | (torch.arange(len(both)) >= half)).long()
    ids = [f"{'made' if g else 'real'}-{number}-{i}" for i, g in enumerate(generated.tolist())]

    def write(name: str, method: str, strength: float | None, changed: Tensor, rows: Tensor) -> None:
        if not context.has(f"generated.{name}", "detector_scores"):
            write_scores(
                context, f"generated.{name}", method, [ids[i] for i in rows.tolist()], score(model, changed),
                generated[rows], fold[rows], strength=strength, psnr=peak_signal_to_noise(changed, both[rows]),
            )  # fmt: skip

    every = torch.arange(len(both))
    write("clean", "clean", None, both, every)
    for name, process in PROCESSES.items():
        rng = SampleRng.of(seed, f"limits/{name}", ids)
        for strength in STRENGTHS[name]:
            write(f"{name}.{strength:g}", name, strength, as_saved(process(both, strength, rng)), every)
    attacked = min(paper.generated_attacked, len(made), len(both) - half)
    some = torch.cat([every[:attacked], every[half : half + attacked]])
    for eps in ATTACKED:
        parts = [
            transferred(model, both[rows], toward, eps=eps / 255, steps=paper.steps, seed=seed)
            for rows, toward in ((some[:attacked], 0), (some[attacked:], 1))
        ]
        write(f"pgd.{eps}", "pgd", eps / 255, torch.cat(parts), some)
