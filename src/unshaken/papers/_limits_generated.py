"""What ordinary processing and attacks do to a detector of generated images, as rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.rng import SampleRng
from unshaken.detect.watermark.purify import add_noise
from unshaken.detect.watermark.substitution import transferred
from unshaken.generate import EDM
from unshaken.papers._limits_nets import score, told_apart
from unshaken.papers._limits_rows import as_saved, drawn_from, peak_signal_to_noise, scored, to_bytes
from unshaken.papers.base import Bench
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.corruptions.jpeg_compression import jpeg_compression

Process = Callable[[Tensor, float, SampleRng], Tensor]
"""Images in [0, 1], a strength and the images' streams to processed images."""


def resized(images: Tensor, factor: float, rng: SampleRng) -> Tensor:
    """Shrunk by a factor and brought back to the size they had, bilinear with antialiasing."""
    side = [max(1, round(n * factor)) for n in images.shape[2:]]
    small = F.interpolate(images, side, mode="bilinear", antialias=True)
    return F.interpolate(small, list(images.shape[2:]), mode="bilinear", antialias=True)


PROCESSES: dict[str, tuple[Process, tuple[float, ...]]] = {
    "jpeg": (lambda x, quality, rng: jpeg_compression(x, int(quality)), (95, 75, 50, 25)),
    "resize": (resized, (0.75, 0.5, 0.25)),
    "blur": (lambda x, sigma, rng: gaussian_blur(x, sigma), (0.5, 1, 2)),
    "noise": (add_noise, (0.01, 0.02, 0.05, 0.1, 0.2)),
}
"""Strengths: JPEG's quality, the share of the side, and deviations in pixels and in [0, 1] pixel units."""
ATTACKED = (1, 2, 4)
"""Radii of PGD, in 255ths."""
SAMPLER_STEPS = 12


@dataclass(frozen=True, slots=True)
class Kinds:
    """Real and generated images of one repetition.

    Args:
        learn_real: uint8 `[N, C, H, W]`, not seen by the generator.
        learn_made: uint8 `[M, C, H, W]`, generated.
        real: float `[n, C, H, W]` in [0, 1], 8-bit levels: the first half sets the threshold.
        made: float `[m, C, H, W]`, likewise, generated.
    """

    learn_real: Tensor
    learn_made: Tensor
    real: Tensor
    made: Tensor


def drawn(generator: EDM, count: int, first: int, seed: int) -> Tensor:
    """Generated images with all classes in turn, uint8 `[count, C, H, W]`."""
    labels = (torch.arange(count) + first) % generator.classes
    return to_bytes(generator.sample(count, steps=SAMPLER_STEPS, seed=seed, first=first, labels=labels))


@dataclass(frozen=True, slots=True)
class Generated:
    """One repetition.

    Args:
        bench: where rows go.
        number: of the repetition, part of every condition's name.
    """

    bench: Bench
    number: int

    def run(self, kinds: Callable[[], Kinds], epochs: int, attacked: int, steps: int) -> None:
        """Rows of the detector on images as they are, processed and attacked.

        Args:
            kinds: gives the images; not asked where all rows are there.
            epochs: of the detector's training.
            attacked: images of each kind that are attacked.
            steps: of PGD.
        """
        last = f"s{self.number}.generated.pgd.{ATTACKED[-1]}"
        if self.bench.run.has_rows("detector_scores", last, 0):
            return
        images, seed = kinds(), drawn_from(self.bench, self.number)
        model = told_apart(images.learn_made, images.learn_real, epochs=epochs, noise=0.0, seed=seed)
        both = torch.cat([images.made, images.real])
        generated = torch.arange(len(both)) < len(images.made)
        half = len(images.made) + len(images.real) // 2
        fold = (generated | (torch.arange(len(both)) >= half)).long()
        ids = [f"{'made' if g else 'real'}-{self.number}-{i}" for i, g in enumerate(generated.tolist())]

        def keep(name: str, method: str, strength: float | None, changed: Tensor, rows: Tensor) -> None:
            part = scored(
                f"s{self.number}.generated.{name}",
                method,
                [ids[i] for i in rows.tolist()],
                score(model, changed),
                generated[rows],
                fold[rows],
                strength=strength,
                psnr=peak_signal_to_noise(changed, both[rows]),
            )
            self.bench.keep([part], 0)

        every = torch.arange(len(both))
        keep("clean", "clean", None, both, every)
        for name, (process, strengths) in PROCESSES.items():
            rng = SampleRng.of(seed, f"limits/{name}", ids)
            for strength in strengths:
                keep(f"{name}.{strength:g}", name, strength, as_saved(process(both, strength, rng)), every)
        attacked = min(attacked, len(images.made), len(both) - half)
        some = torch.cat([every[:attacked], every[half : half + attacked]])
        for eps in ATTACKED:
            parts = [
                transferred(model, both[rows], toward, eps=eps / 255, steps=steps, seed=seed)
                for rows, toward in ((some[:attacked], 0), (some[attacked:], 1))
            ]
            keep(f"pgd.{eps}", "pgd", eps / 255, torch.cat(parts), some)
