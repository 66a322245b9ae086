"""Defaults that decide figures of whoever names none: as documented, and changed on purpose alone."""

from __future__ import annotations

import inspect

import pytest

from unshaken.harden.engine.adaptive import against
from unshaken.harden.engine.defence import Draws, GuardedModel, uniform
from unshaken.harden.engine.ensemble import transferability, with_members
from unshaken.harden.engine.run import train_run
from unshaken.harden.engine.strong_views import PHOTOS, SMALL, ViewSettings, strong_view
from unshaken.harden.engine.training import rate
from unshaken.harden.recipes.ensembles.ensemble_at import EnsembleAT
from unshaken.harden.recipes.losses.balanced_sampling import imbalanced
from unshaken.harden.recipes.losses.triplet import triplet
from unshaken.harden.recipes.pretraining.moco import queue_info_nce
from unshaken.harden.recipes.pretraining.rrcm import info_nce
from unshaken.harden.recipes.pretraining.simclr import nt_xent
from unshaken.harden.recipes.pretraining.swav import sinkhorn_codes
from unshaken.run.repair import TUNING

DEFAULTS = [
    (against, {"norm": "linf", "eps": 8 / 255, "seed": 0, "draws": 10, "looks": 10, "rounds": 1}),
    (info_nce, {"tau": 0.2}),
    (nt_xent, {"tau": 0.5}),
    (queue_info_nce, {"tau": 0.2}),
    (triplet, {"margin": 0.2, "semi_hard": False}),
    (GuardedModel, {"random": False}),
    (Draws, {"seed": 0, "frozen": False}),
    (Draws.reset, {"stream": 0}),
    (uniform, {"low": 0.0, "high": 1.0}),
    (transferability, {"norm": "linf", "eps": 0.03, "seed": 0}),
    (imbalanced, {"seed": 0, "largest": None}),
    (with_members, {"average": "probabilities", "pretrained": False}),
    (train_run, {"resume": False, "new_head": False, "devices": 1, "nodes": 1, "download": False}),
    (sinkhorn_codes, {"eps": 0.05, "iterations": 3}),
    (strong_view, {"mirror": 0.5}),
    (rate, {"warmup": 0.25, "milestones": (0.5, 0.75)}),
]


@pytest.mark.parametrize(("function", "defaults"), DEFAULTS, ids=[f.__qualname__ for f, _ in DEFAULTS])
def test_defaults_are_as_documented(function, defaults):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in defaults} == defaults


def test_views_of_moco_v3_and_of_small_images():
    colours = {"jitter": 0.8, "strengths": (0.4, 0.4, 0.2, 0.1), "grey": 0.2, "most": 1.0}
    first, second = ({"area": 0.08, "blur": b, "solarise": s} for b, s in ((1.0, 0.0), (0.1, 0.2)))
    assert (ViewSettings(**colours, **first), ViewSettings(**colours, **second)) == PHOTOS
    assert (ViewSettings(**colours, area=0.3, blur=0.0, solarise=0.0),) * 2 == SMALL


def test_an_ensemble_has_three_members():
    assert EnsembleAT().members == 3


def test_a_repair_is_shorter_and_slower_than_a_training_from_scratch():
    assert TUNING == {"epochs": 5, "lr": 0.02, "max_clean_loss": 0.2}
