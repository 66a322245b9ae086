"""Image networks and heads of several seeds; added texts searched on one, and shown to all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.errors import DataError
from unshaken.core.progress import track
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.layers import last_layer
from unshaken.measure.statistics.columns import Numbers
from unshaken.papers.context import Context
from unshaken.papers.datasets import Split
from unshaken.papers.networks import plan_training
from unshaken.tasks.image_text import (
    AppendText,
    ClassCaptionVectors,
    Dilution,
    FusionClassifier,
    FusionTraining,
    ImageFeatureMemory,
    ImageTextSet,
    Material,
    Relevance,
    TemplateWriter,
    describe_pictures,
    filler,
    fit_fusion,
    gather_material,
    median_floors,
    write_repeats,
    write_urls,
)
from unshaken.tasks.image_text.changes import NEUTRAL_WORDS, Change
from unshaken.tasks.image_text.evaluate import dilution_rows
from unshaken.tasks.ranking import EncoderMemory, load_encoder
from unshaken_papers.cross_modal_dilution import CHANGES, CLASSIFIERS, FRESH, CrossModalDilutionPaper
from unshaken_papers.cross_modal_dilution.captions import (
    DISTRACTORS,
    KEY_WORDS,
    OTHER_WORDS,
    captions,
)

WRITER = TemplateWriter(templates=DISTRACTORS)


@dataclass(frozen=True, slots=True)
class Victims:
    """Networks trained in one seed.

    Args:
        image_model: an image network.
        heads: name to head: `fused`, `text` and `hardened`.
    """

    image_model: Classifier
    heads: Mapping[str, FusionClassifier]

    def image_only(self, images: Tensor) -> Numbers:
        """Probabilities of the image network, `[N, K]`, of images in [0, 1]."""
        with evaluating(self.image_model), torch.no_grad():
            logits = torch.cat([self.image_model(part) for part in torch.split(images, 256)])
        return np.asarray(logits.double().softmax(1).numpy())


def run(paper: CrossModalDilutionPaper, context: Context) -> None:
    """Train everything, and write the rows of every seed.

    Raises:
        DataError: the data has more classes than there are key words for.
    """
    training = context.datasets.stratified("train", paper.images + paper.samples, context.seed)
    testing = context.datasets.stratified("test", paper.test, context.seed)
    if training.classes > len(KEY_WORDS):
        raise DataError(f"{training.classes} classes are too many: there are key words for {len(KEY_WORDS)} classes")
    encoder = load_encoder(context.model)
    context.record.add_input(f"model {context.model}", encoder.digest)
    encode = EncoderMemory(encoder)
    seeds = context.repetitions(paper.seeds)
    with track("cross-modal dilution", 2 * len(seeds)) as task:
        victims = []
        for part in seeds:
            victims.append(train(paper, part, training, encode))
            task.advance()
        for i, part in enumerate(seeds):
            dilute(paper, part, testing, encode, victims[i], victims[(i + 1) % len(seeds)])
            task.advance()


def train(paper: CrossModalDilutionPaper, context: Context, images: Split, encode: EncoderMemory) -> Victims:
    """An image network on some images, and heads on others."""
    own, others = images.cut(paper.images, context.seed)
    training = plan_training(
        paper.epochs, context.seed, lr=3e-3, optimizer="adam", weight_decay=1e-4, held_out=1, check_images=2
    )
    net = context.net("images", "small-cnn", own, training)
    samples = captioned(others, context.seed)
    features = ImageFeatureMemory(net.model, last_layer(net.model.net) + INPUT)
    victims = Victims(net.model, {})
    settings = FusionTraining(steps=paper.steps, seed=context.seed)
    material = material_of(samples, victims, OTHER_WORDS)
    changed = Dilution(WRITER, material, count=1).apply(samples, _unasked, None, context.seed)
    heads = {
        "fused": fit_fusion(samples, features, encode, training=settings),
        "text": fit_fusion(samples, features, encode, uses="text", training=settings),
        "hardened": fit_fusion(samples, features, encode, training=settings, diluted=[changed.texts]),
    }
    return Victims(net.model, heads)


def captioned(split: Split, seed: int) -> ImageTextSet:
    """Images with captions that depend on the seed and each image's id alone."""
    rngs = SampleRng.of(seed, "captions", split.ids).generators()
    names = split.names or tuple(str(k) for k in range(split.classes))
    texts = captions(split.labels.tolist(), rngs)
    return ImageTextSet(split.images, texts, split.labels.numpy(), split.ids, tuple(names))


def material_of(samples: ImageTextSet, victims: Victims, words: Sequence[Sequence[str]]) -> list[Material]:
    """How each picture looks, and some of the words of the classes that the image network confuses it with."""
    chances = victims.image_only(samples.images.float() / 255)
    own = words[: len(samples.classes)]
    return gather_material(samples, own, chances, looks=describe_pictures(samples.images))


def dilute(
    paper: CrossModalDilutionPaper,
    context: Context,
    testing: Split,
    encode: EncoderMemory,
    own: Victims,
    other: Victims,
) -> None:
    """Write the rows of one seed: changes are searched on its own fused classifier and shown to all.

    Args:
        paper: has the sizes.
        context: of the seed.
        testing: the test images.
        encode: of texts.
        own: what this seed trained.
        other: what another seed trained.
    """
    conditions = [f"{name}.{change}" for name in CLASSIFIERS for change in ("clean", *CHANGES)]
    conditions.append(f"hardened.{FRESH}")
    if all(context.has(label, "dilutions") for label in conditions):
        return
    samples = captioned(testing, context.seed)
    relevance = Relevance(encode, ClassCaptionVectors(own.image_only, samples.classes, encode))
    material = material_of(samples, own, OTHER_WORDS)
    worst = Dilution(WRITER, material, count=paper.candidates)
    floors, above = median_floors(worst, samples, relevance, context.seed)
    neutral = [replace(m, other_words=(NEUTRAL_WORDS,)) for m in material]
    changes: dict[str, Change] = {
        "url": AppendText("url", write_urls),
        "repeat": AppendText("repeat", write_repeats),
        "filler": AppendText("filler", filler(paper.filler)),
        "neutral": Dilution(WRITER, neutral, count=paper.candidates, counts=above),
        "random": Dilution(WRITER, material, count=1),
        "worst": worst,
        "relevant": Dilution(WRITER, material, count=paper.candidates, floors=floors),
        "own-words": Dilution(WRITER, material_of(samples, own, KEY_WORDS), count=paper.candidates, floors=floors),
    }
    classifiers: dict[str, Any] = {
        "fused": own.heads["fused"], "other": other.heads["fused"], "text": own.heads["text"],
        "image": lambda images, texts: own.image_only(images), "hardened": own.heads["hardened"],
    }  # fmt: skip
    for group, changed in ((classifiers, changes), ({"hardened": own.heads["hardened"]}, {FRESH: worst})):
        for rows, _ in dilution_rows(
            group, samples, changed, relevance=relevance, seed=context.seed, prefix=context.prefix
        ):  # fmt: skip
            if not context.run.has_rows(rows.table, rows.condition.id, 0):
                context.keep([rows])


def _unasked(images: Tensor, texts: Any) -> Numbers:
    raise AssertionError("a single candidate asks nobody")
