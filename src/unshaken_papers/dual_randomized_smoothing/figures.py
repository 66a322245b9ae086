"""Figures of the experiment with dual smoothing, from rows alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unshaken.certify.smoothing.dual_radius import released_radius
from unshaken.certify.smoothing.votes import lower_bound, reach
from unshaken.measure.statistics.means import mean_figure
from unshaken.papers.effects import across_seeds
from unshaken.papers.rows import Rows, mean_of
from unshaken_papers.dual_randomized_smoothing import NETS, POLLS, DualRandomizedSmoothingPaper
from unshaken_papers.dual_randomized_smoothing.polls import Polls, tally_of, together

Numbers = NDArray[np.float64]
ARMS = ("rs_n", "rs_2n", "pooled", "dual", "released")
"""Smoothing with n votes, and with 2n; two networks of two seeds with n votes each; dual smoothing with n votes a half,
and the same votes under the rule of the released code, which is no certificate."""
RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
LOGS = 100_000


def figures(paper: DualRandomizedSmoothingPaper, rows: Rows) -> dict[str, Any]:
    """By noise level."""
    found, there = {}, set(rows.labels("votes"))
    for sigma in paper.sigmas:
        polls = Polls(sigma, paper.n, paper.n0, paper.alpha)
        seeds = [s for s in rows.seeds(paper.seeds) if polls.name(s, "rs") in there]
        found[f"s{sigma:g}"] = Level(rows, polls, seeds).all()
    return found


class Level:
    """Figures of one noise level.

    Args:
        rows: of the run.
        polls: how they were made.
        seeds: all that were run.
    """

    def __init__(self, rows: Rows, polls: Polls, seeds: Sequence[int]) -> None:
        self.rows, self.polls, self.seeds = rows, polls, seeds
        votes = {n: rows.table("votes", n).sort_by("id") for n in (polls.name(s, p) for s in seeds for p in POLLS)}
        self.labels = votes[polls.name(seeds[0], "rs")]["label"].to_numpy()
        self.tallies = {name: tally_of(table.to_pylist()) for name, table in votes.items()}
        self.radii = {s: self._radii(i) for i, s in enumerate(seeds)}

    def all(self) -> dict[str, Any]:
        """Each seed, the means over seeds, and the largest radii."""
        found: dict[str, Any] = {f"seed{s}": self._seed(s) for s in self.seeds}
        means = {arm: np.mean([self.radii[s][arm][1] for s in self.seeds], 0) for arm in self.arms}
        others = [arm for arm in self.arms if arm not in ("dual", "released")]
        found["mean"] = {
            "acr": {arm: round(float(v.mean()), 4) for arm, v in means.items()},
            "dual_minus": {arm: self._dual_minus(arm) for arm in others},
            "certified": {arm: self._curve(arm) for arm in self.arms},
        }
        sound, published = (np.stack([self.radii[s][arm][0] for s in self.seeds]) for arm in ("dual", "released"))
        dual = self.polls.dual
        unit = dual.sigma * 2**0.5
        return found | {
            "released_below_sound": int((published < sound).sum()),
            "released_above_sound": int((published > sound).sum()),
            "images_and_seeds": sound.size,
            "largest": {
                "met": round(float(sound.max()), 4),
                "all_votes_alike": int(self._unanimous()),
                "possible": round(reach(unit, dual.n, dual.alpha / 2), 4),
                "possible_smoothing": round(reach(self.polls.sigma, 2 * dual.n, dual.alpha), 4),
                "possible_at_100000": round(reach(unit, LOGS, dual.alpha / 2), 4),
                "alpha_a_side_at_100000": round(reach(unit, LOGS, dual.alpha), 4),
            },
        }

    @property
    def arms(self) -> tuple[str, ...]:
        """Those that there are: a pool needs two seeds."""
        return tuple(a for a in ARMS if a != "pooled" or len(self.seeds) > 1)

    def _dual_minus(self, arm: str) -> dict[str, Any]:
        """Certified radius of dual smoothing less that of an arm; over the images alone where networks are given."""
        rows = [self.radii[s]["dual"][1] - self.radii[s][arm][1] for s in self.seeds]
        return mean_of(rows[0]) if len(rows) == 1 else across_seeds(rows, low=-math.inf, high=math.inf)

    def _seed(self, seed: int) -> dict[str, Any]:
        return {
            "acr": {arm: mean_figure(self.radii[seed][arm][1], low=0.0).to_json() for arm in self.arms},
            "accuracy_under_noise": {net: self.rows.accuracy(self.polls.name(seed, f"{net}.noise")) for net in NETS},
        }

    def _curve(self, arm: str) -> dict[str, float]:
        """Certified accuracy at radii, mean over seeds; where a method abstains it is wrong."""
        found = [self.radii[s][arm] for s in self.seeds]
        return {f"r{r:g}": round(float(np.mean([(x[1] > 0) & (x[1] >= r) for x in found])), 4) for r in RADII}

    def _radii(self, place: int) -> dict[str, tuple[Numbers, Numbers]]:
        """Radii of each arm, and the same with 0 where the class is wrong."""
        seed = self.seeds[place]
        rs, more, left, right = (self.tallies[self.polls.name(seed, p)] for p in POLLS)
        pairs = {"rs_n": rs, "rs_2n": together(rs, more)}
        if len(self.seeds) > 1:
            after = self.seeds[(place + 1) % len(self.seeds)]
            pairs["pooled"] = together(rs, self.tallies[self.polls.name(after, "rs")])
        found = {name: self.polls.whole.conclude(tally) for name, tally in pairs.items()}
        radii = {name: self._judged(c.radius, c.prediction) for name, c in found.items()}
        dual = self.polls.dual.judge(left, right)
        radii["dual"] = self._judged(dual.radius, dual.prediction)
        at = dual.prediction[:, None]
        p, q = (lower_bound(t.counts.gather(1, at)[:, 0], t.drawn, self.polls.dual.alpha) for t in (left, right))
        published = released_radius(p.numpy(), q.numpy(), self.polls.dual.sigma)
        radii["released"] = self._judged(published, dual.prediction)
        return radii

    def _judged(self, radius: Tensor, prediction: Tensor) -> tuple[Numbers, Numbers]:
        values = radius.double().numpy()
        return values, np.where(prediction.numpy() == self.labels, values, 0.0)

    def _unanimous(self) -> int:
        """Images and seeds where all votes on both halves are for one class."""
        found = 0
        for seed in self.seeds:
            left, right = (self.tallies[self.polls.name(seed, p)] for p in ("left", "right"))
            at = (left.selected + right.selected).argmax(1, keepdim=True)
            hits = [t.counts.gather(1, at)[:, 0] == t.drawn for t in (left, right)]
            found += int((hits[0] & hits[1]).sum())
        return found
