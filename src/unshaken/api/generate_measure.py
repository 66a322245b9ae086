"""How good a generated set is: distances, coverage, recognisability, diversity, copies, and training on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from unshaken.api.generate import images_in_memory
from unshaken.api.job import choose_device
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.package import public
from unshaken.core.user_code import refuse_exit
from unshaken.data import DataSource, as_dataset
from unshaken.detect.engine.anatomy import penultimate, predicted
from unshaken.generate.fill import HeldOut
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.measure import (
    diversity,
    frechet_at_infinity,
    frechet_distance,
    kernel_distance,
    precision_recall,
    recognisability,
    share,
)
from unshaken.models import load_model


@public("generate.measure")
@refuse_exit()
@keywords()
def measure_generated(
    real: DataSource,
    generated: DataSource,
    *,
    model: str = "imagenet:efficientnet-lite0",
    held_out: DataSource | None = None,
    limit: int | None = None,
    neighbours: int = 3,
    epochs: int = 0,
    seed: int = 0,
    device: str = "auto",
    download: bool = False,
) -> dict[str, Any]:
    """Compare a generated set with real images, by the features of one network, which is named in the result.

    Args:
        real: real images, not those that the generator learned from where copies of those should not count.
        generated: generated images of the same size.
        model: SPEC of the network; the values that its linear head weighs are the features. Figures by different
            networks cannot be compared, and none but Inception's is the FID of the literature.
        held_out: images that must not be repeated; copies of them are counted. None for no check.
        limit: images of each set at most, a seeded and stratified subset; None for all.
        neighbours: k of precision and recall.
        epochs: of a `small-cnn` that learns the generated set and is tested on the real one, for the classification
            accuracy score; 0 for none.
        seed: of the subset and the training.
        device: `auto`, `cpu`, `cuda` or `mps`.
        download: allow data and models to be fetched from their own source.

    Returns:
        JSON: `features` (the model), `dimensions`, `real` and `generated` (numbers of images), and the figures. A
        figure that cannot be had has the value None, and the reason in `reasons` under its name.

    Raises:
        DataError: data cannot be used.
        ModelError: the network has no linear head, or cannot be loaded.
        ParameterError: a number is not allowed.
    """
    if epochs < 0:
        raise ParameterError(f"epochs={epochs} must be 0 or more")
    place = choose_device(device)
    sides = [images_in_memory(as_dataset(d, download=download), limit, seed, None) for d in (real, generated)]
    (images, labels, _), (made, given, _) = sides
    if images.shape[1:] != made.shape[1:]:
        one, other = ("x".join(map(str, x.shape[1:])) for x in (images, made))
        raise DataError(f"real images are {one} (channels x height x width) and generated ones {other}: give ?size=")
    judge = load_model(model, download=download).to(place).eval()
    x, y = (penultimate(judge, i.to(place).float() / 255) for i in (images, made))
    a, b = x[0].cpu().numpy(), y[0].cpu().numpy()
    found: dict[str, Any] = {
        "features": model, "dimensions": a.shape[1], "real": len(a), "generated": len(b), "reasons": {},
    }  # fmt: skip

    def note(name: str, compute: Callable[[], Any]) -> None:
        try:
            found[name] = compute()
        except ParameterError as error:
            found[name], found["reasons"][name] = None, str(error)

    note("frechet_distance", lambda: frechet_distance(a, b))
    note("frechet_at_infinity", lambda: frechet_at_infinity(a, b, seed=seed)[0])
    note("kernel_distance", lambda: kernel_distance(a, b))
    note("precision", lambda: precision_recall(a, b, k=neighbours).precision.to_json())
    note("recall", lambda: precision_recall(a, b, k=neighbours).recall.to_json())
    if given is not None:
        note("diversity", lambda: diversity(b, given.numpy()).mean)
        outputs = predicted(judge, made[:1].to(place).float() / 255).shape[1]
        if outputs > int(given.max()) and labels is not None and outputs == int(labels.max()) + 1:
            scores = recognisability(given.numpy(), y[1].cpu().numpy())
            found["recognisability"] = scores.mean
            found["recognisability_by_class"] = {str(k): v for k, v in scores.classes.items()}
    if held_out is not None:
        apart, _, ids = images_in_memory(as_dataset(held_out, download=download), None, 0, None)
        copies = [name for name in HeldOut(apart, ids).find_copies(made.float() / 255) if name is not None]
        found["copies"] = {**share(len(copies), len(made)).to_json(), "of": sorted(set(copies))}
    if epochs:
        if labels is None or given is None:
            raise DataError("a classification accuracy score needs the classes of both sets: leave epochs out")
        found["classification_accuracy_score"] = classification_accuracy(made, given, images, labels, epochs, seed)
    return found


def classification_accuracy(
    made: Tensor, given: Tensor, images: Tensor, labels: Tensor, epochs: int, seed: int = 0
) -> dict[str, Any]:
    """The accuracy on real images of a `small-cnn` that learned generated ones alone (CAS), with its interval.

    Args:
        made: generated images, uint8 `[M, C, H, W]`.
        given: the class of each, int64 `[M]`.
        images: real images, uint8 `[N, C, H, W]`.
        labels: the class of each, int64 `[N]`.
        epochs: of the training.
        seed: of the training.

    Source: Ravuri & Vinyals 2019, arXiv:1905.10887.
    """
    classes = max(int(given.max()), int(labels.max())) + 1
    training = Training(epochs=epochs, seed=seed, check_every=epochs, select="last")
    start = fresh("small-cnn", made, classes=classes, seed=seed)
    model = fit(start, made, given, [], training, classes=classes).model
    hits = predicted(model, images.float() / 255, 256).argmax(1) == labels
    return share(int(hits.sum()), len(labels)).to_json()
