"""`fit_generator`, `sample_generator`, `generate_set`: train a generator, and make images or a labelled set by it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unshaken.api.job import choose_device
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.keywords import keywords
from unshaken.core.package import public
from unshaken.core.part import Condition
from unshaken.core.registry import parse_method
from unshaken.core.user_code import refuse_exit
from unshaken.data import Dataset, DataSource, as_dataset, stream, subset
from unshaken.data.dataset import file_mark
from unshaken.detect.engine.anatomy import predicted
from unshaken.generate.class_gaussian import ClassGaussianSettings, fit_class_gaussian
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
from unshaken.generate.fitting import Fitting, TrainedModel, fit
from unshaken.generate.generator import DiffusionSettings, Generator
from unshaken.generate.latent.vae import VAESettings
from unshaken.generate.rows import Throughput, generated_rows
from unshaken.generate.saved import load_generator, save
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.models import load_model
from unshaken.report.pages.made_images import MADE_IMAGES, write_set_record
from unshaken.report.render.notebook import pictures_card
from unshaken.run.shard import write_flags
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

MOST_BYTES = 2**31
"""Of the training images, which are held in memory."""
RECORD = "generated.json"
"""The file that is written last: where it is, all images are there."""


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """Images that a generative model made.

    Args:
        images: float32 `[n, C, H, W]` in [0, 1].
        labels: int64 `[n]`, or None for a model without classes.
        run: the directory where they are, or None when nothing was written.
    """

    images: Tensor = field(repr=False)
    labels: Tensor | None = field(repr=False)
    run: RunDir | None

    def _repr_html_(self) -> str:
        return pictures_card(f"{len(self.images)} images", self.images.mul(255).round().byte().cpu())


@public("generate.fit")
@refuse_exit()
@keywords()
def fit_generator(
    data: DataSource,
    method: str | DiffusionSettings | ClassGaussianSettings | VAESettings = "edm",
    *,
    out: str | Path,
    conditional: bool = False,
    limit: int | None = None,
    fitting: Fitting | None = None,
    width: int = 32,
    device: str = "auto",
    workers: int | None = None,
    download: bool = False,
) -> TrainedModel[Generator]:
    """Train a diffusion model with a small U-Net or a VAE, or fit Gaussians, and write it as one safetensors file.

    Args:
        data: a SPEC or an object, as for `audit`; all images have one size, which is a multiple of 4.
        method: `NAME[:k=v,...]` of the room `generate`, or its settings.
        out: the file.
        conditional: tell the model the class of each image, so that it can be asked for one.
        limit: images to learn from, a seeded and stratified subset; None for all.
        fitting: how long and how fast it learns.
        width: channels of the U-Net's first level; a VAE has its own.
        device: `auto`, `cpu`, `cuda` or `mps`.
        workers: threads that decode.
        download: allow the data to be fetched from their own source.

    Raises:
        DataError: no image can be read, they do not fit into memory, or labels are asked for and absent.
        ParameterError: a number is not allowed, or the images are of a size that the network cannot take.
        RunError: training failed, or the file cannot be written.
    """
    settings = parse_method(method, "generate") if isinstance(method, str) else method
    fitting = fitting or Fitting()
    chosen = choose_device(device)
    dataset = as_dataset(data, download=download)
    if conditional and dataset.labels is None:
        raise DataError(
            f"data {dataset.options.spec!r} has no labels: a conditional model needs the class of each image"
        )
    images, labels, _ = images_in_memory(dataset, limit, fitting.seed, workers)
    classes = max(len(dataset.classes), int(labels.max()) + 1) if conditional and labels is not None else 0
    if isinstance(settings, ClassGaussianSettings):
        model = fit_class_gaussian(images, labels if conditional else None, settings, seed=fitting.seed)
        save(model, out)
        return TrainedModel(model, ())
    image = (images.shape[1], images.shape[2], images.shape[3])
    if isinstance(settings, VAESettings):
        if conditional:
            raise ParameterError("a vae learns no classes: leave conditional out")
        learned = fit(settings.build(image, fitting.seed).to(chosen), images, None, fitting)
        save(learned.model, out)
        return learned
    net = UNet(UNetSettings(image=image, width=width, classes=classes), seed=fitting.seed)
    fitted = fit(settings.build(net).to(chosen), images, labels if conditional else None, fitting)
    save(fitted.model, out)
    return fitted


@public("generate.sample")
@refuse_exit()
@keywords()
def sample_generator(
    generator: str | Path,
    n: int,
    *,
    out: str | Path | None = None,
    classes: Sequence[int] | None = None,
    guidance: float = 1.0,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
) -> GenerateResult:
    """Make images by a diffusion model that `fit_generator` wrote.

    With classes, image i is of class `classes[i % len(classes)]`.

    Args:
        generator: the file.
        n: how many.
        out: a folder, new or empty, for PNG files, one folder a class where there are classes, and `generated.json`;
            None to write nothing. `folder:DIR` reads it as data.
        classes: numbers of the classes asked for; None for all that the model knows.
        guidance: strength of the class: 0 ignores it, 1 takes it as it is.
        steps: levels of noise on the way; None for what is usual for the method.
        seed: image i follows from the seed and i alone.
        batch_size: images in one pass.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        ModelError: the file is no diffusion model.
        ParameterError: a number is not allowed, or the model has no such classes.
        RunError: the folder is not empty, or cannot be written.
    """
    if n < 1:
        raise ParameterError(f"n={n} must be 1 or more")
    check_folder(out, "out", (RECORD,))
    folder = None if out is None else RunDir(out)
    if folder is not None and folder.exists(RECORD):
        raise RunError(f"{out}: holds generated images already; choose another --out")
    if folder is not None and (there := folder.names()):
        more = ", ..." if len(there) > 1 else ""
        raise RunError(
            f"{out}: is not empty ({there[0]}{more}), as after a run that was interrupted: delete it, or choose "
            "another --out"
        )
    place = choose_device(device)
    diffusion = load_generator(generator).to(place)
    if classes is not None and not diffusion.classes:
        raise ParameterError(f"{generator} was trained without classes: leave classes out")
    labels = None
    if diffusion.classes:
        wanted = torch.tensor(list(range(diffusion.classes)) if classes is None else list(classes))
        labels = wanted[torch.arange(n) % len(wanted)]
    began = time.perf_counter()
    images = diffusion.sample(n, steps=steps, seed=seed, labels=labels, guidance=guidance, batch_size=batch_size).cpu()
    speed = Throughput(n, time.perf_counter() - began, diffusion.usual_steps if steps is None else steps, place)
    if folder is not None:
        about = {"generator": str(generator), "method": diffusion.kind, "n": n, "seed": seed, "guidance": guidance}
        _write(folder, images, labels, {"schema": 1, **about, "steps": steps}, speed)
    return GenerateResult(images, labels, folder)


def images_in_memory(
    dataset: Dataset, limit: int | None, seed: int, workers: int | None
) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """Images, uint8 `[N, C, H, W]`, labels, int64 `[N]`, and ids of the samples that can be read.

    Args:
        dataset: where they come from.
        limit: images at most, a seeded and stratified subset; None for all.
        seed: of the subset.
        workers: threads that decode.

    Raises:
        DataError: none can be read, or they do not fit into memory.
    """
    images, labels, ids, total = list[Tensor](), list[Tensor](), list[str](), 0
    for item in stream(dataset, subset(dataset, limit, seed), workers=workers, batch_size=256):
        if isinstance(item, Batch):
            images.append((item.images * 255).round().to(torch.uint8))
            total += images[-1].numel()
            ids += item.ids
            if item.labels is not None:
                labels.append(item.labels)
        if total > MOST_BYTES:
            raise DataError(f"images of more than {MOST_BYTES >> 30} GiB do not fit into memory: use --limit or ?size=")
    if not images:
        raise DataError(f"none of the samples of {dataset.options.spec!r} can be read")
    return torch.cat(images), torch.cat(labels) if labels else None, tuple(ids)


def _write(folder: RunDir, images: Tensor, labels: Tensor | None, record: dict[str, Any], speed: Throughput) -> None:
    """The PNG files, rows and report, then the record."""
    names = list[str]()
    for i, image in enumerate(images):
        place = (f"{i:06d}.png",) if labels is None else (f"{int(labels[i]):04d}", f"{i:06d}.png")
        folder.write_png(image, *place)
        names.append("/".join(place))
    condition = Condition(record["method"], record["method"])
    part = generated_rows(condition, images, labels, names)
    for one in (part, speed.to_rows(condition)):
        folder.write_rows(table_of(one), one.table, condition.id, 0)
    if part.flags:
        write_flags(folder, condition.id, 0, list(part.flags))
    MADE_IMAGES.write(folder)
    folder.write_json({**record, "images": names, "speed": speed.to_json()}, RECORD)


@public("generate.dataset")
@refuse_exit()
@keywords()
def generate_set(
    generator: str | Path,
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
        generator: the file.
        n: images of the set.
        out: the parquet file, which `parquet:FILE` and `mix:REAL+parquet:FILE@1` read as data; None to write nothing.
        classes: numbers of the classes; None for all that the model knows.
        condition: `label`: from noise, for the class; `image`: variations of real images, without the class as input;
            `both`: variations, with the class as input.
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
    loaded = load_generator(generator).to(chosen)
    wanted = _classes(loaded, classes, condition, str(generator))
    labels = torch.tensor(wanted)[torch.arange(n) % len(wanted)]
    photos = None if source is None else _photos(source, loaded, labels, seed, download)
    checks: dict[str, Check] = {"flat": is_flat}
    if filter_model is not None:
        judge = load_model(filter_model, download=download).to(chosen).eval()
        checks["confidence"] = partial(_is_unsure, filter_model, judge, confidence, batch_size)
    copies = None
    if held_out is not None:
        images, _, ids = _read(held_out, loaded, download)
        copies = HeldOut(images, ids)
    options = {"steps": steps, "seed": seed, "guidance": guidance, "batch_size": batch_size}
    made = fill_set(loaded, labels, condition, photos, strength, checks, copies, options)
    if out is not None:
        about = {
            "generator": {"kind": loaded.kind, "file": list(file_mark(Path(generator)))}, "n": n, "seed": seed,
            "guidance": guidance, "steps": steps, "condition": condition, "classes": wanted,
            "strength": None if photos is None else strength,
            "filter": None if filter_model is None else {"model": filter_model, "confidence": confidence},
            "drawn": made.drawn, "refused": made.refused, "leaked": [list(pair) for pair in made.leaked],
        }  # fmt: skip
        _write_set(Path(out), made, about)
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


def _photos(source: DataSource, generator: Generator, labels: Tensor, seed: int, download: bool) -> Photos:
    """The real images to vary, one of each place's class."""
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


def _write_set(out: Path, made: GeneratedSet, about: dict[str, Any]) -> None:
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
