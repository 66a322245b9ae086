"""A labelled training set made by a generator: conditions, filters, leakage, and one parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unshaken.api.generate import images_in_memory
from unshaken.api.job import choose_device
from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.keywords import keywords
from unshaken.data import DataSource, as_dataset
from unshaken.data.dataset import file_mark
from unshaken.detect.engine.anatomy import predicted
from unshaken.generate.fill import (
    CONDITIONS,
    Check,
    GeneratedSet,
    HeldOut,
    Photos,
    fill_set,
    is_flat,
    write_labelled_set,
)
from unshaken.generate.generator import Generator
from unshaken.generate.saved import load_generator
from unshaken.models import load_model
from unshaken.report.pages.made_images import write_set_record
from unshaken.store.run_dir import RunDir


@keywords()
def generate_set(
    model: str | Path,
    n: int,
    *,
    out: str | Path | None = None,
    classes: Sequence[int] | None = None,
    condition: str = "label",
    source: DataSource | None = None,
    strength: float = 0.5,
    guidance: float = 1.0,
    steps: int | None = None,
    seed: int = 0,
    filter_model: str | None = None,
    confidence: float = 0.5,
    held_out: DataSource | None = None,
    batch_size: int = 64,
    device: str = "auto",
    download: bool = False,
) -> GeneratedSet:
    """Make a labelled set by a generator that `fit_generator` wrote, and write it as one parquet file.

    Beside FILE.parquet stand FILE.generated.json and a page, FILE.generated.html: the same facts, and how many images a
    second were made, which is no part of the set.

    Place i is of class `classes[i % len(classes)]`. What a filter refuses is drawn again for its place, under the next
    free number. Image number j follows from the seed and j, so that the same arguments give the same bytes.

    Args:
        model: the file.
        n: images of the set.
        out: the parquet file, which `parquet:FILE` and `mix:REAL+parquet:FILE@1` read as data; None to write nothing.
        classes: numbers of the classes; None for all that the model knows.
        condition: `label`: from noise, for the class; `image`: variations of real images, without being told the class;
            `both`: variations, told the class.
        source: labelled real images to vary; never those of a test set.
        strength: of variations, in (0, 1].
        guidance: see `Generator.sample`.
        steps: see `Generator.sample`.
        seed: of the set.
        filter_model: SPEC of a classifier of the same classes that checks each image; None for no check.
        confidence: least probability that it gives the class.
        held_out: images that must not be repeated, such as the test set: copies are found by `find_leakage` on pixels,
            counted, and drawn again. None for no check.
        batch_size: images in one pass.
        device: `auto`, `cpu`, `cuda` or `mps`.
        download: allow data and models to be fetched from their own source.

    Raises:
        DataError: source or held-out images cannot be used, or the source has no image of a class.
        ModelError: the file is no generator, or images are of another size.
        ParameterError: a number is not allowed, the model has no such classes, or has none.
        RunError: filters refuse too many images, or the file cannot be written.
    """
    _check(n, confidence, condition, source)
    chosen = choose_device(device)
    generator = load_generator(model).to(chosen)
    wanted = _classes(generator, classes, condition, str(model))
    labels = torch.tensor(wanted)[torch.arange(n) % len(wanted)]
    photos = None if source is None else _photos(source, generator, labels, seed, download=download)
    checks: dict[str, Check] = {"flat": is_flat}
    if filter_model is not None:
        judge = load_model(filter_model, download=download).to(chosen).eval()
        checks["confidence"] = partial(_is_unsure, filter_model, judge, confidence, batch_size)
    copies = None
    if held_out is not None:
        images, _, ids = _read(held_out, generator, download)
        copies = HeldOut(images, ids)
    options = {"steps": steps, "seed": seed, "guidance": guidance, "batch_size": batch_size}
    made = fill_set(generator, labels, condition, photos, strength, checks, copies, options)
    if out is not None:
        about = {
            "generator": {"kind": generator.kind, "file": list(file_mark(Path(model)))}, "n": n, "seed": seed,
            "guidance": guidance, "steps": steps, "condition": condition, "classes": wanted,
            "strength": None if photos is None else strength,
            "filter": None if filter_model is None else {"model": filter_model, "confidence": confidence},
            "drawn": made.drawn, "refused": made.refused, "leaked": [list(pair) for pair in made.leaked],
        }  # fmt: skip
        _write(Path(out), made, about)
    return made


def _check(n: int, confidence: float, condition: str, source: DataSource | None) -> None:
    """Refuse what cannot be made, before anything is loaded."""
    if n < 1 or not 0 <= confidence <= 1:
        raise ParameterError(f"n={n} must be 1 or more, confidence={confidence:g} in [0, 1]")
    if condition not in CONDITIONS:
        raise ParameterError(f"condition {condition!r} is not one of {', '.join(CONDITIONS)}")
    if (condition == "label") != (source is None):
        raise ParameterError(
            f"condition {condition!r}: {'leave the source out' if source else 'give a source to vary'}"
        )


def _photos(source: DataSource, generator: Generator, labels: Tensor, seed: int, *, download: bool) -> Photos:
    """The real images to vary.

    Raises:
        DataError: they have no labels, or there is none of a class.
    """
    images, given, ids = _read(source, generator, download)
    if given is None:
        raise DataError(f"source {source!r} has no labels: a set of variations needs the class of each image")
    return Photos.of(images, given, ids, labels, seed)


def _is_unsure(
    name: str, judge: Classifier, confidence: float, batch_size: int, images: Tensor, given: Tensor
) -> Tensor:
    """Which images a classifier gives less than a probability of their class, bool `[N]`."""
    device = device_of(judge)
    share = predicted(judge, images.to(device), batch_size).cpu()
    if int(given.max()) >= share.shape[1]:
        raise ParameterError(f"{name} has {share.shape[1]} classes, class {int(given.max())} is needed")
    return share.gather(1, given[:, None])[:, 0] < confidence


def _write(out: Path, made: GeneratedSet, about: dict[str, Any]) -> None:
    """The set as a parquet file, and its record and page beside it."""
    n, wanted = len(made.numbers), sorted({*about["classes"]})
    columns: dict[str, list[Any]] = {
        "number": list(made.numbers), "source": list(made.sources), "seed": [about["seed"]] * n,
        "guidance": [about["guidance"]] * n, "condition": [about["condition"]] * n,
    }  # fmt: skip
    write_labelled_set(out, made.images, made.labels, columns, about)
    counts = {str(k): int((made.labels == k).sum()) for k in wanted}
    record = {"schema": 1, "file": out.name, **about, "by_class": counts, "speed": made.speed.to_json()}
    write_set_record(RunDir(out.parent), out.stem, record)


def _read(data: DataSource, generator: Generator, download: bool) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """Images in memory, of the generator's size, with labels and ids."""
    found = images_in_memory(as_dataset(data, download=download), None, 0, None)
    generator.check(found[0][:1].float(), None)
    return found


def _classes(generator: Generator, classes: Sequence[int] | None, condition: str, name: str) -> list[int]:
    if not generator.classes and condition != "image":
        raise ParameterError(f"{name} was trained without classes: train it with them, or vary images alone")
    most = generator.classes or 1 << 31
    if classes is not None and not (classes and 0 <= min(classes) <= max(classes) < most):
        raise ParameterError(f"classes {list(classes)}: give one or more from 0 to {most - 1}")
    if classes is None and not generator.classes:
        raise ParameterError(f"{name} knows no classes: name those of the images to vary")
    return list(range(generator.classes)) if classes is None else list(classes)
