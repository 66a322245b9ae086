"""The classifiers of images with texts that a run judges: functions of a user's own, or heads that are trained here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor, nn

from unshaken.core.classifier import INPUT, Classifier
from unshaken.core.consent import require_named
from unshaken.core.errors import ModelError, ParameterError, RunError
from unshaken.core.user_code import call_factory
from unshaken.data.dataset import content_mark
from unshaken.harden.engine.layers import last_layer
from unshaken.models import as_classifier, fingerprint
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationSubject
from unshaken.tasks.image_text.fit_fusion import FusionTraining, fit_fusion
from unshaken.tasks.image_text.fusion import FusionClassifier, FusionHead, ImageFeatureMemory, Uses
from unshaken.tasks.image_text.predict import Predict
from unshaken.tasks.image_text.samples import ImageTextSet
from unshaken.tasks.ranking.neural import EncoderMemory

MARKS = "models.json"
"""Marks of the models of a run, which is not resumed with others."""


@dataclass(frozen=True, slots=True, eq=False)
class Victims:
    """What is evaluated.

    Args:
        classifiers: by name; the first one is searched.
        image_only: an answer to images alone, apart from the searched one; None where there is none.
    """

    classifiers: Mapping[str, Predict]
    image_only: Predict | None


def name_of(given: str | nn.Module) -> str:
    """The name of a model in figures: the factory's, or its SPEC or class with `-` for what is no letter or digit."""
    text = given if isinstance(given, str) else type(given).__name__
    text = text.rpartition(":")[2] if text.startswith("py:") else text
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "model"


def keep_marks(run: RunDir, marks: Mapping[str, str]) -> None:
    """Keep what tells models from others, by name, or compare it with what was kept.

    Raises:
        RunError: the run was begun with another one of these.
    """
    kept = run.read_json(MARKS)["models"] if run.exists(MARKS) else {}
    if other := next((name for name, mark in marks.items() if kept.get(name, mark) != mark), None):
        raise RunError(f"{run}: was begun with another {other!r}; choose another --out")
    if marks.keys() - kept.keys():
        run.write_json({"models": {**kept, **marks}}, MARKS)


def open_models(subject: EvaluationSubject, *, fused: bool) -> dict[str, Any]:
    """The models of a subject by name.

    Args:
        subject: of the evaluation.
        fused: whether they are classifiers of images, to be fused with texts, and no functions of both.

    Raises:
        ModelError: one cannot be loaded or is no function.
        RunError: the run was begun with other models.
    """
    opened: dict[str, Any] = {}
    marks: dict[str, str] = {}
    for given in subject.given:
        name = name_of(given)
        if fused:
            model = as_classifier(given, download=subject.options["download"]).to(subject.device).eval()
            opened[name], marks[name] = model, fingerprint(model)
        else:
            opened[name], marks[name] = _load_function(str(given))
    keep_marks(subject.run, marks)
    return opened


def _load_function(spec: str) -> tuple[Predict, str]:
    """The function that a factory makes, and a mark of its source and weights."""
    require_named(spec)
    place, _, factory = spec.removeprefix("py:").rpartition(":")
    if not place:
        raise ParameterError(f"model {spec!r}: write py:FILE_OR_MODULE:FACTORY, such as py:net.py:make")
    made, source = call_factory(place, factory)
    if isinstance(made, nn.Module):
        made.eval()
    if not callable(made):
        raise ModelError(f"{spec}: the factory returned a {type(made).__name__}, not a function of images and texts")
    mark = "" if source is None else content_mark(source)
    return made, mark + (fingerprint(as_classifier(made)) if isinstance(made, nn.Module) else "")


def as_they_are(models: Mapping[str, Any], samples: ImageTextSet) -> Victims:
    """Functions of images and texts.

    Raises:
        ModelError: one names classes that are not those of the data.
    """
    for name, predict in models.items():
        known = tuple(getattr(predict, "classes", ()) or samples.classes)
        if known != samples.classes:
            raise ModelError(
                f"{name}: its classes are {', '.join(known[:5])}..., and those of the data "
                f"{', '.join(samples.classes[:5])}...: give probabilities in the order of the data's classes"
            )
    return Victims(models, None)


def fuse(
    subject: EvaluationSubject, models: Mapping[str, Classifier], samples: ImageTextSet, encode: EncoderMemory,
    read: Callable[[], ImageTextSet], steps: int,
) -> Victims:  # fmt: skip
    """Heads over features of classifiers of images and vectors of texts; of the first model in three more forms.

    Args:
        subject: of the evaluation; it keeps the heads.
        models: by name.
        samples: that are judged.
        encode: texts.
        read: the samples to train on; asked for once a head is not there.
        steps: of training.
    """
    training, width = cache(read), encode([samples.texts[0]]).shape[1]

    def fit(name: str, model: Classifier, uses: Uses, seed: int) -> FusionClassifier:
        features = ImageFeatureMemory(model, last_layer(model.net) + INPUT)
        settings = FusionTraining(steps=steps, seed=seed)

        def make() -> dict[str, Tensor]:
            return dict(fit_fusion(training(), features, encode, uses=uses, training=settings).head.state_dict())

        state = subject.arrays(f"head-{name}", make)
        head = FusionHead(len(state["mean"]), width, len(samples.classes), hidden=settings.hidden, uses=uses)
        head.load_state_dict(state)
        return FusionClassifier(features, encode, head.eval())

    found = {name: fit(name, model, "both", subject.seed) for name, model in models.items()}
    first, model = next(iter(models.items()))
    found[f"{first}-other"] = fit(f"{first}-other", model, "both", subject.seed + 1)
    found[f"{first}-text"] = fit(f"{first}-text", model, "text", subject.seed)
    found[f"{first}-image"] = fit(f"{first}-image", model, "image", subject.seed)
    return Victims(found, found[f"{first}-image"])
