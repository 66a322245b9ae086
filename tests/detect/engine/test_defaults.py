"""Defaults that decide figures of whoever names none: as documented, and changed on purpose alone."""

from __future__ import annotations

import inspect

import pytest

from unshaken.detect import Shares
from unshaken.detect.engine.detector_set import DetectorSet, thresholds
from unshaken.detect.engine.export import export
from unshaken.detect.engine.fitting import fit
from unshaken.detect.engine.guard import guard
from unshaken.detect.engine.latency import latency
from unshaken.detect.engine.layerwise import logistic_regression
from unshaken.detect.engine.noisy_features import NoisyFeatures, flip_shares, split_network
from unshaken.detect.engine.over_time import over_time
from unshaken.detect.engine.screen import forward_passes, screen, screen_with_logits
from unshaken.detect.moderation.policy_classifier import FromProbability
from unshaken.detect.moderation.policy_conditional import ConditionalHead, draw_policies, fit_conditional
from unshaken.detect.scores.energy import energy
from unshaken.detect.scores.gen import generalised_entropy
from unshaken.detect.scores.gradnorm import gradient_norm
from unshaken.detect.watermark.spoof import blend
from unshaken.detect.watermark.substitution import train_substitute, transferred
from unshaken.detect.watermark.watermark import DCTWatermark, SpreadSpectrum
from unshaken.detect.watermark.watermark_nets import WatermarkSettings

DEFAULTS = [
    (thresholds, {"accept": 0.95}),
    (DetectorSet.decide, {"accept": 0.95}),
    (DetectorSet.threshold, {"accept": 0.95}),
    (DetectorSet.examine, {"limit": 256}),
    (export, {"accept": 0.95}),
    (guard, {"accept": 0.95}),
    (fit, {"seed": 0, "accept": None, "limit": None}),
    (latency, {"batch_size": 64, "repeats": 5, "warm_up": 1}),
    (logistic_regression, {"c": 1.0}),
    (NoisyFeatures, {"seed": 0}),
    (split_network, {"seed": 0}),
    (flip_shares, {"draws": 10}),
    (over_time, {"window": 100, "promised": 0.95, "alpha": 0.01, "split": "normal"}),
    (screen, {"seed": 0}),
    (screen_with_logits, {"seed": 0}),
    (forward_passes, {"seed": 0}),
    (FromProbability, {"threshold": 0.5}),
    (draw_policies, {"negatives": 0.5}),
    (ConditionalHead, {"width": 128, "seed": 0}),
    (fit_conditional, {"steps": 600, "negatives": 0.5, "seed": 0}),
    (energy, {"temperature": 1.0}),
    (generalised_entropy, {"gamma": 0.1, "top": 100}),
    (gradient_norm, {"temperature": 1.0}),
    (blend, {"beta": 0.7, "peak": None}),
    (train_substitute, {"epochs": 10, "batch_size": 64, "lr": 1e-3, "noise": 0.4, "seed": 0}),
    (transferred, {"mode": "image", "steps": 100, "rel_stepsize": 0.05, "seed": 0}),
    (SpreadSpectrum, {"seed": 0}),
    (DCTWatermark, {"step": 0.2}),
    (Shares, {"keep": 20_000, "tune": 500, "calibration": 0.2}),
]


@pytest.mark.parametrize(("function", "defaults"), DEFAULTS, ids=[f.__qualname__ for f, _ in DEFAULTS])
def test_defaults_are_as_documented(function, defaults):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in defaults} == defaults


def test_settings_of_a_learned_watermark():
    assert WatermarkSettings().model_dump() == {
        "image": (3, 32, 32), "n_bits": 30, "strength": 16 / 255, "width": 16, "steps": 600, "batch_size": 64,
        "lr": 3e-3, "quality": 0.1, "noise": 0.05, "seed": 0,
    }  # fmt: skip
