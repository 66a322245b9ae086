"""Whether a network has learned from the very images that it is tested on: reported once, and kept with the run."""

from __future__ import annotations

from unshaken.core.errors import UnshakenError
from unshaken.data import Dataset
from unshaken.data.named import photos_of
from unshaken.models.loaders.kinds import photos_learned
from unshaken.models.loaders.spec import parse_model_spec
from unshaken.store.run_dir import RunDir

TRAINING = "harden.json"
"""The record of a training run, beside its weights."""


def probably_seen(model: str, data: str) -> str:
    """One sentence where a model's weights were published as trained on a collection that the data was taken from.

    Args:
        model: SPEC.
        data: SPEC.

    >>> probably_seen("imagenet:efficientnet-lite0", "cifar10")
    ''
    """
    photos = photos_of(data)
    if not photos or photos_learned(model) != photos:
        return ""
    return (
        f"{model} was trained on {photos}, from which {data} was taken: it has probably seen these photos, and figures "
        "made with them may be better than on new ones."
    )


def seen_in_training(model: str, dataset: Dataset) -> str:
    """One sentence where a network has or probably has learned from a data set; empty where nothing is known of it.

    Args:
        model: SPEC; empty for an object of a program.
        dataset: that it is tested on.
    """
    if not model:
        return ""
    spec = parse_model_spec(model)
    if spec.kind == "run" and _trained_on(spec.name) == dataset.fingerprint:
        return (
            f"{model} was trained on images of this very data: figures made with them are better than on new ones; "
            "test it on images that it has not learned."
        )
    return probably_seen(model, dataset.options.spec)


def _trained_on(folder: str) -> str:
    """The fingerprint of the data of a training run; empty where it has no readable record."""
    run = RunDir(folder)
    try:
        record = run.read_json(TRAINING) if run.exists(TRAINING) else {}
    except UnshakenError:
        return ""
    return str(record.get("data_fingerprint", "")) if isinstance(record, dict) else ""
