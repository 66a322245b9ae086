"""What noise, purification, substitution and blending do to watermarks, as rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.rng import SampleRng
from unshaken.detect.watermark.learned_watermark import LearnedWatermark
from unshaken.detect.watermark.purify import DiffusionPurification, NoiseThenDenoise, Purifier, add_noise, as_ddpm
from unshaken.detect.watermark.spoof import blend, noise_images
from unshaken.detect.watermark.substitution import CLEAN, MARKED, Mode, transferred
from unshaken.detect.watermark.watermark import DCTWatermark, SpreadSpectrum, Watermarker, random_key
from unshaken.generate import EDM
from unshaken.papers._limits_nets import score, told_apart
from unshaken.papers._limits_rows import as_saved, drawn_from, peak_signal_to_noise, scored, to_bytes
from unshaken.papers.base import Bench

AMPLITUDES = (2, 8)
"""Of the spread-spectrum pattern, in 255ths."""
NOISES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
DENOISED = (0.1, 0.2)
FRACTIONS = (0.1, 0.2, 0.3)
EVERY = 20
"""Timesteps that one step of the way back spans."""
EPS = 8 / 255
MODES: tuple[Mode, ...] = ("image", "universal")
PEAKS = (1.0, 0.75, 0.5)
BETA = 0.7
DCT_BITS = 16
DCT_STEP = 0.3


@dataclass(frozen=True, slots=True)
class Marks:
    """One repetition.

    Args:
        bench: where rows go.
        number: of the repetition, part of every condition's name.
        batch: clean images that no other repetition has.
    """

    bench: Bench
    number: int
    batch: Batch

    def missing(self, name: str) -> bool:
        """Whether a condition's rows are still to be made."""
        return not self.bench.run.has_rows("detector_scores", self.name(name), 0)

    def name(self, name: str) -> str:
        """A condition's name in rows."""
        return f"s{self.number}.{name}"

    @property
    def seed(self) -> int:
        """Of patterns, keys, networks and noise."""
        return drawn_from(self.bench, self.number)

    def rng(self, use: str, ids: tuple[str, ...]) -> SampleRng:
        """Streams of images for one use."""
        return SampleRng.of(self.seed, f"limits/{use}", ids)

    def pair(self, name: str, purifier: Purifier, strength: float, mark: Watermarker, count: int) -> None:
        """Rows of marked and of clean images after the same purification, each with draws of its own."""
        if not self.missing(name):
            return
        count = min(count, len(self.batch))
        clean = self.batch.images[:count]
        marked, ids = mark.encode(clean), self.batch.ids[:count]
        change = (marked - clean).flatten(1).norm(dim=1)
        pieces = []
        for kind, images in (("marked", marked), ("clean", clean)):
            out = torch.cat(
                [
                    purifier(x, strength, self.rng(f"{name}/{kind}", ids[i * 250 : i * 250 + len(x)]))
                    for i, x in enumerate(torch.split(images, 250))
                ]
            )
            pieces.append((mark.score(out), peak_signal_to_noise(out, images)))
        scores, psnr = (torch.cat([p[k] for p in pieces]) for k in (0, 1))
        fold = torch.arange(count) % 2
        abnormal = torch.arange(2 * count) < count
        rows = scored(
            self.name(name),
            name.partition(".")[0],
            ids * 2,
            scores,
            abnormal,
            fold.repeat(2),
            strength=strength,
            change=change.repeat(2),
            psnr=psnr,
        )
        self.bench.keep([rows], 0)

    def purify(self, denoiser: EDM, denoised: int, diffused: int) -> None:
        """Noise alone on all images; noise and a denoiser, and a diffusion's way there and back, on the first ones."""
        chain = DiffusionPurification(as_ddpm(denoiser), EVERY)
        for a in AMPLITUDES:
            mark = SpreadSpectrum(self.shape, a / 255, seed=self.seed)
            for s in NOISES:
                self.pair(f"noise.a{a}.{s:g}", add_noise, s, mark, len(self.batch))
            for s in DENOISED:
                self.pair(f"denoised.a{a}.{s:g}", NoiseThenDenoise(denoiser), s, mark, denoised)
            for f in FRACTIONS:
                self.pair(f"diffusion.a{a}.{f:g}", chain, f, mark, diffused)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.batch.images.shape[1:]
        return channels, height, width

    def substitute(self, mark: LearnedWatermark, learn: Tensor, epochs: int, attacked: int, steps: int) -> None:
        """A substitute of the learned mark's detector, and what its adversarial examples do to the detector itself.

        Args:
            mark: the learned watermark.
            learn: uint8 images, the first half to be marked, the other clean.
            epochs: of the substitute's training.
            attacked: test images that are attacked.
            steps: of PGD.
        """
        if not self.missing("substitute.spoof-universal"):
            return
        marked, clean = learn.tensor_split(2)
        model = told_apart(to_bytes(mark.encode(marked.float() / 255)), clean, epochs=epochs, noise=0.4, seed=self.seed)
        shown = as_saved(mark.encode(self.batch.images))
        both = torch.cat([score(model, shown), score(model, self.batch.images)])
        half = torch.arange(len(both)) < len(shown)
        name, ones = self.name("substitute.held"), torch.ones(len(both), dtype=torch.int64)
        self.bench.keep([scored(name, "substitute", self.batch.ids * 2, both, half, ones)], 0)
        for kind, images, toward in (
            ("evade", shown[:attacked], CLEAN),
            ("spoof", self.batch.images[:attacked], MARKED),
        ):
            noise = self.rng(kind, self.batch.ids[:attacked]).uniform(*self.shape, low=-EPS, high=EPS)
            self._decoded(f"substitute.{kind}-none", mark, images, images, kind)
            self._decoded(f"substitute.{kind}-uniform", mark, (images + noise).clamp(0, 1), images, kind)
            for mode in MODES:
                found = transferred(model, images, toward, eps=EPS, mode=mode, steps=steps, seed=self.seed)
                self._decoded(f"substitute.{kind}-{mode}", mark, found, images, kind)

    def _decoded(self, name: str, mark: Watermarker, images: Tensor, before: Tensor, kind: str) -> None:
        n = len(images)
        rows = scored(
            self.name(name),
            "substitute",
            self.batch.ids[:n],
            mark.score(images),
            torch.full((n,), kind == "evade"),
            torch.ones(n, dtype=torch.int64),
            strength=EPS,
            psnr=peak_signal_to_noise(images, before),
        )
        self.bench.keep([rows], 0)

    def blended(self, learned: LearnedWatermark, count: int) -> None:
        """Marked noise, and unmarked, blended into the first clean images; all others say what a false alarm is."""
        if not self.missing(f"blend.learned.control.{PEAKS[-1]:g}"):
            return
        clean, rest = self.batch[slice(0, count)], self.batch[slice(count, len(self.batch))]
        marks: dict[str, Watermarker] = {
            "spread": SpreadSpectrum(self.shape, AMPLITUDES[-1] / 255, seed=self.seed),
            "dct": DCTWatermark(random_key(DCT_BITS, self.seed), step=DCT_STEP),
            "learned": learned,
        }
        for label, mark in marks.items():
            self._blend(f"blend.{label}.clean", mark.score(rest.images), rest.ids, torch.zeros(len(rest.ids)), None)
            for peak in PEAKS:
                noise = noise_images(self.shape, peak, self.rng(f"blend-{peak:g}", clean.ids))
                for kind, images in (("marked", mark.encode(noise)), ("control", noise)):
                    found = mark.score(as_saved(blend(clean.images, images, BETA)))
                    self._blend(f"blend.{label}.{kind}.{peak:g}", found, clean.ids, torch.ones(count), peak)

    def _blend(self, name: str, scores: Tensor, ids: tuple[str, ...], fold: Tensor, peak: float | None) -> None:
        """Rows of images none of which a watermarker has marked."""
        clean = torch.zeros(len(ids), dtype=torch.bool)
        self.bench.keep([scored(self.name(name), "blend", ids, scores, clean, fold.long(), strength=peak)], 0)
