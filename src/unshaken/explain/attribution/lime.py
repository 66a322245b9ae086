"""LIME: a linear model of the score, from copies of the image in which segments are missing."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.imports import need
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Logits
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap, Score, Target, even_piece, score_of
from unshaken.explain.engine.masked import CHUNK

Segmentation = Literal["slic", "grid"]
"""SLIC's pieces of like colour (needs scikit-image), or the cells of a grid."""


def segments_of(images: Tensor, kind: Segmentation, count: int, compactness: float, sigma: float) -> Tensor:
    """The segment of each pixel, from 0.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        kind: see `Segmentation`.
        count: number of segments, met approximately.
        compactness: of SLIC: how much nearness counts beside likeness of colour.
        sigma: of SLIC: deviation of a blur before, in pixels.

    Returns:
        Int64 `[N, H, W]`.

    Raises:
        MissingExtra: SLIC is wanted, and scikit-image is absent.
    """
    if kind == "grid":
        height, width = images.shape[2:]
        return grid_segments(height, width, count).to(images.device).expand(len(images), -1, -1)
    why = "SLIC segments (segmentation=grid needs no package)"
    slic = need("skimage.segmentation", "scikit-image", "explain", why).slic
    colours = images if images.shape[1] == 3 else images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    found = [
        torch.from_numpy(slic(x, n_segments=count, compactness=compactness, sigma=sigma, start_label=0))
        for x in colours.permute(0, 2, 3, 1).cpu().double().numpy()
    ]
    return torch.stack(found).long().to(images.device)


def grid_segments(height: int, width: int, count: int) -> Tensor:
    """Cells of a grid of about `count` cells, as many down as across, int64 `[H, W]`.

    >>> grid_segments(2, 4, 4).tolist()
    [[0, 0, 1, 1], [2, 2, 3, 3]]
    """
    side = max(1, round(count**0.5))
    down, across = (torch.arange(n) * min(side, n) // n for n in (height, width))
    cells: Tensor = down[:, None] * min(side, width) + across
    return cells


def segment_means(images: Tensor, segments: Tensor) -> Tensor:
    """Images in which each pixel has the mean colour of its segment.

    Args:
        images: `[N, C, H, W]`.
        segments: int64 `[N, H, W]`.

    Returns:
        The images' shape.
    """
    n, channels = images.shape[:2]
    place = segments.flatten(1)[:, None].expand(-1, channels, -1)
    sums = images.new_zeros(n, channels, int(segments.max()) + 1)
    sizes = sums.scatter_add(2, place, torch.ones_like(images.flatten(2)))
    sums = sums.scatter_add(2, place, images.flatten(2))
    return (sums / sizes.clamp(min=1)).gather(2, place).view_as(images)


class Copies(State):
    """State of the search, one row a sample.

    Args:
        target: the sample and its class.
        rng: the sample's streams.
        segments: of each pixel, int64 `[N, H, W]`.
        behind: what shows where a segment is missing, `[N, C, H, W]`.
        scores: of the copies, `[N, samples]`.
        asked: int64 `[N]`: copies asked about.
    """

    target: Target
    rng: SampleRng
    segments: Tensor
    behind: Tensor
    scores: Tensor
    asked: Tensor


def linear_fit(present: Tensor, scores: Tensor, kernel: float, ridge: float) -> Tensor:
    """Coefficients of `min_b0,b sum_i w_i (s_i - b0 - b z_i)^2 + ridge |b|^2`, with `w_i = exp(-d_i^2 / kernel^2)`.

    The distance d is the cosine distance between z and a row of ones, `1 - sqrt(mean z)`; without any segment 1.

    Args:
        present: z, bool `[M, L]`.
        scores: s, `[M]`.
        kernel: width of the kernel.
        ridge: weight of the penalty.

    Returns:
        b, float64 `[L]`, on the CPU.
    """
    z, s = present.cpu().double(), scores.cpu().double()
    weights = (-(1 - z.mean(1).sqrt()).square() / kernel**2).exp()
    share = weights / weights.sum()
    centred = z - share @ z
    gram = centred.T @ (weights[:, None] * centred) + ridge * torch.eye(z.shape[1]).to(z)
    right = centred.T @ (weights * (s - share @ s))
    found: Tensor = right @ torch.linalg.pinv(gram, hermitian=True)
    return found


@register("lime", reference="Ribeiro et al. 2016, arXiv:1602.04938")
class LIME(Attribution[Copies]):
    """LIME: coefficients of a weighted ridge regression of the score on which segments are present.

    The image is cut into segments; of each copy every segment is missing with probability 1/2 and shows its own mean
    colour then; the first copy is the whole image. A pixel gets the signed coefficient of its segment.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    repeated: ClassVar[bool] = True

    remarks: ClassVar[tuple[str, ...]] = (
        "Maps of LIME change with the seed and with the number of segments: compare several before you believe one.",
    )

    score: Score = Field(
        default="probability", description="score that is explained: logit, probability or log-probability"
    )
    segmentation: Segmentation = Field(
        default="slic", description="slic: pieces of like colour (scikit-image); or grid"
    )
    segments: PositiveInt = Field(default=50, description="number of segments, about")
    compactness: PositiveFloat = Field(default=30.0, description="how much nearness counts beside colour in SLIC")
    sigma: NonNegativeFloat = Field(default=3.0, description="deviation of the blur before SLIC, in pixels", le=100)
    samples: PositiveInt = Field(default=1000, description="number of copies")
    kernel: PositiveFloat = Field(
        default=0.25, description="width of the kernel that weighs copies, in cosine distance"
    )
    ridge: NonNegativeFloat = Field(default=1.0, description="weight of the squared coefficients")

    @property
    @override
    def width(self) -> int:
        return CHUNK

    @override
    def start(self, target: Target, rng: SampleRng) -> Copies:
        images = target.images
        segments = segments_of(images, self.segmentation, self.segments, self.compactness, self.sigma)
        scores = images.new_zeros(len(images), self.samples)
        none = torch.zeros_like(target.classes)
        return Copies(target, rng, segments, segment_means(images, segments), scores, none)

    def _numbers(self, state: Copies) -> Tensor:
        """The next copies; in the last query the last one is repeated."""
        piece = torch.arange(even_piece(self.samples, CHUNK), device=state.asked.device)
        return (state.asked[:, None] + piece).clamp(max=self.samples - 1)

    def present(self, rng: SampleRng, number: Tensor, segments: int) -> Tensor:
        """Which segments copies have, bool `[N, Q, L]`; whatever L is, a segment's draws are the same.

        Args:
            rng: the samples' streams.
            number: which copies, int64 `[N, Q]`.
            segments: L.
        """
        drawn = rng.each(number).fresh(segments).view(*number.shape, segments)
        return (drawn < 0.5) | (number == 0)[:, :, None]

    @override
    def ask(self, state: Copies) -> Logits:
        images, number = state.target.images, self._numbers(state)
        n, q = number.shape
        present = self.present(state.rng, number, int(state.segments.max()) + 1)
        place = state.segments.flatten(1)[:, None].expand(-1, q, -1)
        shown = present.gather(2, place).view(n, q, 1, *images.shape[2:])
        return Logits(torch.where(shown, images[:, None], state.behind[:, None]))

    @override
    def tell(self, state: Copies, answer: Answer) -> Copies:
        number = self._numbers(state)
        scores = score_of(required(answer.logits), state.target.classes, self.score)
        return state.replace(scores=state.scores.scatter(1, number, scores), asked=state.asked + number.shape[1])

    @override
    def done(self, state: Copies) -> Tensor:
        return state.asked >= self.samples

    @override
    def result(self, state: Copies) -> AttributionMap:
        found = []
        every = torch.arange(self.samples, device=state.asked.device)[None]
        for i, segments in enumerate(state.segments):
            present = self.present(state.rng[i : i + 1], every, int(segments.max()) + 1)[0]
            weights = linear_fit(present, state.scores[i], self.kernel, self.ridge).float()
            found.append(weights.to(segments.device)[segments])
        return AttributionMap(torch.stack(found) if found else state.target.images[:, 0])
