"""Captions, the trained encoders, and everything that they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.progress import track
from unshaken.core.registry import find_method
from unshaken.models.zero_shot import check_classes, class_weights, unit, with_classes, with_net
from unshaken.papers.cache import digest_of
from unshaken.papers.context import Context
from unshaken.papers.datasets import Parts, Split
from unshaken.papers.networks import Net, plan_training
from unshaken.tasks.ranking.encoders import load_encoder
from unshaken_papers.clip_holistic import (
    FACTORS,
    MILD,
    OTHERS,
    PROMPTS,
    STRONG,
    TEXT_HEAD,
    TUNED,
    ZERO_SHOT,
    ClipHolisticPaper,
)
from unshaken_papers.clip_holistic.nets import ATTRIBUTES, DescribedImages, Headed, captioned
from unshaken_papers.clip_holistic.pictures import conflicting, with_factor

STARTS = ("a photo of", "a picture of", "an image of", "a close view of")
FORMS = ("a {}", "the {}", "one {}", "a {} outdoors", "my {}", "a {} in daylight", "a typical {}", "a {} at rest")
TEMPLATES = tuple(f"{start} {form}." for form in FORMS for start in STARTS)
"""Templates of prompts; captions have the first eight."""
CAPTIONED = 8
HELD_OUT = ("this scene shows some {}", "{} seen from afar", "look, there is {}")
OTHER_WORDS = {
    "airplane": "jet aircraft", "automobile": "sedan", "bird": "songbird", "cat": "kitten", "deer": "stag",
    "dog": "puppy", "frog": "toad", "horse": "pony", "ship": "boat", "truck": "lorry",
}  # fmt: skip
SCALES = {"sigmoid": 10.0}
"""Where a loss begins with another scale than InfoNCE's."""
OPTIONS = {"lr": 3e-3, "optimizer": "adamw", "weight_decay": 1e-4, "held_out": 1, "check_images": 2}


def run(paper: ClipHolisticPaper, context: Context) -> None:
    """All seeds; data and captions come first, so that what is absent costs no time."""
    context.refuse_model(paper.model, "audit it, or compare it by unshaken.api.holistic")
    parts = context.datasets.parts(2 * paper.images, paper.test, paper.choosing)
    names = check_classes(parts.training.names or [f"thing {k}" for k in range(parts.training.classes)])
    texts = Texts(context, paper.encoder, names)
    with track("clip-holistic", paper.seeds * (len(ZERO_SHOT) + 2)) as task:
        for repetition in context.repetitions(paper.seeds):
            for arm in (*ZERO_SHOT, TUNED, TEXT_HEAD):
                evaluate(paper, repetition, arm, parts, texts)
                task.advance()


class Texts:
    """Vectors of captions and prompts by a frozen encoder, computed once.

    Args:
        context: of the experiment.
        encoder: its name.
        names: of the classes.
    """

    def __init__(self, context: Context, encoder: str, names: Sequence[str]) -> None:
        words = [OTHER_WORDS.get(name, name) for name in names]
        captions = [[t.format(a + n) for t in TEMPLATES[:CAPTIONED] for a in ATTRIBUTES] for n in names]
        prompts = [[t.format(n) for t in TEMPLATES] for n in names]
        held = [[t.format(w) for t in HELD_OUT] for w in words]
        encode = load_encoder(encoder)

        def make() -> dict[str, Tensor]:
            flat = sorted({t for group in (captions, prompts, held) for texts in group for t in texts})
            vectors = dict(zip(flat, unit(torch.from_numpy(encode(flat)), "text"), strict=True))
            parts = {"captions": captions, "prompts": prompts, "held": held}
            return {k: torch.stack([torch.stack([vectors[t] for t in row]) for row in v]) for k, v in parts.items()}

        key = {"texts": digest_of([captions, prompts, held]), "encoder": encode.digest}
        found = context.weights("texts", key, make, [type(encode)])
        self.captions, self.prompts, self.held = (found[k] for k in ("captions", "prompts", "held"))
        self.names = tuple(names)

    def classifier(self, model: Classifier, prompts: int = CAPTIONED) -> Classifier:
        """A zero-shot classifier by the first templates."""
        return with_classes(model, class_weights(self.prompts[:, :prompts]), self.names)


def trained(paper: ClipHolisticPaper, context: Context, arm: str, parts: Parts, texts: Texts) -> Net:
    """The encoder of a zero-shot arm, each one factor away from the first."""
    sizes = {"fewer": paper.images // 2, "more": 2 * paper.images}
    data = parts.training.stratified(sizes.get(arm, paper.images), context.seed)
    objective = "sigmoid" if arm == "sigmoid" else "info-nce"
    recipe = DescribedImages(captions=texts.captions, objective=objective, styled=arm == "styled")
    start = partial(
        captioned, arch="small-vit" if arm == "vit" else paper.model, dimensions=texts.captions.shape[2],
        scale=SCALES.get(objective, 1 / 0.07),
    )  # fmt: skip
    training = plan_training(epochs_of(paper.passes, data), context.seed, **OPTIONS)
    return context.net(arm, start, data, training, [recipe])


def epochs_of(passes: int, data: Split) -> int:
    """Epochs that take about `passes` passes."""
    return max(1, round(passes / len(data)))


def evaluate(paper: ClipHolisticPaper, context: Context, arm: str, parts: Parts, texts: Texts) -> None:
    """Train one arm and write the rows of all that it is shown."""
    if context.has(arm, "scales"):
        return
    base = trained(paper, context, arm if arm in ZERO_SHOT else ZERO_SHOT[0], parts, texts)
    model, encoder = texts.classifier(base.model), base.model
    if arm not in ZERO_SHOT:
        model, encoder = fine_tuned(paper, context, arm, model, parts, texts)
    within, test = context.within(arm), parts.testing.batch()
    within.predict("clean", model, test)
    within.predict("choosing", model, parts.choosing.batch())
    within.predict("held", with_classes(encoder, class_weights(texts.held), texts.names), test)
    for factor in FACTORS:
        within.predict(factor, model, test.with_images(with_factor(test.images, factor)), method=factor)
    for name in (*MILD, *STRONG):
        method, severity = name.rsplit("-", 1)
        shifted = find_method(method).cls().apply(test, int(severity), context.seed)
        within.predict(name, model, shifted, method=method, severity=int(severity))
    cues, texture = conflicting(test, context.seed)
    within.predict("cues", model, cues, method="cue-conflict")
    within.write("cues", "cues", {"id": list(cues.ids), "texture": texture.tolist()})
    if arm == ZERO_SHOT[0]:
        for count in PROMPTS:
            prompted = texts.classifier(base.model, count)
            within.predict(f"prompts-{count}.clean", prompted, test)
            for name, others in abnormal(context, test, len(test)).items():
                within.predict(f"prompts-{count}.{name}", prompted, others, method=name)
    for name, others in abnormal(context, test, len(test)).items():
        within.predict(name, model, others, method=name)
    net: Any = base.model.net
    scale = float(net.logit_scale.detach().exp())
    context.write("scales", arm, {"id": [arm], "scale": [scale]})


def fine_tuned(
    paper: ClipHolisticPaper, context: Context, arm: str, model: Classifier, parts: Parts, texts: Texts
) -> tuple[Classifier, Classifier]:
    """The fine-tuned classifier, and its encoder with the zero-shot classes again."""
    data = parts.training.stratified(paper.images, context.seed)
    inner: Any = model.net
    headed = Headed(inner.encoder.model, inner.scale * inner.embeddings)
    start = with_net(model, headed) if arm == TUNED else model
    training = plan_training(epochs_of(paper.tuning, data), context.seed, **{**OPTIONS, "lr": 1e-3})
    tuned = context.net(arm, start, data, training, ["crop-flip:pad=2"]).model
    net: Any = tuned.net
    return tuned, with_net(model, net.net) if arm == TUNED else tuned


def abnormal(context: Context, like: Batch, count: int) -> dict[str, Batch]:
    """Images of other kinds that are there, and noise; the labels mean nothing."""
    draw = torch.Generator().manual_seed(context.seed)
    noise, none = torch.rand(like.images.shape, generator=draw), torch.zeros(len(like), dtype=torch.int64)
    found = {"noise": Batch(noise, none, tuple(f"noise{i}" for i in range(len(like))))}
    for name in OTHERS:
        others = context.datasets.of_other_kind(name, like, count)
        if others is not None:
            found[name] = Batch(others.images, none[: len(others)], others.ids)
    return found
