"""`measure_scaling`: how a loss falls with more real and with more generated training images, and what one is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.api.generate import images_in_memory
from unshaken.api.job import choose_device, default_out
from unshaken.core.classifier import Classifier
from unshaken.core.consent import of_arguments
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import in_range
from unshaken.core.options import BATCH, COUNT, LIMIT, SEED
from unshaken.core.package import public
from unshaken.core.part import Condition, Part
from unshaken.core.progress import track
from unshaken.core.registry import parse_method
from unshaken.core.tables import declare_table
from unshaken.data import Dataset, DataSource, as_dataset
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training, training_of
from unshaken.measure.scaling import tempered_losses
from unshaken.models.networks.architectures import build
from unshaken.report.pages.scaling import RECORD, SCALING
from unshaken.report.render.notebook import render_notebook
from unshaken.store.lock import locked
from unshaken.store.provenance import provenance
from unshaken.store.record import begin_record
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

REAL, GENERATED = "real", "generated"
CHOOSING = 5
"""One test image in as many chooses the temperature, and judges nothing."""

declare_table(
    "scaling",
    "id string, condition string, method string, images int64, repetition int64, label int64, prediction int64, "
    "loss double, raw_loss double, error string",
)


@dataclass(frozen=True, slots=True)
class ScalingResult:
    """Scaling curves of real and generated images.

    Args:
        run: the directory: `scaling.json`, the rows `scaling`, and a report.
        summary: what `scaling.json` holds: settings and figures.
    """

    run: RunDir
    summary: dict[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        return render_notebook(SCALING.page_of(self.run), f"{str(self.run).rstrip('/')}/report.html")


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """Images in memory with their classes, uint8 `[N, C, H, W]` and int64 `[N]`."""

    images: Tensor
    labels: Tensor
    ids: tuple[str, ...]

    def take(self, rows: Tensor) -> _Images:
        return _Images(self.images[rows], self.labels[rows], tuple(self.ids[i] for i in rows.tolist()))


@public("generate.scaling")
@of_arguments
def measure_scaling(
    real: DataSource,
    generated: DataSource | Sequence[DataSource],
    test: DataSource,
    *,
    model: str = "small-cnn",
    methods: str | Recipe | Sequence[str | Recipe] = (),
    sizes: Sequence[int] = (250, 500, 1000, 2000),
    repetitions: int = 3,
    updates: int = 600,
    batch_size: int = 128,
    lr: float = 0.05,
    limit: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    download: bool = False,
) -> ScalingResult:
    """Measure how the loss on real test images falls with more real, and with more generated, training images.

    For each source, size and repetition a network with new weights learns the first images of a seeded order, in which
    each class has its share at every size: a larger set holds the smaller ones. All trainings take as many steps. A
    fifth of the test images chooses the temperature of each network's losses, the others judge. A power law is fitted
    to the losses of each source, and says how many generated images one real image is worth.

    Args:
        real: labelled real images.
        generated: labelled generated images of the same classes; several sets are compared each by itself.
        test: labelled real images that neither the networks nor the generator have learned.
        model: an architecture with new weights, as for `harden`.
        methods: recipes of the trainings, `NAME[:k=v,...]`; none for cross-entropy.
        sizes: unique training images, rising, two at least.
        repetitions: trainings of each source and size, each with an order and weights of its own.
        updates: optimizer steps of a training.
        batch_size: images of an optimizer step.
        lr: largest learning rate.
        limit: images of each set at most, a seeded and stratified subset; None for all, which are held in memory.
        seed: of all that is drawn.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; trainings that are finished are not done again.
        device: `auto`, `cpu`, `cuda` or `mps`.
        download: allow data to be fetched from their own source.

    Raises:
        ParameterError: a number or a name is not allowed.
        DataError: a set has no labels, too few images, images of another size, or other classes.
        RunError: the directory holds another run, or this one without `resume`.
    """
    recipes = [parse_method(m, "harden") if isinstance(m, str) else m for m in _listed(methods)]
    numbers = {"repetitions": repetitions, "updates": updates, "batch_size": batch_size}
    _check(sizes, model, numbers, lr, seed, limit)
    plan = partial(training_of, updates=updates, batch_size=batch_size, lr=lr, held_out=1)
    place = choose_device(device)
    named = dict(zip(_names(_listed(generated)), _listed(generated), strict=True))
    opened = {name: as_dataset(d, download=download) for name, d in {REAL: real, **named, "test": test}.items()}
    specs = {name: data.options.spec for name, data in opened.items()}
    settings = {
        "sources": specs, "data_fingerprints": {name: data.fingerprint for name, data in opened.items()},
        "model": model, "methods": [[r.info.name, r.model_dump(mode="json")] for r in recipes], "sizes": list(sizes),
        **numbers, "lr": lr, "limit": limit, "seed": seed,
    }  # fmt: skip
    run = RunDir(out or default_out(model, specs[REAL], "scaling"))
    with locked(run) as lock:
        record = begin_record(run, RECORD, settings, resume=resume)
        sources = {name: _read(data, limit, seed) for name, data in opened.items()}
        tested = sources.pop("test")
        classes = _check_sets(opened, sources, tested, sizes)
        cells = [(name, size, r) for r in range(repetitions) for name in sources for size in sizes]
        with track("scaling", len(cells)) as task:
            for name, size, r in cells:
                condition = Condition(f"{name}-{size}", name)
                if not run.has_rows("scaling", condition.id, r):
                    net = _train(model, sources[name], size, classes, recipes, plan(size, seed=seed * 1000 + r), place)
                    columns = _answers(net, tested, place, seed, images=size, repetition=r)
                    run.write_rows(table_of(Part("scaling", condition, columns)), "scaling", condition.id, r)
                lock.renew()
                task.advance()
        remarks = _remarks(sources, tested)
        run.write_json(record | {"remarks": remarks, "provenance": provenance(), "finished": True}, RECORD)
        SCALING.write(run)
    return ScalingResult(run, SCALING.read(run).record)


def _train(
    model: str, source: _Images, size: int, classes: int, recipes: list[Recipe], training: Training, place: str
) -> Classifier:
    """A network with new weights that has learned the first images of a source, by the training's seed."""
    seed = training.seed
    learned = source.take(nested_order(source.labels, classes, seed)[:size])
    start = fresh(model, learned.images, classes=classes, seed=seed).to(place)
    return fit(start, learned.images, learned.labels, recipes, training, classes=classes).model


def nested_order(labels: Tensor, classes: int, seed: int) -> Tensor:
    """An order of samples in which each class has its share of the first ones, however many are taken.

    Args:
        labels: int64 `[N]`.
        classes: number of classes K.
        seed: of the order.

    Returns:
        Places, int64 `[N]`.
    """
    rng = np.random.default_rng([seed, 7])
    at = np.empty(len(labels))
    for k in range(classes):
        own = np.flatnonzero(labels.numpy() == k)
        at[rng.permutation(own)] = (np.arange(len(own)) + rng.random()) / max(1, len(own))
    return torch.from_numpy(np.argsort(at, kind="stable"))


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _names(sources: Sequence[object]) -> list[str]:
    if not sources:
        raise ParameterError("no generated images are named: give one set at least")
    return [GENERATED if i == 0 else f"{GENERATED}-{i + 1}" for i in range(len(sources))]


def _check(sizes: Sequence[int], model: str, counts: dict[str, int], lr: float, seed: int, limit: int | None) -> None:
    build(model, classes=2)  # refuses an unknown name before any data is read
    if len(sizes) < 2 or sorted({*sizes}) != list(sizes) or sizes[0] < 1:
        raise ParameterError(f"sizes {','.join(map(str, sizes))}: give two or more numbers of images, rising from 1 on")
    for name, value in counts.items():
        in_range(name.replace("_", " "), value, *(BATCH if name == "batch_size" else COUNT))
    in_range("seed", seed, *SEED)
    if limit is not None:
        in_range("limit", limit, *LIMIT)
    if not 0 < lr < float("inf"):
        raise ParameterError(f"lr={lr:g} must be above 0, and finite")


def _read(data: Dataset, limit: int | None, seed: int) -> _Images:
    images, labels, ids = images_in_memory(data, limit, seed, None)
    if labels is None:
        raise DataError(f"data {data.options.spec!r} has no labels: a scaling curve needs the class of each image")
    return _Images(images, labels, ids)


def _has_names(classes: Sequence[str]) -> bool:
    """Whether classes have names, and not numbers alone."""
    return not all(name.isascii() and name.isdecimal() for name in classes)


def _check_sets(opened: dict[str, Dataset], sources: dict[str, _Images], tested: _Images, sizes: Sequence[int]) -> int:
    """The number of classes; refuses sets that cannot be compared."""
    real, shape = opened[REAL], tuple(sources[REAL].images.shape[1:])
    classes = max(len(real.classes), int(sources[REAL].labels.max()) + 1)
    for name, own in {**sources, "test": tested}.items():
        spec, names = opened[name].options.spec, list(opened[name].classes)
        if tuple(own.images.shape[1:]) != shape:
            one, other = ("x".join(map(str, s)) for s in (own.images.shape[1:], shape))
            raise DataError(
                f"images of {spec!r} are {one} (channels x height x width) and real ones {other}: give ?size="
            )
        if int(own.labels.max()) >= classes:
            raise DataError(f"{spec!r} has the class {int(own.labels.max())}; the real images have {classes}, from 0")
        if _has_names(names) and _has_names(real.classes) and names != list(real.classes):
            raise DataError(f"the classes of {spec!r} begin with {names[:3]} and those of the real images with "
                            f"{list(real.classes[:3])}: name them alike, in one order")  # fmt: skip
    for name, own in sources.items():
        counts = torch.bincount(own.labels, minlength=classes)
        if sizes[-1] > len(own.labels):
            has = f"{opened[name].options.spec!r} has {len(own.labels):,} images"
            raise DataError(f"{has}, and the largest size is {sizes[-1]:,}: give smaller sizes, or more images")
        if least := int((counts == 0).sum()):
            raise DataError(f"{opened[name].options.spec!r}: {least} of {classes} classes have no image")
    if sizes[0] < classes:
        raise DataError(f"a size is {sizes[0]} for {classes} classes: give at least an image of each")
    if len(tested.labels) < 2 * CHOOSING:
        raise DataError(f"{len(tested.labels)} test images are too few: give {2 * CHOOSING} or more")
    return classes


def _answers(model: Any, tested: _Images, place: str, seed: int, **same: int) -> dict[str, list[Any]]:
    """Rows of the test images that judge: predictions, losses before and after a temperature, and `same` in each."""
    with torch.no_grad():
        parts = [model(part.to(place).float() / 255).double().cpu() for part in torch.split(tested.images, 256)]
    logits = torch.cat(parts).numpy()
    order = np.random.default_rng([seed, 8]).permutation(len(logits))
    chosen, judged = np.array_split(order, [len(order) // CHOOSING])
    labels, judged = tested.labels.numpy(), np.sort(judged)
    own, others = (logits[judged], labels[judged]), (logits[chosen], labels[chosen])
    raw = -torch.from_numpy(own[0]).log_softmax(1).gather(1, torch.from_numpy(own[1])[:, None])[:, 0]
    return {
        "id": [tested.ids[i] for i in judged], "label": own[1].tolist(), "prediction": own[0].argmax(1).tolist(),
        "loss": tempered_losses(*own, *others).tolist(), "raw_loss": raw.tolist(),
        **{name: [value] * len(judged) for name, value in same.items()},
    }  # fmt: skip


def _remarks(sources: dict[str, _Images], tested: _Images) -> list[str]:
    """What a reader must know: test images that are among the training images, pixel for pixel."""
    apart = {image.numpy().tobytes() for image in tested.images}
    found = {name: sum(image.numpy().tobytes() in apart for image in own.images) for name, own in sources.items()}
    return [
        f"{count:,} of the {len(sources[name].labels):,} images of {name} are test images, pixel for pixel: its curve "
        "is better than it should be."
        for name, count in found.items() if count
    ]  # fmt: skip
