"""Square: random search with square windows, from scores alone."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import margin
from unshaken.attack.engine.problem import Problem
from unshaken.core.device import is_needless
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Logits
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

TINY = 1e-12
POWERS = {"l2": 2, "l1": 4}
"""By which power of its number a ring of the bump falls off."""


def bump(side: int, norm: str) -> Tensor:
    """The profile of a window: a positive peak over a negative one, of norm 1.

    Each peak is a pile of centred squares, the k-th of height `1 / k^2` in l2 and `1 / k^4` in l1.

    Args:
        side: in pixels, at least 1.
        norm: `l2` or `l1`.

    Returns:
        `[side, side]`.
    """
    half = side // 2
    return _unit(torch.cat([_peak(half, side, norm), -_peak(side - half, side, norm)]), norm)


def tiled(shape: tuple[int, int], choice: Tensor, signs: Tensor, norm: str) -> Tensor:
    """The start: the image covered by bumps of a fifth of its short side.

    Args:
        shape: height and width.
        choice: bool `[N, 1, T]`, T the number of tiles (`tiles`): whether a bump is transposed.
        signs: 1 or -1, `[N, C, T]`.
        norm: `l2` or `l1`.

    Returns:
        `[N, C, height, width]`, not scaled.
    """
    side, rows, columns = tiles(shape)
    one = bump(side, norm).to(signs)
    each = torch.where(choice[..., None, None], one.T, one) * signs[..., None, None]  # [N, C, T, side, side]
    n, channels = signs.shape[:2]
    wall = each.view(n, channels, rows, columns, side, side).transpose(3, 4)
    top, left = (shape[0] - rows * side) // 2, (shape[1] - columns * side) // 2
    result = signs.new_zeros(n, channels, *shape)
    result[:, :, top : top + rows * side, left : left + columns * side] = wall.reshape(
        n, channels, rows * side, columns * side
    )
    return result


def tiles(shape: tuple[int, int]) -> tuple[int, int, int]:
    """Side of a tile, rows of tiles and columns of them, for an image of height and width."""
    side = max(min(shape) // 5, 1)
    return side, shape[0] // side, shape[1] // side


def window(corner: Tensor, side: Tensor, width: int, span: int) -> Tensor:
    """Places of a square window's pixels in a flattened plane; where it is smaller than `span` its last ones repeat.

    Args:
        corner: int64 `[N, 2]`: row and column of its first pixel.
        side: int64 `[N]`, at most `span`.
        width: of the plane.
        span: pixels a row and column of the result.

    Returns:
        int64 `[N, span * span]`.
    """
    offset = torch.minimum(torch.arange(span, device=side.device), side[:, None] - 1)
    rows, columns = (corner[:, :1] + offset) * width, corner[:, 1:] + offset
    return (rows[:, :, None] + columns[:, None]).flatten(1)


def moved(
    delta: Tensor, eps: Tensor, corners: Tensor, side: Tensor, profile: Tensor, signs: Tensor, norm: str
) -> Tensor:
    """The mass of a second window moved into a first one, along its old form plus a bump.

    Per channel the first window becomes a multiple of `sign * bump + old / |old|`, whose norm is that of both windows
    and of what the budget has left, shared by the channels; the second window becomes 0.

    Args:
        delta: `[N, C, H, W]`.
        eps: `[N]`.
        corners: int64 `[N, 2, 2]`: row and column of the first and the second window.
        side: int64 `[N]`.
        profile: the bump of each sample, `[N, S, S]` with S the largest side; beyond a sample's own side its last
            row and column repeat.
        signs: 1 or -1, `[N, C]`.
        norm: `l2` or `l1`.

    Returns:
        `[N, C, H, W]`, neither scaled nor clipped.
    """
    channels, width, span = delta.shape[1], delta.shape[3], profile.shape[-1]
    flat = delta.flatten(2)
    own = torch.arange(span, device=side.device) < side[:, None]
    valid = (own[:, :, None] & own[:, None]).flatten(1)[:, None]
    away = corners[:, 1, :, None] + torch.arange(span, device=side.device) - corners[:, 0, :, None]
    shared = (away >= 0) & (away < side[:, None, None])
    outside = ~(shared[:, 0, :, None] & shared[:, 1, None]).flatten(1)[:, None]
    first, second = (window(corners[:, i], side, width, span)[:, None].expand(-1, channels, -1) for i in range(2))
    old = flat.gather(2, first)
    inside = _mass(old * valid, norm)
    both = inside + _mass(flat.gather(2, second) * (valid & outside), norm)
    whole, radius = _mass(flat, norm).sum(1, keepdim=True), eps.view(-1, 1, 1)
    fresh = profile.flatten(1)[:, None] * signs[:, :, None]
    if norm == "l2":
        fresh = fresh + old / (inside.sqrt() + TINY)
        size = (((radius**2 - whole).clamp_min(0) / channels + both) / (_mass(fresh * valid, norm) + TINY**2)).sqrt()
    else:
        fresh = fresh + old / (inside + TINY)
        size = ((radius - whole).clamp_min(0) + both * channels) / (_mass(fresh * valid, norm) + TINY)
    return flat.scatter(2, second, 0.0).scatter_(2, first, fresh * size).view_as(delta)


@lru_cache(maxsize=64)
def profiles(sides: tuple[int, ...], norm: str, device: torch.device) -> Tensor:
    """The bumps of several sides and their transposes, `[sides, 2, S, S]`, each edge repeated up to the largest."""
    span, found = max(sides), []
    for side in sides:
        near = torch.arange(span).clamp_max(side - 1)
        one = bump(side, norm)
        found.append(torch.stack([one[near][:, near], one.T[near][:, near]]))
    return torch.stack(found).to(device)


def _peak(rows: int, columns: int, norm: str) -> Tensor:
    """A pile of centred squares cut to `[rows, columns]`, of norm 1."""
    if not rows:
        return torch.zeros(0, columns)
    middle = (rows // 2, columns // 2)
    heights = torch.arange(1, max(middle) + 2).double() ** -POWERS[norm]
    piles = heights.flip(0).cumsum(0).flip(0)  # all squares from the k-th on cover ring k
    ring = torch.maximum(
        (torch.arange(rows) - middle[0]).abs()[:, None], (torch.arange(columns) - middle[1]).abs()[None]
    )
    return _unit(piles[ring].float(), norm)


def _unit(x: Tensor, norm: str) -> Tensor:
    return x / x.norm() if norm == "l2" else x / x.abs().sum()


def _mass(x: Tensor, norm: str) -> Tensor:
    """Sum of squares (l2) or of sizes (l1) over the last dimension, kept."""
    return (x.square() if norm == "l2" else x.abs()).sum(-1, keepdim=True)


HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Query indices after which the windows' area is halved."""
AHEAD = 16
"""Queries whose draws are made at once."""
CHECKS = (500, 1000, 2000, 4000, 8000)
"""Queries at which the pace since the check before is measured: twice as many each time."""
PACE = 4
"""How much more than lately a margin may yet fall for each doubling of the queries."""


class SquareState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        x: the candidate that is asked about.
        best: the point of the smallest margin so far.
        margin: there, `[N]`.
        query: index of the candidate's window, int64 `[N]`; 0 is the start, window i of the schedule has i + 1.
        rng: the sample's stream.
        draws: uniform numbers of the next windows, `[N, AHEAD, n]`.
        first: query of the first of them, int64 `[N]`.
        past: margin at the check before, `[N]`; infinite until the first.
    """

    problem: Problem
    x: Tensor
    best: Tensor
    margin: Tensor
    query: Tensor
    rng: SampleRng
    draws: Tensor
    first: Tensor
    past: Tensor


@lru_cache(maxsize=64)
def window_sides(p_init: float, height: int, width: int, norm: str) -> tuple[int, ...]:
    """The windows' sides, from the first queries to the last: `round(sqrt(p h w))` with p halved nine times.

    Args:
        p_init: share of the image that the first windows cover.
        height: of the image, in pixels.
        width: as `height`.
        norm: `linf`; in `l2` and `l1` the sides are odd, and 3 at least.

    >>> window_sides(0.8, 32, 32, "linf")
    (29, 20, 14, 10, 7, 5, 4, 3, 2, 1)
    """
    sides = []
    for k in range(len(HALVED_AFTER) + 1):
        side = round(math.sqrt(p_init / 2**k * height * width))
        side = max(side, 1) if norm == "linf" else max(side, 3) | 1
        sides.append(min(side, height, width))
    return tuple(sides)


def stamped(best: Tensor, lower: Tensor, upper: Tensor, corner: Tensor, side: Tensor, plus: Tensor) -> Tensor:
    """Points with one square window a sample pushed to the bounds.

    Adding `2 eps` with a sign and clipping to the ball leads to a bound from anywhere in the ball. Signs that would
    change nothing are turned round, for such a query tells nothing (the authors draw again until something changes).

    Args:
        best: `[N, C, H, W]`.
        lower: least value of each pixel.
        upper: as `lower`.
        corner: int64 `[N, 2]`: row and column of the window's first pixel.
        side: int64 `[N]`.
        plus: bool `[N, C]`: which bound.
    """
    n, channels, _, width = best.shape
    place = window(corner, side, width, int(side.max()))[:, None].expand(-1, channels, -1)
    planes = best.view(n, channels, -1)
    high, low = (bound.reshape(n, channels, -1).gather(2, place) for bound in (upper, lower))
    new = torch.where(plus[:, :, None], high, low)
    idle = (new == planes.gather(2, place)).flatten(1).all(1)
    if not is_needless(idle):
        new = torch.where((plus ^ idle[:, None])[:, :, None], high, low)
    return planes.scatter(2, place, new).view_as(best)


@register("square", reference="Andriushchenko et al. 2020, arXiv:1912.00049", needs=("logits",))
class Square(Attack[SquareState]):
    """Square attack: random search over square windows, using only scores.

    In linf a window goes to a bound of the ball, a sign a channel; in l2 and l1 mass moves between two windows. The
    windows shrink with the number of the query. Towards a target t the margin is `max z_k - z_t`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})

    queries: PositiveInt = Field(
        default=5000, description="maximum number of queries per sample, after one for the start"
    )
    p_init: float = Field(default=0.8, gt=0, le=1, description="initial size of the windows, as a share of the image")
    rescale: bool = Field(
        default=False, description="rescale the schedule of window sizes (made for 10,000 queries) to `queries`"
    )
    restarts: PositiveInt = Field(
        default=1, description="number of random restarts; a sample that is fooled is not attacked again"
    )
    give_up: bool = Field(
        default=False, description="for linf: stop a run early when its progress suggests that it will fail"
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> SquareState:
        ball = problem.ball
        n, channels, height, width = ball.clean.shape
        if ball.norm in ("linf", "region"):
            plus = rng.fold("stripes").uniform(channels, 1, width) >= 0.5
            x = torch.where(plus, ball.upper, ball.lower)
        else:
            _, rows, columns = tiles((height, width))
            drawn = rng.fold("tiles").uniform(channels + 1, rows * columns).to(ball.clean)
            delta = tiled((height, width), drawn[:, :1] < 0.5, _signs(drawn[:, 1:]), ball.norm)
            x = self._scaled(problem, delta)
        query = torch.zeros_like(problem.labels)
        none = ball.clean.new_zeros(n, AHEAD, self._numbers(ball.norm, channels))
        far = none.new_full((n,), math.inf)
        return SquareState(problem, x, x, far, query, rng, none, query - AHEAD, far)

    @override
    def ask(self, state: SquareState) -> Logits:
        return Logits(state.x)

    @override
    def tell(self, state: SquareState, answer: Answer) -> SquareState:
        problem = state.problem
        value = margin(required(answer.logits), problem.labels)
        if problem.targeted:
            value = -value
        rows = (value < state.margin).nonzero().flatten()
        best = state.best
        if len(rows):  # seldom many: cheaper than a choice between all pixels
            best = best.index_copy(0, rows, state.x.index_select(0, rows))
        draws, first = state.draws, state.first
        if bool((state.query - first >= AHEAD).any()):
            draws, first = self._drawn(state), state.query
        at = torch.arange(len(first), device=first.device) * AHEAD + (state.query - first)
        x = self._candidate(problem, best, state.query, draws.flatten(0, 1).index_select(0, at))
        updated = state.replace(
            x=x, best=best, margin=torch.minimum(value, state.margin), query=state.query + 1, draws=draws, first=first
        )
        return self._without_hopeless(updated, state.query) if self.give_up and problem.ball.norm == "linf" else updated

    @override
    def done(self, state: SquareState) -> Tensor:
        return state.query > self.queries

    @override
    def result(self, state: SquareState) -> Candidate:
        return Candidate(torch.where(self.done(state).view(-1, 1, 1, 1), state.best, state.x))

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.queries + 1, 0

    @property
    @override
    def runs(self) -> int:
        return self.restarts

    def _without_hopeless(self, updated: SquareState, query: Tensor) -> SquareState:
        """End the runs whose margin would not reach 0 at PACE times what it fell for the last doubling of queries.

        A margin that did not move tells nothing, as behind outputs that are rounded: such a run goes on.
        """
        checked = torch.isin(query, torch.tensor(CHECKS, device=query.device))
        if not bool(checked.any()):
            return updated
        fell = updated.past - updated.margin
        doublings = torch.log2(self.queries / query.clamp_min(1))
        lost = checked & (fell > 0) & (updated.margin > PACE * fell * doublings)
        ended = torch.where(lost, self.queries + 1, updated.query)
        return updated.replace(query=ended, past=torch.where(checked, updated.margin, updated.past))

    @staticmethod
    def _numbers(norm: str, channels: int) -> int:
        """Draws a window: corner and signs; in l2 and l1 a second corner, and whether the bump is transposed."""
        return (2 if norm in ("linf", "region") else 5) + channels

    def _drawn(self, state: SquareState) -> Tensor:
        """The draws of the next windows; those of one query are the same whenever they are made."""
        n, _, numbers = state.draws.shape
        queries = state.query[:, None] + torch.arange(AHEAD, device=state.query.device)
        each = SampleRng(state.rng.keys.repeat_interleave(AHEAD))
        return each.fold(queries.flatten()).fresh(numbers).view(n, AHEAD, numbers)

    def _candidate(self, problem: Problem, best: Tensor, index: Tensor, drawn: Tensor) -> Tensor:
        """`best` with the window of one query, `index` in the schedule."""
        ball, (height, width) = problem.ball, best.shape[2:]
        sides = window_sides(self.p_init, height, width, "linf" if ball.norm == "region" else ball.norm)
        if self.rescale:
            index = index * 10000 // self.queries
        phase = torch.bucketize(index, torch.tensor(HALVED_AFTER, device=index.device))
        side = torch.tensor(sides, device=index.device)[phase]
        room = torch.tensor((height + 1, width + 1), device=index.device) - side[:, None]
        if ball.norm in ("linf", "region"):
            corner = (drawn[:, :2] * room).long()
            return stamped(best, ball.lower, ball.upper, corner, side, drawn[:, 2:] < 0.5)
        corners = (drawn[:, :4].view(-1, 2, 2) * room[:, None]).long()
        span = int(side.max())
        bumps = profiles(sides, ball.norm, best.device)[phase, (drawn[:, 4] < 0.5).long(), :span, :span]
        delta = moved(best - ball.clean, ball.eps, corners, side, bumps, _signs(drawn[:, 5:]), ball.norm)
        return self._scaled(problem, delta)

    @staticmethod
    def _scaled(problem: Problem, delta: Tensor) -> Tensor:
        """The point at `delta`, in l2 stretched to eps, in l1 projected."""
        ball = problem.ball
        if ball.norm == "l2":
            length = torch.linalg.vector_norm(delta.flatten(1), dim=1).clamp_min(1e-30)
            delta = delta * (ball.eps / length).view(-1, 1, 1, 1)
        return ball.project(ball.clean + delta)


def _signs(drawn: Tensor) -> Tensor:
    return torch.where(drawn < 0.5, -1.0, 1.0)
