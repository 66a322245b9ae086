"""`smt-verification`: can a solver decide whether any image of a small region has another class?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.papers import Check, Paper, decide, row

MODEL = "d-h-K perceptrons"
SHARE = 0.9
LIMIT = 60.0
"""Seconds within which a verdict counts as decided."""
PIXELS = (5, 10, 20)
EPS = (0.2, 0.5, 1.0)
SEARCHES = ("corners", "grid")
DEEP_PIXELS, DEEP_EPS, DEPTHS = 10, (0.5, 1.0), (1, 2)
"""Regions of the networks with two hidden layers, and the numbers of these layers."""
FGSM_EPS = (0.1, 0.2, 0.4)
FEWER = 0.1
"""Share of images for which the solver may have fewer examples than an attack."""


@row(__file__)
class SMTVerificationPaper(Paper):
    """Does exact verification decide small regions, and is what it proves safe never broken?

    Perceptrons of one hidden layer on 8 x 8 digits and on a data set of one's own; 5, 10 and 20 free pixels, eps 0.2 to
    1: exact verification against corners, a grid, and PGD on the same pixels. With a model of one's own, that one is
    verified on the data in the place of both.
    """

    images: PositiveInt = Field(description="images verified a net")
    seeds: PositiveInt = Field(description="nets of each kind")
    train: PositiveInt = Field(description="training images of the data; digits have their own 1,400")
    seconds: PositiveFloat = Field(description="limit of the solver with up to 10 free pixels")
    seconds_many: PositiveFloat = Field(description="limit with more")
    layer_steps: PositiveInt = Field(description="m of the search at a hidden layer: a unit takes 2 m + 1 values")
    most: PositiveInt = Field(description="free pixels tried in the second part, eps 0.5")

    @override
    def judge(self, measured: Mapping[str, Any]) -> list[Check]:
        checks = []
        for name, found in measured.items():
            if not isinstance(found, Mapping):
                continue
            wrong, missed, decided = (found[key] for key in ("contradicted", "missed_by_exact", "decided_at_10"))
            words = f"{name}: {wrong} regions proved safe have an adversarial example"
            checks.append(Check(words, wrong == 0, "sound", opposed=wrong > 0))
            words = f"{name}: {missed} regions with an adversarial example in which exact verification finds none"
            checks.append(Check(words, missed == 0, "found", opposed=wrong > 0))
            words = f"{name}: share of regions with 10 free pixels decided within {LIMIT:g} s"
            checks.append(decide("decided", words, decided, above=SHARE, opposed_below=SHARE))
            grids = list(_grids(found["cells"]))
            missed, visited = (sum(grid[key] for grid in grids) for key in ("missed", "looked_at"))
            words = f"{name}: in {missed} of {visited} regions the solver finds an adversarial example, the grid none"
            checks.append(Check(words, missed == 0 < visited, "exhaustive"))
            checks += (
                [*_layers(name, found["layers"]), *_distances(name, found["distances"])] if "layers" in found else []
            )
        return checks


def _layers(name: str, layers: Mapping[str, Any]) -> list[Check]:
    """Checks of the search at hidden layers, of one data set."""
    part, wrong = "layer-by-layer", layers["contradicted"]
    words = f"{name}: {wrong} regions proved safe have an example by the search at a layer"
    checks = [Check(words, wrong == 0, part, opposed=wrong > 0)]
    words = f"{name}: share of {layers['regions']} regions with an example in which a hidden layer finds one"
    if not layers["regions"]:
        return [*checks, Check(words, False, part)]
    return [*checks, decide(part, words, layers["found"]["hidden"], above=0.5, opposed_below=0.5)]


def _distances(name: str, distances: Mapping[str, Any]) -> list[Check]:
    """The solver's examples beside those of two attacks, of one data set."""
    part, checks = "distances", []
    for label, more in distances["more_often"].items():
        words = f"{name}: share of images with an example, solver less {label}"
        checks.append(decide(part, words, more, above=-FEWER, opposed_below=-FEWER))
        words = f"{name}: l2 distance of examples, {label} less solver"
        both = distances["farther"].get(label)
        checks.append(Check(f"{words}: no image has both", False, part) if both is None else decide(part, words, both))
    return checks


def _grids(cells: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Results of the exhaustive search of the grid, for each number of pixels and each eps that it could search."""
    for eps in (f"{e:g}" for e in EPS):
        for pixels in (str(p) for p in PIXELS):
            if pixels in cells and eps in cells[pixels] and "grid" in cells[pixels][eps]["found"]:
                yield cells[pixels][eps]["found"]["grid"]
