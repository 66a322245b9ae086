"""Plain and robust networks on CIFAR-10 and on outlines with gratings, and what each goes by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from unshaken.attack.gradient.pgd import PGD
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.data.arrays import InMemory
from unshaken.explain.biases.cue_conflict import CueConflict
from unshaken.explain.biases.cue_sets import gratings, textured_outlines
from unshaken.explain.biases.distortions import Distortions
from unshaken.explain.biases.frequency_bias import FrequencyBias
from unshaken.explain.biases.input_kinds import InputKinds
from unshaken.explain.biases.smoothness import Smoothness, convolutions
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.units.concepts import made_concepts
from unshaken.explain.units.exemplars import probe
from unshaken.explain.units.netdissect import NetDissect, count_overlap
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts, Split
from unshaken.papers.networks import plan_training
from unshaken.stress.cues.silhouette import foreground
from unshaken_papers.shape_simplicity_bias import (
    EPS,
    FAINT,
    GARMENTS,
    JUDGE,
    NOISE,
    PLAIN,
    ROBUST,
    STIMULI,
    STRONG,
    TOP,
    ShapeSimplicityPaper,
)

BATCH = 250
QUANTILE = 0.995


def run(paper: ShapeSimplicityPaper, context: Context) -> None:
    """Both halves, for every seed; data is read first, so that absent data costs no time."""
    parts = context.datasets.parts(paper.images, paper.tested)
    learned, held = (
        outlines_of(context.datasets.read(split, paper.garments)).stratified(n, context.seed)
        for split, n in (("train", paper.outlines), ("test", paper.outline_tests))
    )
    outlines = (learned, *held.cut(round(paper.outline_tests * 2 / 3), context.seed))
    apart = training(paper.epochs, 1000 + context.seed)
    judge = context.net(JUDGE, context.model, parts.training, apart, ["crop-flip:pad=2"])
    with track("networks", paper.seeds * 2 * (2 + len(FAINT))) as task:
        for seed in context.repetitions(paper.seeds):
            nets = {PLAIN: [], ROBUST: [f"at:steps={paper.steps},eps=8/255,rel_stepsize=0.5"]}
            models = {}
            for name, recipes in nets.items():
                recipes = ["crop-flip:pad=2", *recipes]
                net = seed.net(name, context.model, parts.training, training(paper.epochs, seed.seed), recipes)
                models[name] = net.model
                task.advance()
            photos(paper, seed, models, judge.model, parts)
            for amplitude in (*FAINT, STRONG):
                conflicts(paper, seed, amplitude, outlines)
                task.advance(2)


def training(epochs: int, seed: int) -> Any:
    """Training options that all networks share."""
    return plan_training(epochs, seed, lr=0.1, nesterov=True, schedule="cosine", held_out=1)


def photos(
    paper: ShapeSimplicityPaper, context: Context, models: dict[str, Classifier], judge: Classifier, parts: Parts
) -> None:
    """Write rows on the cues that two networks use on CIFAR-10."""
    test = parts.testing
    for name, model in models.items():
        context.predict(f"{name}.clean", model, test.batch())
        few = test.first(paper.attacked).batch()
        context.attack(
            f"{name}.pgd", model, PGD(steps=10, rel_stepsize=0.25), few, norm="linf", eps=EPS, seed=context.seed
        )
    subject = subject_of(models, test, context.seed)
    if not context.has("distortions", "answers"):
        found = Distortions(distortions=STIMULI).find(subject).rows
        context.write("answers", "distortions", {k: found[k] for k in ("id", "model", "stimulus", "correct")})
    for name, model in models.items():
        if not context.has(f"{name}.hybrid", "cues"):
            rows = FrequencyBias(radii=()).find(replace(subject, models={name: model})).rows
            write_cues(context, f"{name}.hybrid", rows)
    layers = tuple(blocks(models[PLAIN]))
    if not context.has("smoothness", "layers"):
        write_layers(context, "smoothness", Smoothness(sigma=NOISE, layers=layers).find(subject).rows)
    if not context.has("concepts", "layers"):
        write_layers(context, "concepts", detectors(paper, models, test, context.seed))
    if not context.has("kinds", "layers"):
        kinds = InputKinds(k=min(TOP, len(test)), layers=layers[-1:])
        write_layers(context, "kinds", kinds.judged(subject, judge).rows)


def conflicts(
    paper: ShapeSimplicityPaper, context: Context, amplitude: int, outlines: tuple[Split, Split, Split]
) -> None:
    """Train on outlines whose gratings agree with them, and test where they do not."""
    context = context.within(f"gratings-{amplitude}")
    learned, (judged, chosen) = with_gratings(outlines[0], amplitude), outlines[1:]
    for name, recipes in {PLAIN: [], ROBUST: [f"at:steps={paper.steps},eps=8/255,rel_stepsize=0.5"]}.items():
        net = context.net(name, context.model, learned, training(paper.outline_epochs, context.seed), recipes).model
        context.predict(f"{name}.agreeing", net, with_gratings(judged, amplitude).batch())
        for role, part in (("judging", judged), ("choosing", chosen)):
            if not context.has(f"{name}.{role}", "cues"):
                analysis = CueConflict(recipe="gratings", amplitude=amplitude / 255)
                write_cues(context, f"{name}.{role}", analysis.find(subject_of({name: net}, part, context.seed)).rows)


def detectors(
    paper: ShapeSimplicityPaper, models: dict[str, Classifier], data: Split, seed: int
) -> dict[str, list[Any]]:
    """The number of detectors of each category in the last two blocks, on composites of test images."""
    names = list(data.names or map(str, range(data.classes)))
    channels, side = data.images.shape[1:3]
    concepts = made_concepts(paper.composites, side, channels, seed, (data.images / 255, data.labels, names))
    rows: dict[str, list[Any]] = {"layer": [], "model": [], "quantity": [], "value": []}
    for name, model in models.items():
        own = Subject({name: model}, concepts.dataset, range(len(concepts.dataset)), seed=seed, batch=BATCH, workers=1)
        found, _ = probe(own, blocks(model)[-2:], quantile=QUANTILE, k=1)
        overlaps, _ = count_overlap(own, {layer: one.thresholds for layer, one in found.items()}, concepts)
        for layer, overlap in overlaps.items():
            kinds = [category for _, category, _ in NetDissect().labels(overlap, concepts)]
            for category in concepts.categories:
                for column, value in zip(rows.values(), (layer, name, category, kinds.count(category)), strict=True):
                    column.append(value)
    return rows


def outlines_of(data: Split) -> Split:
    """White outlines of some classes on black, labelled from 0 to 5."""
    kept = data[torch.isin(data.labels, torch.tensor(GARMENTS))]
    labels = (kept.labels[:, None] == torch.tensor(GARMENTS)).int().argmax(1)
    bright = (kept.images.float().mean(1, keepdim=True) > 0.2 * 255).byte() * 255
    names = tuple(data.names[c] for c in GARMENTS) if data.names else ()
    return replace(kept, images=bright, labels=labels, classes=len(GARMENTS), names=names)


def with_gratings(outlines: Split, amplitude: int) -> Split:
    """Outlines filled with the grating of their class."""
    textures = gratings(len(GARMENTS), *outlines.images.shape[2:])[outlines.labels]
    images = textured_outlines(foreground(outlines.images.float() / 255), textures, amplitude=amplitude / 255)
    return replace(outlines, images=images.mul(255).round().byte())


def subject_of(models: dict[str, Classifier], data: Split, seed: int) -> Subject:
    """Networks and images as an analysis looks at them."""
    dataset = InMemory(
        data.images, data.labels, ids=data.ids, classes=data.names or tuple(map(str, range(data.classes)))
    )
    return Subject(models, dataset, range(len(data)), seed=seed, batch=BATCH, workers=1)


def blocks(model: Classifier) -> tuple[str, ...]:
    """The blocks of a small network, or all convolutions of another one."""
    body = getattr(model.net, "body", None)
    return tuple(f"body.{i}" for i in range(len(body))) if body is not None else tuple(convolutions(model))


def write_cues(context: Context, label: str, rows: Any) -> None:
    """Keep the decisions about images with two cues."""
    columns = {"first": "first_cue", "second": "second_cue", "decision": "prediction"}
    context.write("cues", label, {"id": rows["id"], **{name: rows[column] for name, column in columns.items()}})


def write_layers(context: Context, label: str, rows: Any) -> None:
    """Keep quantities of layers; ids are their names."""
    context.write("layers", label, {"id": rows["layer"], **{k: rows[k] for k in ("model", "quantity", "value")}})
