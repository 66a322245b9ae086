"""Directions as a file, and edits from what the command line names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from unshaken.core.errors import ModelError, ParameterError
from unshaken.generate.latent.inversion import Inversion
from unshaken.generate.latent.latent_generator import LatentGenerator
from unshaken.generate.latent.linear import fit_linear_generator
from unshaken.generate.latent.loading import load_latent_generator
from unshaken.generate.latent.natural_edits import NaturalEdits, edits_of
from unshaken.models.loaders.weights import first_line, refuse_disguised
from unshaken.store.run_dir import RunDir

FORMAT = "unshaken-directions-1"
COMPONENTS = 24
"""Length of the code of the linear generator that stands in where none is named."""


@dataclass(frozen=True, slots=True)
class Directions:
    """Directions of a generator's code, and which of them keep the class.

    Args:
        directions: `[k, d]`, orthonormal.
        eigenvalues: `[k]`.
        scales: deviation of training codes along each, `[k]`.
        changed: share of correctly classified images whose class an edit changes, `[k]`.
        kept: bool `[k]`.
        origin: code `[d]` from which images are inverted.
    """

    directions: Tensor
    eigenvalues: Tensor
    scales: Tensor
    changed: Tensor
    kept: Tensor
    origin: Tensor

    def edits(self, generator: LatentGenerator, *, inversion: Inversion | None = None) -> NaturalEdits:
        """Edits along the directions that are kept.

        Raises:
            ModelError: the directions are of another generator.
            ParameterError: none is kept.
        """
        if self.directions.shape[1] != generator.latents:
            raise ModelError(
                f"the directions are of codes of {self.directions.shape[1]} numbers, those of the generator "
                f"{generator.name} have {generator.latents}: find its own by 'generate directions'"
            )
        if not bool(self.kept.any()):
            raise ParameterError("no direction keeps the class: find others with a smaller amplitude, or more of them")
        device = generator.mean_code().device
        rows = self.kept.nonzero().flatten()
        return NaturalEdits(
            generator, self.directions[rows].to(device), self.scales[rows].to(device), origin=self.origin.to(device),
            inversion=inversion,
        )  # fmt: skip


def save_directions(found: Directions, path: Path | str, about: dict[str, object]) -> None:
    """Write directions as one safetensors file, whole or not at all.

    Args:
        found: the directions.
        path: the file.
        about: how they were found, JSON values.

    Raises:
        RunError: the file cannot be written.
    """
    tensors = {name: getattr(found, name).detach().cpu().contiguous() for name in Directions.__slots__}
    target = Path(path)
    RunDir(target.parent).write(save_tensors(tensors, {"format": FORMAT, "about": json.dumps(about)}), target.name)


def load_directions(path: Path | str) -> Directions:
    """Read directions that `save_directions` wrote.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    refuse_disguised(Path(path))
    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a complete safetensors file ({first_line(error)}): get it again") from None
    if metadata.get("format") != FORMAT or set(tensors) != set(Directions.__slots__):
        raise ModelError(f"{path} holds no directions: write them by 'generate directions'")
    found = Directions(**tensors)
    k = len(found.directions)
    shapes = [found.scales.shape, found.eigenvalues.shape, found.changed.shape, found.kept.shape]
    if found.directions.ndim != 2 or any(s != (k,) for s in shapes) or found.origin.shape != found.directions.shape[1:]:
        raise ModelError(f"{path} is damaged: its tensors do not fit each other")
    if not all(bool(v.isfinite().all()) for v in (found.directions, found.scales, found.origin)):
        raise ModelError(f"{path} is damaged: it holds values that are no finite numbers")
    return found


def load_edits(
    generator: str, directions: str, images: Tensor, k: int, *, seed: int = 0, inversion: Inversion | None = None
) -> NaturalEdits:
    """Edits from what the command line names.

    Args:
        generator: see `load_latent_generator`; empty for the principal components of `images`.
        directions: a file of directions; empty to find up to k, which are not filtered.
        images: `[N, C, H, W]` in [0, 1], some images of the data.
        k: directions at most.
        seed: of codes that are drawn.
        inversion: how images are inverted where there is no encoder.

    Raises:
        ModelError: the generator or the file cannot be used, or is for other images.
        DataError: there is no generator, and too few images for principal components.
        ParameterError: directions are named without their generator, or none of them keeps the class.
    """
    if directions and not generator:
        raise ParameterError(f"directions={directions}: name the generator whose code they are of, generator=FILE")
    made = load_latent_generator(generator) if generator else fit_linear_generator(images, COMPONENTS)
    made = made.to(images.device)
    made.check_images(images)
    if directions:
        return load_directions(directions).edits(made, inversion=inversion)
    with torch.no_grad():
        return edits_of(made, images.float(), k, seed=seed, inversion=inversion)
