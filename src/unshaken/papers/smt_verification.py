"""`smt-verification`: can a solver decide whether any image of a small region has another class?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from unshaken.core.progress import track
from unshaken.core.registry import register
from unshaken.models import load_model
from unshaken.papers._smt_figures import Figures
from unshaken.papers._smt_nets import Pictures, chosen, digits, own, trained
from unshaken.papers._smt_run import Cell
from unshaken.papers.base import Bench, Check, Paper

MODEL = "d-h-K perceptrons"
SHARE = 0.9
COUNT_EPS = 0.5


@register("smt-verification", reference="Huang et al. 2017, arXiv:1610.06940")
class SMTVerificationPaper(Paper):
    """Does exact verification decide small regions, and is what it proves safe never broken?

    Perceptrons of one hidden layer on 8 x 8 digits and on a data set of one's own; 5, 10 and 20 free pixels, eps 0.2 to
    1: exact verification against corners, a grid, and PGD on the same pixels. With a model of one's own, that one is
    verified on the data in the place of both.
    """

    title: ClassVar[str] = "Safety Verification of Deep Neural Networks"
    claim: ClassVar[str] = (
        "For an image, a region around it and a family of manipulations it can be decided by exhaustive search and an "
        "SMT solver whether the class can change: an adversarial example is found if there is one, else the decision "
        "is verified."
    )
    rule: ClassVar[str] = (
        "Reproduced if both hold on every data set, over the seeds: (1) no image that exact verification proves safe "
        "has an adversarial example among the corners, on the grid, or by PGD on the same pixels; (2) with 10 free "
        "pixels exact verification decides at least 9 of 10 images within 60 s."
    )
    expected: ClassVar[Mapping[str, Any]] = {
        "published": "no accuracy or timing is quoted here; the paper's text could not be read",
        "digits": {
            "cells": {
                "5": {"0.2": "12/0/0 (pilot: safe/adversarial/unknown)", "0.5": "11/1/0 (pilot)", "1": "7/5/0 (pilot)"},
                "10": {"0.2": "12/0/0 (pilot)", "0.5": "10/2/0 (pilot)", "1": "1/11/0 (pilot)"},
                "20": {"0.2": "9/1/2 (pilot, limit 8 s)", "0.5": "1/10/1 (pilot)", "1": "0/12/0 (pilot)"},
            }
        },
    }
    data: ClassVar[str] = "fashion-mnist"
    model: ClassVar[str] = MODEL

    images: PositiveInt = Field(12, description="images verified a net")
    seeds: PositiveInt = Field(3, description="nets of each kind")
    train: PositiveInt = Field(10_000, description="training images of the data; digits have their own 1,400")
    seconds: PositiveFloat = Field(60.0, description="limit of the solver with up to 10 free pixels")
    seconds_many: PositiveFloat = Field(20.0, description="limit with more")
    most: PositiveInt = Field(48, description="free pixels tried in the second part, eps 0.5")

    def run(self, bench: Bench) -> dict[str, Any]:
        """Train, verify, attack; figures from the rows."""
        if bench.model != MODEL:
            return self.own_model(bench)
        sets = [digits(), own(bench, self.train)]
        bench.pin(data=[list(map(str, s.key)) for s in sets], **self.model_dump())
        first, cached = self.seeds * bench.seed, []
        seeds = range(first, first + self.seeds)
        with track("verification", len(sets) * self.seeds) as task:
            for pictures in sets:
                for seed in seeds:
                    cached.append(self.pair(bench, pictures, seed))
                    task.advance()
        figures, measured = Figures(bench.run, 60.0), {}
        for name in (s.name for s in sets):
            names = [(f"s{seed}.{name}.plain", f"s{seed}.{name}.at") for seed in seeds]
            measured[name] = {**figures.of([a for a, _ in names]), "verified_pixels": figures.verified(names)}
        return {**measured, "networks_from_cache": all(cached)}

    def pair(self, bench: Bench, pictures: Pictures, seed: int) -> bool:
        """A plain net, verified at every number of pixels; and its count of pixels beside that of a hardened one."""
        nets = {net: trained(pictures, net, seed) for net in ("plain", "at")}
        batch = chosen([m for m, _ in nets.values()], pictures.test, self.images, seed)
        for net, (model, _) in nets.items():
            name = f"s{seed}.{pictures.name}.{net}"
            cell = Cell(bench, name, model, batch, seed, self.seconds, self.seconds_many)
            cell.look(pictures.test)
            if net == "plain":
                cell.decide()
            cell.count(COUNT_EPS, min(self.most, batch.images[0].numel()))
        return all(found for _, found in nets.values())

    def own_model(self, bench: Bench) -> dict[str, Any]:
        """The first part for a model of one's own."""
        model, pictures = load_model(bench.model, download=bench.download).eval(), own(bench, self.train)
        bench.pin(model=bench.model, data=list(map(str, pictures.key)), **self.model_dump())
        batch = chosen([model], pictures.test, self.images, bench.seed)
        cell = Cell(bench, "own", model, batch, bench.seed, self.seconds, self.seconds_many)
        cell.look(pictures.test)
        cell.decide()
        return {"own": Figures(bench.run, 60.0).of(["own"])}

    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        """See `rule`."""
        checks = []
        for name, part in measured.items():
            if not isinstance(part, Mapping):
                continue
            wrong, decided = part["contradicted"], part["decided_at_10"]["value"]
            checks.append(Check(f"{name}: {wrong} regions proved safe have an adversarial example", wrong == 0))
            words = f"{name}: {decided:.1%} of regions with 10 free pixels decided within 60 s"
            checks.append(Check(words, decided >= SHARE))
        return checks

    def remark(self, measured: Mapping[str, Any]) -> str:
        """Verdicts, what searches miss, and the second part."""
        parts = []
        for name, part in measured.items():
            if isinstance(part, Mapping):
                parts += _words(name, part)
        if "digits" in measured:
            parts.append("The second data set is the bench's (--data mnist for that of the paper, where it is there).")
        if measured.get("networks_from_cache"):
            parts.append("The networks came from the cache, so the seconds hold no training.")
        return " ".join(parts)


def _words(name: str, part: Mapping[str, Any]) -> list[str]:
    """Of one data set."""
    verdicts = "; ".join(
        f"{pixels} pixels "
        + ", ".join(
            "{safe_general}/{adversarial}/{unknown}".format(**c["verdicts"]) + f" at {e}" for e, c in row.items()
        )
        for pixels, row in part["cells"].items()
    )
    cells = [c for row in part["cells"].values() for c in row.values()]
    missed = {
        way: [sum(c["found"].get(way, {}).get(k, 0) for c in cells) for k in ("missed", "looked_at")]
        for way in ("corners", "grid", "pgd")
    }
    words = ", ".join(f"{way} {a} of {b} regions" for way, (a, b) in missed.items())
    found = [
        f"{name}, safe/adversarial/unknown: {verdicts}. Adversarial by exact verification, missed by {words}. "
        "Found by one of these where exact verification ran into its limit: "
        f"{part['missed_by_exact'] - part['contradicted']}. Slowest with 10 pixels {part['slowest_at_10']:.2f} s."
    ]
    if "verified_pixels" in part:
        v = part["verified_pixels"]
        found.append(
            f"Outside the rule: of {v['of']} pixels at eps {v['eps']:g} {v['plain']:.1f} are proved safe on average in "
            f"plain nets, {v['at']:.1f} in adversarially trained ones ({v['more_in_at']} of {v['images']} images more, "
            f"{v['fewer_in_at']} fewer)."
        )
    return found
