"""Prompts in the frequency domain: one a cluster of images, how they change an image, and their file."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.boxes import boxed
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.harden.engine.defence import GuardedModel
from unshaken.store.run_dir import RunDir
from unshaken.stress.engine.filters import half_radius, low_pass

Form = Literal["additive", "replace", "multiplicative", "amplitude", "spatial"]
WORDS = ("form", "norm", "layer")
SIZES = ("width", "pool")
NUMBERS = ("radius", "budget", "spread")
TENSORS = ("prototypes", "spectra", "purity", "commonest", "counts")


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts that `FrequencyPrompt.fit` found: all that the guard needs apart from the model.

    Args:
        prototypes: centres of the K clusters in the space of selection features, `[K, F]`.
        spectra: P of each cluster, real and imaginary part of the half spectrum, `[K, C, H, W // 2 + 1, 2]`; of the
            form `spatial` the pattern itself, `[K, C, H, W]`.
        width: W in pixels; a half spectrum does not tell.
        pool: side of the cells whose means are the selection features; 0 where a layer gives them.
        form: how a prompt and an image come together; see `FrequencyPrompt`.
        norm: of the budget.
        layer: of the model, whose output is the selection feature; empty for none.
        radius: r in bins: prompts live at `rho > r`.
        budget: of the change, in [0, 1] pixel units under the norm.
        spread: mean squared distance of the training images from their prototype.
        purity: share of each cluster's commonest class among its training images, `[K]`.
        commonest: that class, int64 `[K]`.
        counts: training images of each cluster, `[K]`.
    """

    prototypes: Tensor
    spectra: Tensor
    width: int
    pool: int
    form: Form
    norm: str
    layer: str
    radius: float
    budget: float
    spread: float
    purity: Tensor
    commonest: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.prototypes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return self.spectra.shape[1], self.spectra.shape[2], self.width

    def table(self) -> Tensor:
        """One row a cluster: patterns inside the budget, or spectra where these meet the image's."""
        if self.form in ("multiplicative", "amplitude"):
            return self.spectra
        return within(pattern(self.spectra, self.radius, self.width, self.form), self.budget, self.norm)

    def apply(self, images: Tensor, row: Tensor, *, clip: bool = True) -> Tensor:
        """Add to each image its prompt.

        Args:
            images: `[N, C, H, W]` in [0, 1].
            row: of `table`, one a sample.
            clip: to [0, 1].
        """
        if self.form in ("multiplicative", "amplitude"):
            own = torch.view_as_complex(row.contiguous()) if self.form == "multiplicative" else row[..., 0]
            spectrum = torch.fft.rfft2(images) * _mask(row, self.radius, self.width) * own
            change = within(torch.fft.irfft2(spectrum, s=self.shape[1:]), self.budget, self.norm)
        else:
            change = row
        base = low_pass(images, self.radius) if self.form == "replace" else images
        return boxed(base + change) if clip else base + change

    def shuffled(self, seed: int = 0) -> Prompts:
        """A control: every cluster gets another's prompt.

        Raises:
            ParameterError: there is one cluster only.
        """
        if len(self) < 2:
            raise ParameterError("prompts of one cluster cannot be shuffled between clusters")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        spectra = self.spectra.clone()
        spectra[order] = self.spectra[order.roll(1)]
        return replace(self, spectra=spectra)

    def random(self, seed: int = 0) -> Prompts:
        """A control: random phases and sizes at the same frequencies, each pattern of the same mean size as its own."""
        noise = torch.randn(self.spectra.shape, generator=torch.Generator().manual_seed(seed)).to(self.spectra)
        other = replace(self, spectra=noise)
        sizes = [p.table().abs().flatten(1).mean(1) for p in (self, other)]
        for _ in range(20):  # the budget cuts, so that size is not linear in scale
            scale = (sizes[0] / sizes[1].clamp_min(1e-12)).view(-1, *(1,) * (noise.ndim - 1))
            other = replace(other, spectra=other.spectra * scale)
            sizes[1] = other.table().abs().flatten(1).mean(1)
        return other

    def save(self, path: str | Path) -> Path:
        """Keep the prompts as safetensors, whole or not at all."""
        path = Path(path)
        RunDir(path.parent).write(self.to_bytes(), path.name)
        return path

    def to_bytes(self) -> bytes:
        """The prompts as the bytes of a safetensors file."""
        tensors = {k: getattr(self, k).cpu().contiguous() for k in TENSORS}
        words = {k: str(getattr(self, k)) for k in (*WORDS, *NUMBERS, *SIZES)}
        return bytes(save_tensors(tensors, {"what": "frequency-prompt", **words}))

    @classmethod
    def load(cls, path: str | Path) -> Prompts:
        """Read prompts from a file that `save` wrote.

        Raises:
            DataError: it is absent, damaged, or holds something else.
        """
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"prompts {str(path)!r} cannot be read ({error.strerror}): fit them again") from None
        return cls.from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Prompts:
        """Prompts from what `to_bytes` gave.

        Args:
            data: a whole safetensors file.
            name: what messages call it.

        Raises:
            DataError: it is damaged, or holds something else.
        """
        try:
            tensors = load_tensors(data)
            head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        except (SafetensorError, ValueError, RecursionError) as error:
            raise DataError(f"prompts {name!r} cannot be read ({error}): fit them again") from None
        words = head.get("__metadata__", {})
        if words.get("what") != "frequency-prompt" or words.get("form") not in get_args(Form):
            raise DataError(f"{name!r} holds no frequency prompts: fit them and save them there")
        try:
            values: dict[str, Any] = {**tensors, **{k: words[k] for k in WORDS}}
            values |= {k: float(words[k]) for k in NUMBERS} | {k: int(words[k]) for k in SIZES}
            return cls(**values)
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(f"prompts {name!r} are damaged ({type(error).__name__}: {error}): fit them again") from None


def pattern(spectra: Tensor, radius: float, width: int, form: Form = "additive") -> Tensor:
    """`delta = irfft2(M_r P)`, real by construction; of the form `spatial` the pattern as it is.

    The inverse divides by H W, so that P is in units of the unnormalised DFT.

    Args:
        spectra: as in `Prompts`.
        radius: r in bins.
        width: W in pixels.
        form: see `Form`.
    """
    if form == "spatial":
        return spectra
    masked = torch.view_as_complex(spectra.contiguous()) * _mask(spectra, radius, width)
    found: Tensor = torch.fft.irfft2(masked, s=(spectra.shape[2], width))
    return found


def within(change: Tensor, budget: float, norm: str) -> Tensor:
    """Changes inside their budget: clipped (`linf`), or shrunk (`l2`)."""
    if norm == "linf":
        return change.clamp(-budget, budget)
    length = torch.linalg.vector_norm(change.flatten(1), dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)
    shrunk: Tensor = change * (budget / length).clamp_max(1)
    return shrunk


def _mask(spectra: Tensor, radius: float, width: int) -> Tensor:
    """`M_r = 1[rho > r]` on the half spectrum."""
    return (half_radius(spectra.shape[2], width) > radius).to(spectra.device, spectra.dtype)


def default_radius(height: int) -> float:
    """An eighth of the height: 28 of 224, 4 of 32."""
    return math.floor(height / 4) / 2


Gradient = Literal["exact", "selection", "selection+clip"]


@torch.fx.wrap
def _check_shape(images: Tensor, shape: tuple[int, int, int]) -> None:
    if tuple(images.shape[1:]) != tuple(shape):
        raise ModelError(f"frequency prompts are for images of {tuple(shape)}, not {tuple(images.shape[1:])}")


class PromptedClassifier(nn.Module):
    """A classifier behind prompts; see `guarded`.

    Args:
        model: on images in [0, 1].
        prompts: which.
        gradient: what attacks see.
        fixed: a cluster that every image gets; None for the nearest.
    """

    def __init__(self, model: Classifier, prompts: Prompts, gradient: Gradient, fixed: int | None) -> None:
        super().__init__()
        self.model, self.prompts, self.gradient, self.fixed = model, prompts, gradient, fixed
        self.prototypes: Tensor
        self.table: Tensor
        self.register_buffer("prototypes", prompts.prototypes.clone())
        self.register_buffer("table", prompts.table().clone())

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(self.shown(images))
        return logits

    def shown(self, images: Tensor) -> Tensor:
        """Images with their prompts, as the model gets them, `[N, C, H, W]` in [0, 1]."""
        _check_shape(images, self.prompts.shape)
        if self.fixed is not None:
            row = self.table[self.fixed].expand(images.shape[0], *self.table.shape[1:])
        elif self.gradient == "exact":
            row = self.table[self.select(images)]
        else:
            away = self.distances(images)
            soft = (-away / max(self.prompts.spread, 1e-12)).softmax(1)
            hard = F.one_hot(away.argmin(1), len(self.prompts)).to(soft)
            row = torch.einsum("nk,k...->n...", hard + (soft - soft.detach()), self.table)
        if self.gradient != "selection+clip":
            return self.prompts.apply(images, row)
        open_ended = self.prompts.apply(images, row, clip=False)
        return open_ended.detach().clamp(0, 1) + (open_ended - open_ended.detach())

    def select(self, images: Tensor) -> Tensor:
        """The nearest prototype of each image, int64 `[N]`."""
        return self.distances(images).argmin(1)

    def distances(self, images: Tensor) -> Tensor:
        """Squared distances to the prototypes, `[N, K]`."""
        features = selection_features(self.model, images, self.prompts.pool, self.prompts.layer)
        products = features @ self.prototypes.T
        return features.square().sum(1, keepdim=True) - 2 * products + self.prototypes.square().sum(1)


def guarded(
    model: Classifier, prompts: Prompts, *, gradient: Gradient = "selection", fixed: int | None = None
) -> GuardedModel:
    """A model behind frequency prompts, in evaluation mode; weights are shared with the model.

    Args:
        model: left as it is.
        prompts: of the model's own image size.
        gradient: see `FrequencyPrompt`.
        fixed: a cluster that every image gets, for attacks that take the selection as given; None for the nearest.

    Raises:
        ModelError: the model takes images of another size.
        ParameterError: there is no such cluster or gradient.
    """
    if model.input_size is not None and model.input_size != prompts.shape[1:]:
        raise ModelError(f"model {model.name!r} takes images of {model.input_size}, the prompts {prompts.shape[1:]}")
    if fixed is not None and not 0 <= fixed < len(prompts):
        raise ParameterError(f"fixed={fixed} is no cluster: there are 0 to {len(prompts) - 1}")
    if gradient not in get_args(Gradient):
        raise ParameterError(f"gradient={gradient!r} must be one of {', '.join(get_args(Gradient))}")
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    device = next(iter(model.parameters()), prompts.prototypes).device
    net = PromptedClassifier(copy.deepcopy(model, shared), prompts, gradient, fixed)

    def others() -> dict[str, Classifier]:
        """A surrogate that passes gradients where the clip to [0, 1] hides them."""
        if gradient == "selection+clip":
            return {}
        return {"selection+clip": guarded(model, prompts, gradient="selection+clip", fixed=fixed)}

    return GuardedModel(net, model, name="frequency-prompt", surrogates=others).to(device)


def selection_features(model: Classifier, images: Tensor, pool: int, layer: str = "") -> Tensor:
    """Features by which images are clustered and prompts selected, `[N, F]`.

    Args:
        model: for its layer, if one is named.
        images: `[N, C, H, W]` in [0, 1].
        pool: side in pixels of the cells whose means are taken.
        layer: whose output is taken instead: mean over places or tokens, at unit length.
    """
    if not layer:
        return F.avg_pool2d(images, pool).flatten(1)
    found = model.features(images, [layer])[1][layer]
    if found.ndim == 4:
        found = found.mean((2, 3))
    elif found.ndim == 3:
        found = found.mean(1)
    return F.normalize(found.flatten(1), dim=1)
