"""Two sub-images that share the pixels of an image, and the way back to the size that a network wants."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.certify.engine.base import Certifier
from unshaken.certify.smoothing.votes import Tally, upper_bound, vote
from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.context import Journal
from unshaken.core.device import device_of
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.core.search_copy import search_copy
from unshaken.models.loaders.load import second_model
from unshaken.models.within import choose_same

Split = Literal["checkerboard", "columns", "top-bottom", "random"]
Expansion = Literal["repeat", "fill", "mask"]
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


class Halves:
    """Which pixels belong to which side, and where each pixel of a network's input is taken from.

    A sub-image is the row of a side's pixels, `[N, C, m]`, in reading order; the channels of a pixel stay together.
    All that a network sees of it is a fixed rearrangement, so noise on a sub-image is noise in m dimensions a channel.

    Args:
        split: `checkerboard` (left: row + column even), `columns` (every other column), `top-bottom`, or `random` (half
            of the pixels, drawn by `seed`).
        expansion: `repeat` (the side's pixels of each row, stretched to the width; rows without any are left out and
            the others stretched to the height), `fill` (each pixel stays where it was; a hole takes the nearest pixel
            of its row, of two the left one, a row without any that of the nearest row), or `mask` (holes are 0).
        height: of the image in pixels.
        width: of the image in pixels.
        seed: of the `random` split.

    Raises:
        ParameterError: no such split or expansion, or a side would have no pixel.
    """

    def __init__(self, split: Split, expansion: Expansion, height: int, width: int, seed: int = 0) -> None:
        for what, value, known in (("split", split, get_args(Split)), ("expansion", expansion, get_args(Expansion))):
            if value not in known:
                raise ParameterError(f"no {what} {value!r}: {did_you_mean(value, known)}")
        left = on_the_left(split, height, width, seed)
        if left.all() or not left.any():
            raise ParameterError(
                f"split={split} leaves one side of an image of {height} x {width} pixels empty: choose another split, "
                "such as checkerboard, and images of two pixels or more"
            )
        self.shape = height, width
        self._places, self._source = {}, {}
        for side, mask in zip(SIDES, (left, ~left), strict=True):
            source = _EXPANSIONS[expansion](mask)
            self._places[side] = torch.from_numpy(mask.ravel().nonzero()[0])
            self._source[side] = torch.from_numpy(source.ravel())

    def pixels(self, side: Side) -> Tensor:
        """The places of a side's pixels in the image read row by row, int64 `[m]`, rising."""
        return self._places[side]

    def take(self, images: Tensor, side: Side) -> Tensor:
        """A side's sub-images.

        Args:
            images: `[N, C, H, W]`.
            side: which.

        Returns:
            `[N, C, m]`.

        Raises:
            ParameterError: the images have another size.
        """
        if tuple(images.shape[2:]) != self.shape:
            raise ParameterError(f"images of {tuple(images.shape[2:])} pixels for halves of {self.shape}")
        return images.flatten(2).index_select(2, self._places[side].to(images.device))

    def expand(self, parts: Tensor, side: Side) -> Tensor:
        """Sub-images `[N, C, m]` as a network's input `[N, C, H, W]`."""
        return expanded(parts, self._source[side].to(parts.device), self.shape)

    def wrap(self, model: Classifier, side: Side) -> OnHalf:
        """The model as a classifier of a side's sub-images `[N, C, m]`."""
        return OnHalf(model, self._source[side], self.shape, side)


@lru_cache(64)
def halves(split: Split, expansion: Expansion, height: int, width: int, seed: int = 0) -> Halves:
    """`Halves`, made once for each size."""
    return Halves(split, expansion, height, width, seed)


class OnHalf(Classifier):
    """A model behind an expansion: from sub-images `[N, C, m]` to logits.

    Args:
        model: from images to logits; shared, not copied.
        source: which pixel of the sub-image each pixel of the model's input is, int64 `[H * W]`, -1 for 0.
        shape: height and width.
        side: for its name.
    """

    source: Tensor

    def __init__(self, model: Classifier, source: Tensor, shape: tuple[int, int], side: Side) -> None:
        super().__init__(
            model,
            classes=model.classes,
            differentiable=model.differentiable,
            name=f"{model.name} on the {side} half",
            reject=model.reject,
        )
        self.training = model.training
        device = device_of(model)
        self.register_buffer("source", source.to(device), persistent=False)
        self.shape = shape

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(expanded(images, self.source, self.shape))
        return logits


def expanded(parts: Tensor, source: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sub-images laid out over an image.

    Args:
        parts: `[N, C, m]`.
        source: which of the m each pixel is, int64 `[H * W]`, -1 for 0.
        shape: height and width.

    Returns:
        `[N, C, H, W]`.
    """
    found = parts.index_select(2, source.clamp_min(0)) * (source >= 0)
    return found.view(*parts.shape[:2], *shape)


def on_the_left(split: Split, height: int, width: int, seed: int) -> NDArray[np.bool_]:
    """Which pixels are the left side's, `[H, W]`."""
    row, column = np.indices((height, width))
    if split == "checkerboard":
        return np.asarray((row + column) % 2 == 0)
    if split == "columns":
        return np.asarray(column % 2 == 0)
    if split == "top-bottom":
        return np.asarray(row < (height + 1) // 2)
    drawn = SampleRng.of(seed, "halves", [f"{height}x{width}"]).generators()[0].permutation(height * width)
    return np.asarray(drawn.reshape(height, width) % 2 == 0)


def _number(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place of each kept pixel among them."""
    return np.asarray(mask.ravel().cumsum().reshape(mask.shape) - 1, np.int64)


def _repeat(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows with pixels stretched over the height, the pixels of each over the width."""
    (height, width), number = mask.shape, _number(mask)
    rows = [number[i][mask[i]] for i in range(height) if mask[i].any()]
    stretched = [r[np.arange(width) * len(r) // width] for r in rows]
    return np.stack([stretched[i * len(rows) // height] for i in range(height)])


def _fill(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The nearest kept pixel: of the own row, else of the nearest row with one."""
    (height, width), number = mask.shape, _number(mask)
    there = np.flatnonzero(mask.any(1))
    found = np.empty(mask.shape, np.int64)
    for i in range(height):
        row = there[np.abs(there - i).argmin()]
        columns = mask[row].nonzero()[0]
        nearest = columns[np.abs(columns[:, None] - np.arange(width)).argmin(0)]
        found[i] = number[row, nearest]
    return found


def _mask(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Nothing in the holes."""
    return np.where(mask, _number(mask), -1)


_EXPANSIONS = {"repeat": _repeat, "fill": _fill, "mask": _mask}


class TwoHalves(Certifier):
    """The classifier that gives the class with the largest sum of two probabilities, one of each half's network."""

    sigma: PositiveFloat = Field(
        default=0.25, description="deviation of the noise on the left half, in [0, 1] pixel units"
    )
    sigma_right: PositiveFloat | None = Field(
        default=None, description="deviation of the noise on the right half, in [0, 1] pixel units; default: sigma"
    )
    split: Split = Field(default="checkerboard", description="which pixels are the left half")
    split_seed: NonNegativeInt = Field(default=0, description="random seed of the random split")
    expansion: Expansion = Field(default="repeat", description="how a half becomes an image of the network's size")
    right: str = Field(default="", description="model SPEC of a network for the right half; empty for the same network")

    @property
    @override
    def subject(self) -> str:
        return "sum of two halves smoothed at sigma={:g} and {:g}".format(*self.sigmas.values())

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.right,) if self.right else ()

    def classifier_parameters(self) -> dict[str, Any]:
        """The parameters that decide which classifier this speaks of; those that are None are left out."""
        return {name: value for name in TwoHalves.model_fields if (value := getattr(self, name)) is not None}

    @property
    def sigmas(self) -> dict[Side, float]:
        """The noise on each side."""
        return {"left": self.sigma, "right": self.sigma if self.sigma_right is None else self.sigma_right}

    def cut(self, images: Tensor) -> Halves:
        """The halves of such images.

        Raises:
            ParameterError: the split leaves one side empty.
        """
        return halves(self.split, self.expansion, *images.shape[2:], self.split_seed)

    def beyond(self, oracle: Oracle) -> Oracle:
        """The oracle of the right half's network.

        Raises:
            ModelError: it is absent.
            ParameterError: it has other classes.
        """
        if not self.right:
            return oracle
        right = second_model(self.right).to(oracle.device)
        return oracle.share_meter(choose_same(right, oracle.model, purpose=f"{self.info.name}: the right model"))

    def poll(self, oracle: Oracle, batch: Batch, side: Side, *, stream: str, **how: Any) -> Tally:
        """The votes of a network on one side's sub-images, with noise on these pixels alone.

        Args:
            oracle: runs the network and counts its passes.
            batch: whole images; its labels are left alone.
            side: which half.
            stream: name of the noise's stream.
            how: further arguments of `vote`.

        Raises:
            ParameterError: the split leaves one side of such images empty.
        """
        cut = self.cut(batch.images)
        parts, behind = cut.take(batch.images, side), cut.wrap(oracle.model, side)
        counted = Oracle(
            behind,
            limit=oracle.limit,
            precision=oracle.precision,
            strict_batch=oracle.strict_batch,
            search_copy=search_copy(behind, parts[:2]),
            meter=oracle.meter,
        )
        places = torch.arange(len(batch), device=parts.device)
        return vote(counted, parts, batch.ids, sigma=self.sigmas[side], method=f"{stream}/{side}", labels=places, **how)


PLAIN = 0.001
"""How unlikely a label must be to win before its votes are given up. No certificate depends on it."""


class LostLabelsOfSide:
    """Samples whose label cannot win: `labels` are places in the batch here, so that the other side can be looked up.

    Args:
        left: the finished votes of the other side.
        labels: int64 `[N]`, -1 where unknown.
    """

    def __init__(self, left: Tally, labels: Tensor) -> None:
        self.labels = labels
        ours = left.counts.gather(1, labels.clamp_min(0)[:, None]).squeeze(1)
        self.most = upper_bound(ours.cpu(), left.drawn.cpu(), PLAIN).to(labels.device)

    def __call__(self, tally: Tally, labels: Tensor) -> Tensor:
        """Bool `[N]`: with few of the first votes too, the label's two shares are shown to be below 1 together."""
        label, most = self.labels[labels], self.most[labels]
        ours = tally.selected.gather(1, label.clamp_min(0)[:, None]).squeeze(1)
        here = upper_bound(ours.cpu(), tally.selected.sum(1).cpu(), PLAIN).to(label.device)
        return (label >= 0) & (most + here < 1)


class SideJournal:
    """One side's records in a journal that both share.

    Args:
        journal: shared.
        side: whose.
    """

    def __init__(self, journal: Journal, side: Side) -> None:
        self.journal, self.start = journal, f"{side}/"

    def found(self) -> dict[str, dict[str, Any]]:
        """Records of this side by sample id."""
        start = self.start
        return {k.removeprefix(start): v for k, v in self.journal.found().items() if k.startswith(start)}

    def keep(self, sample: str, record: dict[str, Any]) -> None:
        """A sample is finished on this side."""
        self.journal.keep(f"{self.start}{sample}", record)

    def flush(self) -> None:
        """Write what is waiting."""
        self.journal.flush()
