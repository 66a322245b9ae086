"""Directions of a generator along which images change and classes do not: found, filtered, and drawn as a grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unshaken.api.generate import images_in_memory
from unshaken.api.job import choose_device
from unshaken.core.classifier import predict
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.oracle import Oracle
from unshaken.core.package import public
from unshaken.core.user_code import refuse_exit
from unshaken.data import DataSource, as_dataset
from unshaken.generate.latent.directions import find_directions
from unshaken.generate.latent.inversion import Inversion
from unshaken.generate.latent.loading import Directions, load_latent_generator, save_directions
from unshaken.generate.latent.natural_edits import (
    MOST_CHANGED,
    NaturalEdits,
    changed_shares,
    edits_of,
    statistic_correlations,
)
from unshaken.models import load_model
from unshaken.report.render.notebook import pictures_card
from unshaken.store.run_dir import RunDir

DRAWN, COLUMNS = 3, (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Images of each direction in the grid, and the amounts at which each is drawn, as shares of the amplitude."""


@dataclass(frozen=True, slots=True)
class NaturalDirections:
    """Directions of a generator, and what is known of each.

    Args:
        directions: with eigenvalues, scales and which are kept.
        statistics: of an image by name, to the correlation of each direction with its change, `[k]`.
        grid: the pictures, `[C, H, W]` in [0, 1]: three rows a direction, from one end of it to the other.
        images: that the shares are of.
    """

    directions: Directions
    statistics: dict[str, Tensor]
    grid: Tensor
    images: int

    def _repr_html_(self) -> str:
        kept = int(self.directions.kept.sum())
        title = f"{kept} of {len(self.directions.kept)} directions kept, on {self.images:,} images"
        return pictures_card(title, self.grid[None].mul(255).round().byte().cpu(), side=512)

    def table(self) -> list[dict[str, object]]:
        """One record a direction: eigenvalue, scale, share of changed classes, whether it is kept, its statistic."""
        found, names = self.directions, list(self.statistics)
        values = torch.stack([self.statistics[name] for name in names])
        nearest = values.abs().argmax(0).tolist()
        return [
            {
                "direction": j, "eigenvalue": float(found.eigenvalues[j]), "scale": float(found.scales[j]),
                "changed": float(found.changed[j]), "kept": bool(found.kept[j]), "statistic": names[nearest[j]],
                "correlation": float(values[nearest[j], j]),
            }
            for j in range(len(found.kept))
        ]  # fmt: skip


@public()
@refuse_exit()
@keywords()
def find_natural_directions(
    generator: str,
    data: DataSource,
    model: str,
    *,
    out: str | Path | None = None,
    k: int = 8,
    amplitude: float = 1.5,
    most_changed: float = MOST_CHANGED,
    inversion_steps: int = 300,
    limit: int | None = 1000,
    seed: int = 0,
    device: str = "auto",
    download: bool = False,
) -> NaturalDirections:
    """Find directions of a generator's code, and leave out those that change the class by a reference classifier.

    Args:
        generator: a file of `fit_generator`, `diffusers:DIR`, or `py:FILE_OR_MODULE:FACTORY`.
        data: labelled images that the reference classifier has not learned; never those of a test set.
        model: SPEC of the reference classifier, which is not the one to be attacked or trained.
        out: the file, safetensors; the grid is written beside it, as PNG. None to write nothing.
        k: directions to find.
        amplitude: ends of a direction, in deviations of the codes.
        most_changed: share of correctly classified images whose class an end may change.
        inversion_steps: steps of Adam to a code, for a generator without an encoder.
        limit: images at most, a seeded and stratified subset; None for all.
        seed: of the subset, and of codes that are drawn.
        device: `auto`, `cpu`, `cuda` or `mps`.
        download: allow data and model to be fetched from their own source.

    Raises:
        DataError: there are no labels, all images are of one class, or the reference is right on none.
        ModelError: the generator or the model cannot be used, or is for other images.
        ParameterError: a number is not allowed.
        RunError: the file cannot be written.
    """
    if k < 1 or not 0 < amplitude <= 100 or not 0 <= most_changed <= 1:
        raise ParameterError(
            f"k={k} must be 1 or more, amplitude={amplitude:g} in (0, 100], most_changed={most_changed:g} in [0, 1]"
        )
    place = choose_device(device)
    found, labels, _ = images_in_memory(as_dataset(data, download=download), limit, seed, None)
    if labels is None:
        raise DataError(f"data {data!r} has no labels: whether an edit keeps the class shows on labelled images")
    images, labels = found.to(place).float() / 255, labels.to(place)
    made = load_latent_generator(generator).to(place)
    oracle = Oracle(load_model(model, download=download).to(place).eval())
    edits = edits_of(made, images, k, seed=seed, inversion=Inversion(steps=inversion_steps))
    changed = changed_shares(edits, lambda shown: predict(oracle.exact(shown)), images, labels, amplitude)
    _, eigenvalues = find_directions(made, k, seed=seed)
    directions = Directions(
        edits.directions.cpu(), eigenvalues.cpu(), edits.scales.cpu(), changed.cpu(), (changed <= most_changed).cpu(),
        edits.origin.cpu(),
    )  # fmt: skip
    statistics = {name: v.cpu() for name, v in statistic_correlations(edits, images, amplitude).items()}
    result = NaturalDirections(directions, statistics, draw_grid(edits, images[:DRAWN], amplitude).cpu(), len(images))
    if out is not None:
        about = {"generator": made.name, "model": model, "amplitude": amplitude, "most_changed": most_changed}
        save_directions(directions, out, {**about, "images": len(images), "table": result.table()})
        RunDir(Path(out).parent).write_png(result.grid, f"{Path(out).stem}.png")
    return result


@torch.no_grad()
def draw_grid(edits: NaturalEdits, images: Tensor, amplitude: float) -> Tensor:
    """Each image at five amounts of each direction, `[C, k N H, 5 W]` with the directions one below the other.

    Args:
        edits: the directions.
        images: `[N, C, H, W]` in [0, 1].
        amplitude: the ends.
    """
    codes, rows = edits.encode(images), []
    for j in range(edits.count):
        columns = []
        for share in COLUMNS:
            amounts = torch.zeros(len(images), edits.count, device=images.device)
            amounts[:, j] = share * amplitude
            columns.append(edits.edit(images, codes, amounts))
        rows += list(torch.cat(columns, 3))
    return torch.cat(rows, 1)
