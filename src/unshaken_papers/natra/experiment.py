"""A generator and its directions for each seed, networks that learn its edits, and shifted test images."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.attack.black_box.natra import NaTra
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, predict
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.registry import parse_method
from unshaken.core.rng import SampleRng
from unshaken.generate.fitting import Fitting, fit
from unshaken.generate.latent.directions import find_directions
from unshaken.generate.latent.inversion import Inversion, invert
from unshaken.generate.latent.natural_edits import (
    MOST_CHANGED,
    NaturalEdits,
    changed_shares,
    edits_of,
    statistic_correlations,
)
from unshaken.generate.latent.vae import VAE, VAESettings
from unshaken.harden.recipes.adversarial.natra_training import NaTraTraining
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken_papers.natra import ARMS, SHIFTS, STAGES, STANDARD, NaTraPaper
from unshaken_papers.natra.shifts import APPLY

SCALED, CHECKED, HALVINGS = 1000, 500, 6
"""Training images whose codes scale the directions, those on which classes are checked, and halvings at most."""


def run(paper: NaTraPaper, context: Context) -> None:
    """Every seed; data is read first, so that absent data costs no time."""
    parts = context.datasets.parts(paper.images + paper.reference, paper.test)
    test = parts.testing.batch()
    with track("natra", paper.seeds) as task:
        for number, repetition in enumerate(context.repetitions(paper.seeds)):
            train, other = parts.training.cut(paper.images * len(parts.training) // (paper.images + paper.reference),
                                              repetition.seed)  # fmt: skip
            generator = learned_vae(paper, repetition, train)
            if not number:
                inversions(paper, repetition, generator, test)
            training = plan_training(paper.epochs, repetition.seed, lr=0.05, batch_size=64, held_out=1)
            reference = repetition.net("reference", context.model, other, training).model
            edits, amplitude = filtered_edits(paper, repetition, generator, reference, train)
            attack = NaTra(amplitude=amplitude, draws=paper.attacked).with_edits(edits)
            for name, text in ARMS.items():
                recipes = [recipe_of(paper, text, edits, amplitude)] if text else []
                model = repetition.net(name, context.model, train, training, recipes).model
                show(repetition, name, model, test)
                repetition.evaluate(f"{name}.edited", attack, model, test, keep_images=name == STANDARD)
            edited = repetition.examples(f"{STANDARD}.edited", test)
            repetition.predict("reference.edited", reference, test, examples=edited)
            repetition.predict("reference.clean", reference, test)
            task.advance()


def learned_vae(paper: NaTraPaper, context: Context, data: Split) -> VAE:
    """A VAE of the training images, from the cache or trained."""
    channels, height, width = data.images.shape[1:]
    settings = VAESettings(latents=paper.latents)
    fitting = Fitting(steps=paper.fitting, batch_size=100, lr=3e-3, seed=context.seed)
    model = settings.build((channels, height, width), context.seed)
    key = {"data": data.digest, "settings": settings.model_dump(), "fitting": fitting.model_dump()}

    def make() -> dict[str, Tensor]:
        return fit(model, data.images, None, fitting).model.state_dict()

    model.load_state_dict(context.weights("vae", key, make, [fit, VAE]))
    return model.eval().requires_grad_(False)


def filtered_edits(
    paper: NaTraPaper, context: Context, generator: VAE, reference: Classifier, train: Split
) -> tuple[NaturalEdits, float]:
    """Edits along those directions that keep the class by the reference, and the amplitude at which they do.

    The amplitude is halved while there is none; of the last one the direction that changes fewest classes is kept.
    """
    shown = train.first(SCALED).batch()
    edits = edits_of(generator, shown.images, paper.directions, seed=context.seed)
    some, labels = shown.images[:CHECKED], train.labels[:CHECKED]
    oracle = Oracle(reference)
    amplitude = 2 * paper.amplitude
    for _ in range(HALVINGS):
        amplitude /= 2
        changed = changed_shares(edits, lambda images: predict(oracle.exact(images)), some, labels, amplitude)
        kept = changed <= MOST_CHANGED
        if bool(kept.any()):
            break
    else:
        kept = changed == changed.min()
    if not context.has("edits", "directions"):
        moves = statistic_correlations(edits, some, amplitude)
        _, eigenvalues = find_directions(generator, paper.directions)
        columns = {"eigenvalue": eigenvalues, "scale": edits.scales, "changed": changed, "kept": kept, **moves}
        context.write(
            "directions", "edits", {"id": [str(j) for j in range(edits.count)], "amplitude": amplitude, **columns}
        )
    return NaturalEdits(generator, edits.directions[kept], edits.scales[kept]), amplitude


def recipe_of(paper: NaTraPaper, text: str, edits: NaturalEdits, amplitude: float) -> NaTraTraining:
    """The recipe of an arm with its generator."""
    found: NaTraTraining = parse_method(text, "harden")
    return NaTraTraining(edit=found.edit, amplitude=amplitude, draws=paper.draws).with_edits(edits)


def show(context: Context, name: str, model: Classifier, test: Batch) -> None:
    """Outcome rows of a network on clean test images and under each shift."""
    context.predict(f"{name}.clean", model, test)
    for shift in SHIFTS:
        if not context.has(f"{name}.{shift}"):
            rng = SampleRng.of(context.seed, f"natra-{shift}", test.ids)
            changed = test.with_images(APPLY[shift](test.images, rng))
            context.predict(f"{name}.{shift}", model, changed, method=shift)


def inversions(paper: NaTraPaper, context: Context, generator: VAE, test: Batch) -> None:
    """Rows of the error of test images after each part of the inversion by descent, from the mean code."""
    if context.has("descent", "inversions"):
        return
    batch = test[slice(0, paper.inverted)]
    with torch.no_grad():
        start = generator.mean_code()
    errors = invert(generator, batch.images, Inversion(steps=paper.inversion), start=start).errors
    context.write("inversions", "descent", {"id": list(batch.ids), **{stage: errors[stage] for stage in STAGES}})
