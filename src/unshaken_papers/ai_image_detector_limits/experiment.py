"""Rows of watermarks under noise, purification, substitution and blending; then of generated images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.detect.watermark.learned_watermark import LearnedWatermark, WatermarkSettings, fit_watermark
from unshaken.detect.watermark.purify import DiffusionPurification, NoiseThenDenoise, Purifier, add_noise, as_ddpm
from unshaken.detect.watermark.spoof import blend, noise_images
from unshaken.detect.watermark.substitution import CLEAN, MARKED, transferred
from unshaken.detect.watermark.watermark import DCTWatermark, SpreadSpectrum, Watermarker, random_key
from unshaken.generate import EDM, EDMSettings, Fitting
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.diffusion import learned_edm
from unshaken_papers.ai_image_detector_limits import MODEL, AIImageDetectorLimitsPaper
from unshaken_papers.ai_image_detector_limits.deepfakes import measure_deepfakes
from unshaken_papers.ai_image_detector_limits.rules import (
    AMPLITUDES,
    BUDGET,
    DENOISED,
    EVERY,
    FRACTIONS,
    MODES,
    NOISES,
    PEAKS,
    STRONG,
)  # fmt: skip
from unshaken_papers.ai_image_detector_limits.scores import (
    as_saved,
    peak_signal_to_noise,
    score,
    to_bytes,
    train_detector,
    write_scores,
)

EPS = BUDGET / 255
STRENGTH, WITHSTOOD = 64 / 255, 0.3
"""Largest change of a pixel by the strong mark, and deviation of the noise that its decoder learns under."""
BETA = 0.7
DCT_BITS = 16
DCT_STEP = 0.3
LR = 3e-3
SEEDS = 1000
"""Repetitions of two run seeds share no draws as long as there are at most this number of them."""


def run(paper: AIImageDetectorLimitsPaper, context: Context) -> None:
    """Watermarks, and then classifiers of deepfakes, for each repetition.

    Raises:
        ParameterError: a model is named: there is none to be named here.
    """
    context.refuse_model(MODEL, "leave --model out; to try watermarks of your own use unshaken.detect")
    data, test = shuffled(context, context.data, paper.train, paper.images * paper.seeds)
    fitting = Fitting(steps=paper.denoiser_steps, lr=LR, seed=context.seed)
    noise = EDMSettings(mean=-1.0, std=0.8)  # about 0.2 in [0, 1] pixel units, which is what it is to remove
    denoiser = learned_edm(context, "denoiser", data, fitting, attention=False, noise=noise)
    with track("repetitions", paper.seeds) as task:
        for number in range(paper.seeds):
            own, seed = test[number * paper.images : (number + 1) * paper.images], SEEDS * context.seed + number
            part = context.within(f"s{number}")
            Marks(paper, part, seed, own.batch()).run(data, denoiser)
            learn, tested = data.first(paper.swapped), own.first(paper.swapped_tested)
            measure_deepfakes(part, learn, tested, epochs=paper.swapped_epochs, seed=seed)
            task.advance()


def shuffled(context: Context, spec: str, train: int, test: int) -> tuple[Split, Split]:
    """Stratified parts of both splits, in an order drawn from the run seed."""
    learned, held = (
        context.datasets.stratified(split, n, context.seed, spec) for split, n in (("train", train), ("test", test))
    )
    order = torch.randperm(len(learned), generator=torch.Generator().manual_seed(context.seed))
    return learned[order], held[np.random.default_rng(context.seed).permutation(len(held))]


@dataclass(frozen=True, slots=True)
class Marks:
    """One repetition.

    Args:
        paper: the sizes.
        context: with the repetition as its prefix.
        seed: of patterns, keys, networks and noise.
        batch: clean images that no other repetition has.
    """

    paper: AIImageDetectorLimitsPaper
    context: Context
    seed: int
    batch: Batch

    def run(self, data: Split, denoiser: EDM) -> None:
        """All rows; the mark learns from the first half of the data, its substitute from the other."""
        half = len(data) // 2
        learned = self.learned_mark(data[:half])
        self.purify(denoiser, learned)
        self.substitute(learned, data.images[half:])
        self.blend(learned)

    def learned_mark(self, data: Split) -> LearnedWatermark:
        """A strong learned watermark with a random key."""
        settings = WatermarkSettings(
            image=self.shape, strength=STRENGTH, noise=WITHSTOOD, steps=self.paper.mark_steps, seed=self.seed
        )
        secret = random_key(settings.n_bits, settings.seed)
        key = {"data": data.digest, "settings": settings.model_dump(mode="json")}
        made = LearnedWatermark(settings, secret)
        weights = self.context.weights(
            "watermark", key, lambda: fit_watermark(settings, data.images, secret).state_dict(), [fit_watermark]
        )
        made.load_state_dict(weights)
        return made.eval()

    def missing(self, label: str) -> bool:
        """Whether a condition's rows are still to be made."""
        return not self.context.has(label, "detector_scores")

    def rng(self, use: str, ids: tuple[str, ...]) -> SampleRng:
        """Streams of images for one use."""
        return SampleRng.of(self.seed, f"limits/{use}", ids)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.batch.images.shape[1:]
        return channels, height, width

    def purify(self, denoiser: EDM, learned: LearnedWatermark) -> None:
        """Noise alone on all images; noise and a denoiser, and a diffusion's way there and back, on the first ones."""
        paper, chain = self.paper, DiffusionPurification(as_ddpm(denoiser), EVERY)
        for a in AMPLITUDES:
            mark = SpreadSpectrum(self.shape, a / 255, seed=self.seed)
            for s in NOISES:
                self.pair(f"noise.a{a}.{s:g}", add_noise, s, mark, len(self.batch))
            for s in DENOISED:
                self.pair(f"denoised.a{a}.{s:g}", NoiseThenDenoise(denoiser), s, mark, paper.denoised)
            if a == AMPLITUDES[0]:
                for f in FRACTIONS:
                    self.pair(f"diffusion.a{a}.{f:g}", chain, f, mark, paper.diffused)
        self.pair(f"noise.{STRONG}.0", add_noise, 0.0, learned, len(self.batch))
        for f in FRACTIONS:
            self.pair(f"diffusion.{STRONG}.{f:g}", chain, f, learned, paper.diffused)

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
            parts = [
                purifier(x, strength, self.rng(f"{name}/{kind}", ids[i * 250 : i * 250 + len(x)]))
                for i, x in enumerate(torch.split(images, 250))
            ]
            pieces.append((mark.score(torch.cat(parts)), peak_signal_to_noise(torch.cat(parts), images)))
        scores, psnr = (torch.cat([p[k] for p in pieces]) for k in (0, 1))
        fold = torch.arange(count) % 2
        abnormal = torch.arange(2 * count) < count
        write_scores(
            self.context, name, name.partition(".")[0], ids * 2, scores, abnormal, fold.repeat(2), strength=strength,
            change=change.repeat(2), psnr=psnr,
        )  # fmt: skip

    def substitute(self, mark: LearnedWatermark, learn: Tensor) -> None:
        """A substitute of the learned mark's detector, and what its adversarial examples do to the detector itself.

        Args:
            mark: the learned watermark.
            learn: uint8 images, the first half to be marked, the other clean.
        """
        if not self.missing("substitute.spoof-universal"):
            return
        attacked, steps = self.paper.attacked, self.paper.steps
        marked, clean = learn.tensor_split(2)
        encoded, epochs = to_bytes(mark.encode(marked.float() / 255)), self.paper.substitute_epochs
        model = train_detector(encoded, clean, epochs=epochs, noise=0.4, seed=self.seed)
        shown = as_saved(mark.encode(self.batch.images))
        both = torch.cat([score(model, shown), score(model, self.batch.images)])
        if self.missing("substitute.held"):
            half = torch.arange(len(both)) < len(shown)
            write_scores(self.context, "substitute.held", "substitute", self.batch.ids * 2, both, half, 1)
        for kind, images, toward in (
            ("evade", shown[:attacked], CLEAN),
            ("spoof", self.batch.images[:attacked], MARKED),
        ):
            noise = self.rng(kind, self.batch.ids[:attacked]).uniform(*self.shape, low=-EPS, high=EPS)
            self.decode(f"substitute.{kind}-none", mark, images, images, kind)
            self.decode(f"substitute.{kind}-uniform", mark, (images + noise).clamp(0, 1), images, kind)
            for mode in MODES:
                if self.missing(f"substitute.{kind}-{mode}"):
                    found = transferred(model, images, toward, eps=EPS, mode=mode, steps=steps, seed=self.seed)
                    self.decode(f"substitute.{kind}-{mode}", mark, found, images, kind)

    def decode(self, label: str, mark: Watermarker, images: Tensor, before: Tensor, kind: str) -> None:
        """Rows of the share of bits that the mark's own detector reads correctly."""
        if self.missing(label):
            ids, scores, psnr = self.batch.ids[: len(images)], mark.score(images), peak_signal_to_noise(images, before)
            write_scores(self.context, label, "substitute", ids, scores, kind == "evade", 1, strength=EPS, psnr=psnr)

    def blend(self, learned: LearnedWatermark) -> None:
        """Marked noise, and unmarked, blended into the first clean images; all others say what a false alarm is."""
        if not self.missing(f"blend.{STRONG}.control.{PEAKS[-1]:g}"):
            return
        count = self.paper.attacked
        clean, rest = self.batch[slice(0, count)], self.batch[slice(count, len(self.batch))]
        marks: dict[str, Watermarker] = {
            "spread": SpreadSpectrum(self.shape, AMPLITUDES[-1] / 255, seed=self.seed),
            "dct": DCTWatermark(random_key(DCT_BITS, self.seed), step=DCT_STEP),
            STRONG: learned,
        }
        for name, mark in marks.items():
            self.score_unmarked(f"blend.{name}.clean", mark, rest.images, rest.ids, 0, None)
            for peak in PEAKS:
                noise = noise_images(self.shape, peak, self.rng(f"blend-{peak:g}", clean.ids))
                for kind, images in (("marked", mark.encode(noise)), ("control", noise)):
                    found = as_saved(blend(clean.images, images, BETA))
                    self.score_unmarked(f"blend.{name}.{kind}.{peak:g}", mark, found, clean.ids, 1, peak)

    def score_unmarked(
        self, label: str, mark: Watermarker, images: Tensor, ids: tuple[str, ...], fold: int, peak: float | None
    ) -> None:
        """Rows of images none of which a watermarker has marked."""
        if self.missing(label):
            write_scores(self.context, label, "blend", ids, mark.score(images), False, fold, strength=peak)
