"""What parameters of detectors may be: both ends of each range, what lies beyond, and the defaults of every result."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.core.registry import find_method

BOUNDS = [
    ("ash", "percentile", (0, 95), (-0.5, 95.5)),
    ("dice", "percentile", (0, 99.5), (-0.5, 100)),
    ("ensemble", "members", (("a",),), ("",)),
    ("fusion", "of", (("msp", "knn"),), ("", "msp")),
    ("gen", "gamma", (0.01, 0.99), (0, 1)),
    ("gram", "layer", (("a",),), ("",)),
    ("learned-watermark", "strength", (0.001, 1), (0, 1.01)),
    ("lid", "fgsm_eps", (0.001, 1), (0, 1.01)),
    ("lid", "layer", (("a",), ("a", "b")), ("",)),
    ("mahalanobis", "shrinkage", (0, 1), (-0.01, 1.01)),
    ("mc-dropout", "draws", (2,), (1,)),
    ("react", "percentile", (0.5, 100), (0, 100.5)),
    ("relative-mahalanobis", "layer", ("a",), ("",)),
    ("relative-mahalanobis", "shrinkage", (0, 1), (-0.01, 1.01)),
    ("neco", "variance", (0.01, 0.99), (0, 1)),
    ("rigid", "quality", (1, 100), (0, 101)),
    ("scale", "percentile", (0, 95), (-0.5, 95.5)),
    ("spread-spectrum", "amplitude", (0.001, 1), (0, 1.01)),
    ("screening", "accept", (0.001, 0.999), (0, 1)),
]
NEEDED = {
    "ensemble": {"members": "demo"},
    "policy-heads": {"unsafe": "a"},
    "screening": {"folder": "f", "digest": "d", "detectors": "knn"},
}


def made(name, **given):
    return find_method(name, "detect").cls(**{**NEEDED.get(name, {}), **given})


@pytest.mark.parametrize(("name", "parameter", "allowed", "refused"), BOUNDS, ids=[f"{b[0]}-{b[1]}" for b in BOUNDS])
def test_a_range_ends_where_it_says(name, parameter, allowed, refused):
    for value in allowed:
        assert getattr(made(name, **{parameter: value}), parameter) == value
    for value in refused:
        with pytest.raises(ParameterError, match=parameter):
            made(name, **{parameter: value})


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("ash", {"percentile": 65, "variant": "s"}),
        ("dct", {"seed": 0, "n_bits": 8, "step": 0.2}),
        ("dice", {"percentile": 90}),
        ("energy", {"temperature": 1}),
        ("feature-squeezing", {"squeezers": ("bits-5", "median-2")}),
        ("gen", {"gamma": 0.1, "top": 100}),
        ("gradnorm", {"temperature": 1}),
        ("gram", {"powers": (1, 2, 4, 8), "width": 64}),
        ("knn", {"k": 50}),
        (
            "learned-watermark",
            {"seed": 0, "n_bits": 30, "strength": 16 / 255, "width": 16, "steps": 600, "batch_size": 64},
        ),
        ("lid", {"references": 100, "k": 20, "fgsm_eps": 8 / 255}),
        ("mahalanobis", {"eps": 0, "shrinkage": 0, "covariance": "tied"}),
        ("mc-dropout", {"draws": 20, "measure": "entropy"}),
        ("mcm", {"temperature": 1}),
        ("odin", {"temperature": 1000, "eps": 0.0014}),
        ("policy-heads", {"c": 0.01, "threshold": "f1"}),
        ("react", {"percentile": 90}),
        ("relative-mahalanobis", {"shrinkage": 0}),
        ("rigid", {"sigma": 0.0113, "copies": 3, "blur": 0.55, "amount": 0.5, "quality": 90, "units": "pixel"}),
        ("scale", {"percentile": 85}),
        ("screening", {"accept": 0.95, "split": "normal"}),
        ("spread-spectrum", {"seed": 0, "amplitude": 4 / 255}),
    ],
)
def test_defaults_are_those_of_figures_that_were_published(name, defaults):
    found = made(name).model_dump()
    assert {k: found[k] for k in defaults} == defaults
