"""Small generative models from a program: train one on a data set, and make images by one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unshaken.api.job import choose_device
from unshaken.core.batch import Batch
from unshaken.core.errors import DataError, ParameterError, RunError
from unshaken.core.keywords import keywords
from unshaken.core.part import Condition
from unshaken.core.registry import parse_method
from unshaken.data import Dataset, DataSource, as_dataset, stream, subset
from unshaken.generate.class_gaussian import ClassGaussianSettings, fit_class_gaussian
from unshaken.generate.fit import Fitting, TrainedModel, fit
from unshaken.generate.generator import DiffusionSettings, Generator
from unshaken.generate.latent.vae import VAESettings
from unshaken.generate.rows import Throughput, generated_rows
from unshaken.generate.saved import load_generator, save
from unshaken.generate.unet import UNet, UNetSettings
from unshaken.report.pages.made_images import MADE_IMAGES
from unshaken.report.render.notebook import pictures_card
from unshaken.run.shard import write_flags
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
        folder: where they are, or None when nothing was written.
    """

    images: Tensor
    labels: Tensor | None
    folder: RunDir | None

    def _repr_html_(self) -> str:
        return pictures_card(f"{len(self.images)} images", self.images.mul(255).round().byte().cpu())


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


@keywords()
def sample_generator(
    model: str | Path,
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
        model: the file.
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
    diffusion = load_generator(model).to(place)
    if classes is not None and not diffusion.classes:
        raise ParameterError(f"{model} was trained without classes: leave classes out")
    labels = None
    if diffusion.classes:
        wanted = torch.tensor(list(range(diffusion.classes)) if classes is None else list(classes))
        labels = wanted[torch.arange(n) % len(wanted)]
    began = time.perf_counter()
    images = diffusion.sample(n, steps=steps, seed=seed, labels=labels, guidance=guidance, batch_size=batch_size).cpu()
    speed = Throughput(n, time.perf_counter() - began, diffusion.usual_steps if steps is None else steps, place)
    if folder is not None:
        about = {"model": str(model), "method": diffusion.kind, "n": n, "seed": seed, "guidance": guidance}
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
