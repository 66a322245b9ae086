"""Sets of images made from photos, and how far the features of each image turn under a slight noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.errors import DataError
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.data import stream
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.screen import FittedDetector, screen
from unshaken.detect.scores.rigid import RIGID
from unshaken.generate import Fitting
from unshaken.generate.auto_encoder import AutoEncoder, fit_auto_encoder
from unshaken.papers.cache import digest_tensors
from unshaken.papers.context import Context
from unshaken.papers.diffusion import learned_edm
from unshaken_papers.rigid import AS_IS, CORRUPTIONS, MAIN, NOISE, TRACES, UPSCALED, RIGIDPaper
from unshaken_papers.rigid.sets import corrupt, made_of, small_sets
from unshaken_papers.rigid.stand_ins import BLOCK
from unshaken_papers.rigid.upscaler import find_upscaler, load_upscaler

PIXELS = 0.226
"""One unit of normalised noise in [0, 1] pixels: the mean of ImageNet's deviations 0.229, 0.224 and 0.225."""
LIMIT = 8
"""Photos in one pass: few enough to stay in a processor's cache."""


def run(paper: RIGIDPaper, context: Context) -> None:
    """Make the sets of each seed and score them."""
    model, count = context.load_model(context.model), paper.photos
    groups, others = read_photos(paper, context, model.view)
    place = find_upscaler()
    upscaler = None if place is None else load_upscaler(place)
    context.record.add_input("upscaler", "absent" if upscaler is None else digest_tensors(upscaler.state_dict()))
    scores = Scores(paper, context, model, groups[0].images[:count])
    if paper.small:
        small = replace(context.datasets, spec=paper.small).parts(20_000, 400)
        parts = torch.arange(len(small.testing)).tensor_split(paper.seeds)
    with track("rigid", paper.seeds) as task:
        for i, seed in enumerate(context.seeds(paper.seeds)):
            part = context.within(f"s{seed}")
            coder = auto_encoder(part, others, paper.coder_steps, seed)
            photos, calibration = groups[i][slice(0, count)], groups[i][slice(count, None)]
            sets = {"real": photos, **made_of(photos, coder, upscaler, seed), "calibration": calibration}
            if paper.small:
                real = small.testing[parts[i][:count]].batch()
                fitting = Fitting(steps=paper.generator_steps, lr=3e-3, seed=seed)
                generator = learned_edm(part, "generator", small.training, fitting)
                sets |= small_sets(real, generator, photos.images.shape[2], seed)
            scores.describe(seed, photos)
            for name, batch in sets.items():
                scores.write(seed, name, batch)
            for treatment in CORRUPTIONS:
                for name in ("real", *TRACES, UPSCALED):
                    if name in sets:
                        scores.write(seed, name, sets[name], treatment)
            scores.write(seed, "real", photos, again=True)
            task.advance()


def auto_encoder(context: Context, photos: Tensor, steps: int, seed: int) -> AutoEncoder:
    """An auto-encoder that learned some photos, from the cache or trained."""
    model = AutoEncoder(seed)
    key = {"photos": digest_tensors({"": photos}), "steps": steps, "seed": seed}
    code = [fit_auto_encoder]
    weights = context.weights("auto-encoder", key, lambda: fit_auto_encoder(photos, steps, seed).state_dict(), code)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def read_photos(paper: RIGIDPaper, context: Context, view: View | None) -> tuple[list[Batch], Tensor]:
    """Disjoint photos for the seeds, those that are scored first; and those that the auto-encoder learns from.

    Raises:
        DataError: there are too few, or their sides are no multiples of 8.
    """
    dataset = context.datasets.open()
    each, n = paper.photos + paper.calibration, paper.seeds
    wanted = each * n + paper.learned
    if len(dataset) < wanted:
        raise DataError(
            f"data {context.data!r} has {len(dataset)} photos; {n} seeds of {each} and {paper.learned} to learn from "
            f"are {wanted}: lower photos, calibration, seeds or learned"
        )
    order = np.argsort(SampleRng.of(context.seed, "rigid", dataset.ids).keys.numpy(), kind="stable")[:wanted]
    items = [b for b in stream(dataset, order.tolist(), view=view) if isinstance(b, Batch)]
    if (lost := wanted - sum(map(len, items))) > 0:
        raise DataError(f"data {context.data!r}: {lost} photos cannot be read")
    whole = Batch.concat(items)
    if whole.images.shape[1] != 3 or any(s % BLOCK for s in whole.images.shape[2:]):
        raise DataError(
            f"data {context.data!r}: images of shape {tuple(whole.images.shape[1:])}; three channels and sides that "
            f"are multiples of {BLOCK} are needed: add ?size="
        )
    return [whole[slice(i * each, (i + 1) * each)] for i in range(n)], whole.images[each * n :]


class Scores:
    """A model's features, and rows of how far they move.

    Args:
        paper: noise levels and draws.
        context: of the experiment.
        model: of the features.
        example: a few photos.
    """

    def __init__(self, paper: RIGIDPaper, context: Context, model: Classifier, example: Tensor) -> None:
        self.context, self.model = context, model
        with evaluating(model):
            self.anatomy = Anatomy.of(model, example)
            self.copy = search_copy(model, example[:2])
        main = {NOISE: RIGID(sigma=MAIN * PIXELS, copies=paper.draws)}
        others = {f"noise-{v:g}": RIGID(sigma=v * PIXELS, copies=1) for v in paper.lambdas if v != MAIN}
        self.main, self.sweep = main, {**main, **others, "blur": RIGID(perturbation="blur")}

    def write(self, seed: int, name: str, batch: Batch, treatment: str = AS_IS, *, again: bool = False) -> None:
        """Rows of one set; a photo's noise is the same whatever was made of it.

        Args:
            seed: of the noise.
            name: of the set.
            batch: its pictures.
            treatment: what all sets go through.
            again: in another order and in other batches, at `MAIN` alone.
        """
        label = f"s{seed}.{name}.{treatment}{'.again' if again else ''}"
        if self.context.has(label, "moves"):
            return
        batch = corrupt(batch, treatment, seed)
        if again:
            batch = batch[torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))]
        whole = treatment == AS_IS and not again and name != "calibration"
        methods: Mapping[str, RIGID] = self.sweep if whole else self.main
        with evaluating(self.model):
            oracle = Oracle(self.model, limit=LIMIT - 3 if again else LIMIT, search_copy=self.copy)
            fitted = {how: FittedDetector(method, {}, torch.zeros(0)) for how, method in methods.items()}
            found = screen(fitted, self.anatomy, batch, oracle, seed)
        own = {"id": batch.ids, "seed": seed, "set": name, "treatment": treatment}
        self.context.write("moves", label, [{**own, "how": how, "score": one.score} for how, one in found.items()])

    def describe(self, seed: int, batch: Batch) -> None:
        """Write rows on the photos of a seed."""
        if self.context.has(f"s{seed}.content", "content"):
            return
        x = batch.images.double().mean(1)
        step = (x.diff(dim=1).abs().mean((1, 2)) + x.diff(dim=2).abs().mean((1, 2))) / 2
        content = {"brightness": x.mean((1, 2)), "contrast": x.flatten(1).std(1), "detail": step}
        self.context.write("content", f"s{seed}.content", {"id": list(batch.ids), "label": batch.labels, **content})
