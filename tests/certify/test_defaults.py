"""Defaults and bounds of every certifier's parameters: what is run by a name alone, and so what users' figures rest on.

A change here is one of every such figure: it stands in the changelog.
"""

from __future__ import annotations

import pytest

from tests.defaults import described
from unshaken.core import list_methods

METHODS = {m.name: m for m in list_methods("certify") if m.cls.__module__.startswith("unshaken.")}
EXPECTED = {
    "adaptive-smoothing": [
        "accurate=",
        "weight=0.8 >0.5 <=1",
        "scale_accurate=1 >0",
        "sigma=0.25 >0",
        "n0=100 >0",
        "n=10000 >0",
        "alpha=0.001 >0 <0.5",
        "rule=sharp",
        "l2",
    ],
    "adaptive-smoothing-attack": [
        "rel_stepsize=0.25 >0",
        "step_size=None >0",
        "sigma=0.25 >0",
        "steps=10 >0",
        "copies=8 >0",
        "n=1000 >0",
        "accurate=",
        "weight=0.8 >0.5 <=1",
        "scale_accurate=1 >0",
        "alpha=0.001 >0 <0.5",
        "l2",
    ],
    "crop-selection": [
        "score=hash",
        "ratio=0.875 >0 <=1",
        "crop=None >0",
        "block=None >0",
        "top=1 >0",
        "cyclic=False",
        "score_seed=0 >=0",
        "",
    ],
    "crown": [
        "search=0 >=0 <=30",
        "intermediate=ibp",
        "linf",
    ],
    "dual-smoothing": [
        "sigma=0.25 >0",
        "n=100000 >0",
        "n0=100 >0",
        "alpha=0.001 >0 <0.5",
        "radii=[]",
        "skip_wrong=False",
        "sigma_right=None >0",
        "split=checkerboard",
        "split_seed=0 >=0",
        "expansion=repeat",
        "right=",
        "aggregation=sum",
        "l2",
    ],
    "dual-smoothing-attack": [
        "rel_stepsize=0.25 >0",
        "step_size=None >0",
        "sigma=0.25 >0",
        "steps=10 >0",
        "copies=8 >0",
        "n=1000 >0",
        "sigma_right=None >0",
        "split=checkerboard",
        "split_seed=0 >=0",
        "expansion=repeat",
        "right=",
        "alpha=0.001 >0 <0.5",
        "l2",
    ],
    "ibp": [
        "search=0 >=0 <=30",
        "linf",
    ],
    "smoothing": [
        "sigma=0.25 >0",
        "n=100000 >0",
        "n0=100 >0",
        "alpha=0.001 >0 <0.5",
        "radii=[]",
        "skip_wrong=False",
        "l2",
    ],
    "smoothing-attack": [
        "rel_stepsize=0.25 >0",
        "step_size=None >0",
        "sigma=0.25 >0",
        "steps=10 >0",
        "copies=8 >0",
        "n=1000 >0",
        "alpha=0.001 >0 <0.5",
        "l2",
    ],
    "smoothing-sequential": [
        "sigma=0.25 >0",
        "n=100000 >0",
        "n0=100 >0",
        "alpha=0.001 >0 <0.5",
        "radii=[]",
        "skip_wrong=True",
        "give_up=0.035 >=0 <1",
        "l2",
    ],
    "smt": [
        "mode=exact",
        "pixels=10 >0",
        "places=[]",
        "steps=1 >0 <=1000",
        "layer=1 >0",
        "units=None >0",
        "seconds=60 >0",
        "memory_mb=4000 >=256",
        "max_units=400 >0",
        "max_points=1048576 >0 <=1e+12",
        "linf",
    ],
}


@pytest.mark.parametrize("name", EXPECTED)  # a new method needs no line here: its own test may pin it
def test_defaults_and_bounds(name):
    assert described(METHODS[name]) == EXPECTED[name]
