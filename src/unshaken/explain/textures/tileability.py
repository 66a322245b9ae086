"""TexTile: how tileable a texture is, by a classifier that sees it tiled; it has a gradient and so is a loss, too.

The analysis `tileability` gives the score of every texture of a data set, beside the closed forms that need no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import interpolate
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier
from unshaken.core.errors import UNFIT_INPUT, DataError, ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.core.texts import first_line
from unshaken.data.dataset import BadSample
from unshaken.data.streaming import stream
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.textures.seams import border_energy, seam_ratios
from unshaken.measure import Figure, share
from unshaken.measure.statistics import means
from unshaken.stress.engine.filters import luma

SHARPNESS = 0.25

Network = Callable[[Tensor], Tensor]


def tile(textures: Tensor, n: int = 2) -> Tensor:
    """Lay n x n copies of each texture side by side.

    Args:
        textures: `[N, C, H, W]`.
        n: copies each way, at least 1.

    Returns:
        `[N, C, n H, n W]`; a gradient adds up over the copies.
    """
    return textures.repeat(1, 1, n, n)


def logistic(logits: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """`1 / (1 + exp(-sharpness z))`: the score in (0, 1) of a logit z.

    >>> [round(t, 4) for t in logistic(torch.tensor([-4.0, 0.0, 4.0])).tolist()]
    [0.2689, 0.5, 0.7311]
    """
    return torch.sigmoid(sharpness * logits)


def tile_logits(network: Network, textures: Tensor, *, tiles: int = 1, side: int | None = None) -> Tensor:
    """The logit of "tileable", higher for better; it has a gradient.

    Args:
        network: from images in [0, 1] to logits `[N, 2]`, whose second class is "tileable", such as a classifier
            trained with `TileNet`, which lays out the tiles itself; or to `[N]` or `[N, 1]`.
        textures: `[N, C, H, W]` in [0, 1]. Several maps of one material (albedo, normals) are scored each.
        tiles: copies each way that are laid out before the network; 2 for a network as the publication's.
        side: pixels to which the tiled picture is resized; None for its own size. Small seams of large textures do
            not survive it.

    Returns:
        `[N]`.

    Raises:
        ParameterError: the network gives another number of logits.
    """
    shown = tile(textures, tiles) if tiles > 1 else textures
    if side is not None and shown.shape[2:] != (side, side):
        shown = interpolate(shown, (side, side), mode="bilinear", antialias=True)
    logits = network(shown)
    if logits.ndim == 2 and logits.shape[1] == 2:
        return logits[:, 1] - logits[:, 0]
    if logits.numel() == len(textures):
        return logits.reshape(-1)
    raise ParameterError(
        f"tileability: the network gives logits {tuple(logits.shape)}; give one of two classes, broken and tileable"
    )


def tile_score(
    network: Network, textures: Tensor, *, tiles: int = 1, side: int | None = None, sharpness: float = SHARPNESS
) -> Tensor:
    """TexTile's score in (0, 1), higher for better; see `tile_logits` and `logistic`.

    As a loss, `1 - tile_score(...)` needs a term beside it that keeps the content: a constant picture tiles perfectly.
    """
    return logistic(tile_logits(network, textures, tiles=tiles, side=side), sharpness)


@torch.no_grad()
def score_at_view(
    model: Classifier, textures: Tensor, *, tiles: int = 1, side: int = 0, sharpness: float = SHARPNESS
) -> Tensor:
    """Score textures by a model at the size and with the channels that it looks at.

    Args:
        model: see `tile_logits`.
        textures: `[N, C, H, W]` in [0, 1], of 1 or 3 channels.
        tiles: see `tile_logits`.
        side: of the picture shown to the model in pixels; 0 for the height of its view.
        sharpness: see `logistic`.

    Returns:
        `[N]` in (0, 1).

    Raises:
        ModelError: the model does not take the textures.
    """
    view = model.view
    shown = textures
    if view is not None:
        shown = luma(textures) if view.channels == 1 else textures.expand(-1, 3, -1, -1)
    try:
        at = side or (None if view is None else view.height)
        return tile_score(model, shown, tiles=tiles, side=at, sharpness=sharpness)
    except UNFIT_INPUT as error:
        shape = " x ".join(str(size) for size in shown.shape[1:])
        raise ModelError(
            f"model {model.name!r} does not take a texture of {shape} (channels x height x width): {first_line(error)}"
        ) from error


SMALLEST = 8
"""Least side of a texture in pixels: the steps inside of fewer are no measure for the one over the seam."""
FLAT = 1 / 512
"""Contrast below which a texture is of one colour: half a level of 8 bits."""
TWICE = 0.05
"""Seam ratio below which the border may stand twice."""
SHOWN = 4
"""Best and worst textures of which pictures are kept."""


@register("tileability", reference="Rodriguez-Pardo et al. 2024, arXiv:2403.12961")
class Tileability(Analysis):
    """Tileability: seam ratio and border energy of each texture, and TexTile's score where a network is named.

    The network is the model of the command: one trained on textures that tile and that do not (architecture
    `tile-net`), or the user's, with two classes of which the second tiles, or one logit. Textures are not cut to its
    view, which would cut their seams off.
    """

    table: ClassVar[str] = "textures"
    group: ClassVar[str] = "textures"
    needs: ClassVar[frozenset[str]] = frozenset({"images"})

    score: bool = Field(default=False, description="score the textures by the model, a network that tells what tiles")
    tiles: PositiveInt = Field(
        default=1, description="copies each way shown to it; 2 if it does not tile by itself", le=8
    )
    side: int = Field(
        default=0, description="side in pixels of the picture shown to it; 0 for its own input size", ge=0, le=4096
    )
    sharpness: NonNegativeFloat = Field(default=SHARPNESS, description="slope of the logistic of the score", le=1)
    ratio: PositiveFloat = Field(default=1.5, description="largest seam ratio of a texture that tiles")

    @property
    @override
    def required(self) -> frozenset[str]:
        return self.needs | ({"model"} if self.score else set())

    @override
    def find(self, subject: Subject) -> Findings:
        rows = [self._measure(batch, subject) for batch in _textures(subject)]
        good = [row for row in rows if row["error"] is None]
        if not good:
            raise DataError(f"none of {len(rows)} textures has {SMALLEST} x {SMALLEST} pixels or more")
        remarks = []
        if flat := sum(row["contrast"] < FLAT for row in good):
            remarks.append(f"{flat:,} of {len(good):,} textures are of one colour: they tile, whatever they show.")
        if twice := sum(row["contrast"] >= FLAT and min(_ratios(row)) < TWICE for row in good):
            remarks.append(
                f"{twice:,} of {len(good):,} textures have hardly a step over a seam: a border that stands twice looks "
                "so."
            )
        if len(good) < len(rows):
            remarks.append(f"{len(rows) - len(good):,} of {len(rows):,} textures are too small to be measured.")
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        pictures = _pictures(subject, good)
        arrays = {str(place): image for place, (_, image) in enumerate(pictures)}
        extra = {"kept": [name for name, _ in pictures], "ratio": self.ratio}
        forwards = len(good) if self.score else 0
        return Findings(columns, self._figures(good), tuple(remarks), arrays, extra, forwards=forwards)

    def _measure(self, batch: Batch, subject: Subject) -> dict[str, Any]:
        images, (height, width) = batch.images, batch.images.shape[2:]
        row: dict[str, Any] = {"id": batch.ids[0], "height": height, "width": width}
        names = ("contrast", "horizontal_seam", "vertical_seam", "seam_fault", "border_energy", "tile_score", "error")
        row |= dict.fromkeys(names)
        if min(height, width) < SMALLEST:
            row["error"] = f"{height} x {width} pixels: the minimum is {SMALLEST} x {SMALLEST}"
            return row
        ratios = seam_ratios(images)[0]
        row["horizontal_seam"], row["vertical_seam"] = ratios.tolist()
        row["seam_fault"] = float(ratios.log().abs().amax())
        row["contrast"] = float(images.std((2, 3), correction=0).mean())
        row["border_energy"] = float(border_energy(images)[0])
        if self.score:
            score = score_at_view(subject.model, images, tiles=self.tiles, side=self.side, sharpness=self.sharpness)
            row["tile_score"] = float(score)
        return row

    def _figures(self, rows: list[dict[str, Any]]) -> dict[str, Figure]:
        found = {
            "tiles_by_seam_ratio": share(sum(max(_ratios(row)) <= self.ratio for row in rows), len(rows)),
            "border_energy": mean_figure(np.array([row["border_energy"] for row in rows])),
        }
        if self.score:
            found["tile_score"] = mean_figure(np.array([row["tile_score"] for row in rows]))
        return found


def _ratios(row: Mapping[str, Any]) -> tuple[float, float]:
    return row["horizontal_seam"], row["vertical_seam"]


def mean_figure(values: np.ndarray[Any, np.dtype[np.float64]]) -> Figure:
    """A mean of numbers of 0 or more over textures, with its bootstrap interval."""
    return means.mean_figure(values, low=0.0)


def _textures(subject: Subject, indices: Sequence[int] | None = None) -> Iterator[Batch]:
    """The textures one by one, each of its own size, as they are: no model's view cuts them."""
    chosen = subject.indices if indices is None else indices
    for part in stream(subject.samples, chosen, workers=subject.workers, batch_size=1, own_sizes=True):
        if isinstance(part, BadSample):
            subject.bad[part.id] = part.reason
        else:
            yield part.to(subject.device)


def _pictures(subject: Subject, rows: list[dict[str, Any]]) -> list[tuple[str, Tensor]]:
    """Ids and images `[C, H, W]` of the textures that tile worst, then of those that tile best."""
    ranked = sorted(rows, key=lambda row: (row["tile_score"] or 0.0, -max(_ratios(row)), row["id"]))
    wanted = list(dict.fromkeys(row["id"] for row in (*ranked[:SHOWN], *ranked[: -SHOWN - 1 : -1])))
    place = {subject.samples.ids[index]: index for index in subject.indices}
    found = {b.ids[0]: b.images[0].cpu() for b in _textures(subject, [place[i] for i in wanted])}
    return [(name, found[name]) for name in wanted]
