"""Generators with a latent code, directions and edits, by their names on the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.consent import is_code
from unshaken.core.errors import ModelError, ParameterError
from unshaken.generate.generator import Diffusion
from unshaken.generate.latent.adapters import DiffusionCodes, fit_linear_generator
from unshaken.generate.latent.inversion import Inversion
from unshaken.generate.latent.latent_generator import LatentGenerator, check_finite
from unshaken.generate.latent.natural_edits import NaturalEdits, edits_of
from unshaken.generate.latent.vae import VAE
from unshaken.generate.saved import load_diffusers, load_generator, read_tensors
from unshaken.models.loaders.load import second_model
from unshaken.models.loaders.weights import first_line
from unshaken.store.run_dir import RunDir

DIFFUSERS = "diffusers:"
"""Stands before a folder of the library diffusers."""
TOLERANCE = 1e-3
"""By which generated images may leave [0, 1]."""


class UserGenerator(LatentGenerator):
    """A module of the user's, from codes `[N, d]` to images `[N, C, H, W]` in [0, 1].

    Its attribute `latents` is d. Methods `encode(images)` and `first_weight()` are used where it has them, and so are
    `features(codes)` with `decode(features)`, the two parts of its forward pass.

    Args:
        net: the module.
        name: what messages call it.

    Raises:
        ModelError: it has no `latents`, fails on codes, or gives no images in [0, 1].
    """

    def __init__(self, net: nn.Module, name: str) -> None:
        super().__init__()
        self.net, self._name = net, name
        latents = getattr(net, "latents", None)
        if not isinstance(latents, int) or isinstance(latents, bool) or latents < 1:
            raise ModelError(f"the generator {name} needs an attribute latents, the length of a code, not {latents!r}")
        self._latents = latents
        self._parts = callable(getattr(net, "features", None)) and callable(getattr(net, "decode", None))
        self._image = self._form()

    @property
    @override
    def image(self) -> tuple[int, int, int]:
        return self._image

    @property
    @override
    def latents(self) -> int:
        return self._latents

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def features(self, codes: Tensor) -> Tensor:
        found: Tensor = self.net.features(codes) if self._parts else self.net(codes)  # type: ignore[operator]
        return found

    @override
    def decode(self, features: Tensor) -> Tensor:
        found: Tensor = self.net.decode(features) if self._parts else features  # type: ignore[operator]
        return found

    @override
    def encode(self, images: Tensor) -> Tensor | None:
        function = getattr(self.net, "encode", None)
        if function is None:
            return None
        codes: Tensor = function(images)
        if codes.shape != (len(images), self._latents):
            raise ModelError(
                f"the generator {self._name} encodes {len(images)} images as {tuple(codes.shape)}, not as "
                f"({len(images)}, {self._latents})"
            )
        return codes

    @override
    def first_weight(self) -> Tensor | None:
        function = getattr(self.net, "first_weight", None)
        weight = None if function is None else function()
        if weight is not None and (weight.ndim != 2 or weight.shape[1] != self._latents):
            raise ModelError(
                f"the first weight of the generator {self._name} is {tuple(weight.shape)}, not (M, {self._latents})"
            )
        return None if weight is None else weight.detach()

    def _form(self) -> tuple[int, int, int]:
        try:
            with torch.no_grad():
                images = self.generate(self.mean_code().expand(2, -1))
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the generator {self._name} takes no codes of {self._latents} numbers: {first_line(error)}"
            ) from None
        if not isinstance(images, Tensor) or images.ndim != 4 or len(images) != 2:
            form = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ModelError(f"the generator {self._name} makes {form} of two codes, not images (2, C, H, W)")
        check_finite(images, "images", self._name)
        low, high = float(images.min()), float(images.max())
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise ModelError(
                f"the generator {self._name} makes pixels from {low:.3g} to {high:.3g}, not within [0, 1]: map them "
                "there in its forward pass"
            )
        return images.shape[1], images.shape[2], images.shape[3]


def generator_files(spec: str) -> tuple[str, ...]:
    """The file or folder that a generator's SPEC names; none where it is code or empty.

    >>> generator_files("vae.safetensors"), generator_files("diffusers:ddpm"), generator_files("py:gan.py:make")
    (('vae.safetensors',), ('ddpm',), ())
    """
    place = spec.removeprefix(DIFFUSERS)
    return () if not place or is_code(spec) else (place,)


def load_latent_generator(spec: str, *, steps: int = 6) -> LatentGenerator:
    """A generator by its SPEC, in evaluation mode and without weight gradients.

    Args:
        spec: a file that `unshaken generate fit` wrote, `diffusers:DIR`, or `py:FILE_OR_MODULE:FACTORY`, whose factory
            returns a `LatentGenerator` or what `UserGenerator` takes.
        steps: levels of noise on the way of a diffusion model.

    Raises:
        ParameterError: nothing is named.
        ModelError: it cannot be loaded, or has no latent code.
    """
    kind, _, rest = spec.partition(":")
    if not spec or (kind in ("py", "diffusers") and not rest):
        raise ParameterError(
            f"generator {spec!r}: write a file of 'generate fit', diffusers:DIR, or py:FILE_OR_MODULE:FACTORY"
        )
    if kind == "py":
        module = second_model(spec).net
        found = module if isinstance(module, LatentGenerator) else UserGenerator(module, spec)
    else:
        model = load_diffusers(rest) if kind == "diffusers" else load_generator(spec)
        if isinstance(model, VAE):
            found = model
        elif isinstance(model, Diffusion):
            found = DiffusionCodes(model, steps)
        else:
            raise ModelError(f"the generator {spec} is a {model.kind}, which has no code of an image: fit a vae")
    return found.eval().requires_grad_(False)


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
    metadata, tensors = read_tensors(Path(path))
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
