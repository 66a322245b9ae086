"""`prepared`: the model that a training run starts from, and the samples that fit it."""

from __future__ import annotations

import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError, UnshakenError
from unshaken.core.texts import first_line
from unshaken.data.dataset import Dataset
from unshaken.data.resident import Samples
from unshaken.data.streaming import first_batch
from unshaken.harden.engine.start import Start, start_from, with_new_head
from unshaken.harden.engine.training import Training
from unshaken.models.align import ModelClasses, align
from unshaken.models.loaders.from_run import ShapeRecord
from unshaken.models.within import refuse_within


def prepared(
    model: str | nn.Module, dataset: Dataset, training: Training, *, new_head: bool, limit: int | None,
    workers: int | None, download: bool, unlabelled: bool = False,
) -> tuple[Start, Samples]:  # fmt: skip
    """The model to start from, and the samples that fit it; see `unshaken.api.harden`, and `Samples` for `unlabelled`.

    Raises:
        ParameterError: the data has no labels and needs them.
        ModelError: the model does not fit the data.
    """
    if dataset.labels is None and not unlabelled:
        raise ParameterError(
            f"data {dataset.options.spec!r} has no labels: training needs the class of each image, except by recipes "
            "that learn without, such as swav"
        )
    classes = len(dataset.classes) or (1 if dataset.labels is None else int(dataset.labels.max()) + 1)
    if isinstance(model, str) and not model.startswith("new:") and ":" in model:
        shape = ShapeRecord(classes=classes, channels=3, side=1)
        start = start_from(
            model, classes=classes, names=dataset.classes, shape=shape, statistics=([], []), seed=0, download=download
        )
    elif isinstance(model, nn.Module):
        own = model if isinstance(model, Classifier) else Classifier(model, name=type(model).__name__)
        start = Start(own, f"py:<{type(own.net).__name__}>")
    else:
        start = None
    view = start.model.view if start else None
    own_classes, shown, matched = dataset.classes, dataset, False
    if start is not None:
        shown, matched = _aligned(dataset, start.model, model, new_head)
    sparse = shown is not dataset
    samples = Samples(
        shown, view, classes, workers=workers, limit=limit, seed=training.seed, sparse=sparse, unlabelled=unlabelled
    )
    if start is None:
        if classes < 2 and not unlabelled and dataset.labels is not None and dataset.labels.ndim == 1:
            raise ParameterError(
                f"data {dataset.options.spec!r} has one class: a new network would have nothing to tell apart; add "
                "images of another class"
            )
        start = start_from(
            str(model),
            classes=classes,
            names=dataset.classes,
            shape=ShapeRecord(classes=classes, channels=samples.shape[0], side=samples.shape[1]),
            statistics=samples.statistics(),
            seed=training.seed,
            download=download,
        )
    return _fitting(start, samples, new_head, own_classes, training.seed, matched=matched), samples


def _aligned(dataset: Dataset, model: Classifier, spec: object, new_head: bool) -> tuple[Dataset, bool]:
    """The data with the model's class numbers, and whether these may be some of the model's classes alone.

    The data is as it is where the classes are to be replaced, and without class labels.

    Raises:
        DataError: see `unshaken.models.align.align`.
    """
    refuse_within(model, "to train")
    if dataset.labels is None or dataset.labels.ndim > 1:
        return dataset, bool(model.classes)
    shape = first_batch(dataset, view=model.view).images.shape[1:]
    own = ModelClasses.of(model, _count_outputs(model.eval(), (2, *shape)), spec)
    try:
        found = align(dataset, own)
    except DataError as error:
        if new_head:
            return dataset, False
        raise DataError(f"{error}; --new-head replaces the last layer by one for the data's classes") from None
    record = found.record
    return found.dataset, bool(model.classes) or (record is not None and (record.by == "names" or record.asked))


def _fitting(
    start: Start, samples: Samples, new_head: bool, names: tuple[str, ...], seed: int, *, matched: bool
) -> Start:
    """The model with as many outputs as the data has classes.

    Raises:
        ModelError: it does not take the images, or has other classes.
    """
    outputs = _count_outputs(start.model.eval(), (2, *samples.shape))
    if not samples.labelled:
        samples.classes = outputs
        return start
    if new_head and outputs != samples.classes:
        return Start(with_new_head(start.model, samples.classes, names, seed), start.arch, start.recipes)
    if outputs < samples.classes or (outputs > samples.classes and not matched):
        raise ModelError(
            f"model {start.model.name!r} has {outputs} outputs, the data {samples.classes} classes: give --new-head to "
            "replace its last layer, or data of its classes"
        )
    samples.classes = outputs
    return start


@torch.no_grad()
def _count_outputs(model: Classifier, shape: tuple[int, ...]) -> int:
    try:
        outputs: int = model(torch.zeros(shape)).shape[1]
    except UnshakenError:
        raise
    except Exception as error:  # a network may refuse images in any way
        raise ModelError(
            f"model {model.name!r} fails on images of shape {shape}: {first_line(error)}; give the data the size that "
            "it takes, as in ?size=224, or another model"
        ) from error
    return outputs
