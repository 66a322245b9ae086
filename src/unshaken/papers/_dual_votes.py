"""The votes of the experiment with dual smoothing, as rows."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import pyarrow as pa
import torch

from unshaken.certify.smoothing.dual_smoothing import DualSmoothing
from unshaken.certify.smoothing.smoothing import Smoothing
from unshaken.certify.smoothing.votes import Tally, vote
from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.oracle import Oracle
from unshaken.core.progress import track
from unshaken.core.search_copy import search_copy
from unshaken.papers._dual_nets import EXPANSION, NETS, SPLIT, Pictures, noisy
from unshaken.papers.base import Bench
from unshaken.run.rows import SCHEMAS, Condition, Part, outcomes

SCHEMAS["votes"] = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("label", pa.int64()),
        ("selected", pa.list_(pa.int64())),
        ("counts", pa.list_(pa.int64())),
        ("seconds", pa.float64()),
    ]
)
"""One row a sample: votes a class of the draws that choose, and of the fresh ones."""

POLLS = ("rs", "more", "left", "right")
"""Whole images, as many votes again on whole images, the halves."""
LIMIT = 1024


class Polls:
    """How the networks of one noise level are asked.

    Args:
        sigma: deviation of the noise on whole images; on halves it is this over the square root of 2.
        n: fresh votes of smoothing, and of each half.
        n0: votes of each half that choose the class; smoothing has as many as both.
        alpha: failure probability of each method's certificates.
    """

    def __init__(self, sigma: float, n: int, n0: int, alpha: float) -> None:
        self.sigma = sigma
        self.whole = Smoothing(sigma=sigma, n=n, n0=2 * n0, alpha=alpha)
        self.dual = DualSmoothing(sigma=sigma / sqrt(2), n=n, n0=n0, alpha=alpha, split=SPLIT, expansion=EXPANSION)

    def deviation(self, net: str) -> float:
        """Of the noise that a network is asked about."""
        return self.whole.sigma if net == "full" else self.dual.sigma

    def name(self, seed: int, what: str) -> str:
        """Of a condition."""
        return f"s{self.sigma:g}.seed{seed}.{what}"

    def keep(self, bench: Bench, nets: Mapping[str, Classifier], pictures: Pictures, seed: int) -> None:
        """Put the votes of one seed's networks, and their answers to one noisy copy of more images.

        Args:
            bench: where the rows go; what is there is left alone.
            nets: by their names.
            pictures: the images.
            seed: of the noise.
        """
        with track(f"sigma {self.sigma:g}, seed {seed}", len(POLLS) + len(NETS)) as task:
            for poll in POLLS:
                name = self.name(seed, poll)
                if not bench.run.has_rows("votes", name, 0):
                    net = nets["full" if poll in ("rs", "more") else poll]
                    with evaluating(net):
                        tally = self.tally(poll, net, pictures, seed)
                    bench.keep([_part(Condition(name, poll), pictures, tally)], 0)
                task.advance()
            for net_name in NETS:
                condition = Condition(self.name(seed, f"{net_name}.noise"), "noise")
                if not bench.run.has_rows("outcomes", condition.id, 0):
                    shown = noisy(pictures.test, net_name, self.deviation(net_name), seed)
                    with evaluating(nets[net_name]):
                        logits = Oracle(nets[net_name], limit=LIMIT).exact(shown)
                    bench.keep([outcomes(condition, pictures.test, logits)], 0)
                task.advance()

    def tally(self, poll: str, net: Classifier, pictures: Pictures, seed: int) -> Tally:
        """One network's votes."""
        batch = pictures.certified
        oracle = Oracle(net, limit=LIMIT, search_copy=search_copy(net, batch.images[:2]))
        if poll == "rs":
            return self.whole.certify(oracle, batch, seed=seed).tally
        if poll == "more":
            return vote(
                oracle,
                batch.images,
                batch.ids,
                sigma=self.sigma,
                n0=0,
                n=self.whole.n,
                seed=seed,
                method="smoothing/more",
            )
        return self.dual.votes(oracle, batch, "left" if poll == "left" else "right", seed=seed)


def _part(condition: Condition, pictures: Pictures, tally: Tally) -> Part:
    batch = pictures.certified
    columns: dict[str, Any] = {
        "id": list(batch.ids),
        "label": [] if batch.labels is None else batch.labels.tolist(),
        "selected": tally.selected.tolist(),
        "counts": tally.counts.tolist(),
        "seconds": tally.seconds.tolist(),
    }
    return Part("votes", condition, columns)


def tally_of(rows: list[dict[str, Any]]) -> Tally:
    """Votes as they were counted, from rows."""
    selected, counts = (torch.tensor([r[k] for r in rows]) for k in ("selected", "counts"))
    level = torch.zeros(len(rows), dtype=torch.int64)
    return Tally(selected, counts, level, level > 0, torch.tensor([r["seconds"] for r in rows]).double())


def together(one: Tally, other: Tally) -> Tally:
    """The votes of two polls in one."""
    return one.replace(
        selected=one.selected + other.selected, counts=one.counts + other.counts, seconds=one.seconds + other.seconds
    )
