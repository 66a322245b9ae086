"""Rules on Mahalanobis distances: sets, methods and networks in words, and the conditions of the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.papers import Check, decide

GAIN, DETECTED, LOSS = 0.03, 0.75, 0.03
SATURATED, TIE = 0.99, 0.005
"""Where the last layer's AUROC is above the first, another method need not be above it, but no further below."""
NEAR, LAST, KNOWN = "near", "last", "fgsm-8"
STRONG, OTHER, WEAK = ("fgsm-8", "bim", "pgd-8"), ("deepfool", "cw"), "pgd-2"
ATTACKED = (*STRONG, WEAK, *OTHER)
"""Sets of adversarial examples."""
WRONG, FEW = 0.4, 0.2
"""Share of the training labels that are drawn anew, and of the training images that are kept."""
TRAININGS = ("wrong", "few")
"""Networks beside the main one of a seed: trained on wrong labels, and on few images."""
PAIRS = (
    ("equal", "msp"), ("published", "msp"), ("equal", LAST), ("ensemble", LAST), ("step", LAST), ("published", LAST),
)  # fmt: skip
"""Methods whose difference is judged, within each seed."""
NAMES: Mapping[str, str] = {
    "equal": "ensemble of equal weights",
    "ensemble": "ensemble with weights from FGSM",
    "step": "last layer after an input step",
    "published": "ensemble after an input step, both from FGSM",
    "msp": "softmax",
    LAST: "last layer",
    "fgsm-8": "FGSM at 8/255",
    "bim": "BIM at 0.06",
    "pgd-8": "PGD-10 at 8/255",
    "pgd-2": "PGD-10 at 2/255",
    "deepfool": "DeepFool",
    "cw": "Carlini and Wagner",
    "wrong": "trained on 40 % wrong labels",
    "few": "trained on a fifth of the images",
}
"""Methods, attacks and networks in words."""


def at_step(layer: str, step: float) -> str:
    """The name of a layer's score after an input step.

    >>> at_step("layer1", 0.0), at_step("layer1", 0.002)
    ('layer1', 'layer1@0.002')
    """
    return f"{layer}@{step:g}" if step else layer


def judge_distances(measured: Mapping[str, Any]) -> list[Check]:
    """The checks of all parts of the claim."""
    abnormal, adversarial, fitted = (measured[k] for k in ("abnormal", "adversarial", "fitted"))
    far = [name for name in abnormal if name != NEAR]
    checks = [ahead("far-images", name, abnormal[name], "equal", "msp", GAIN) for name in far]
    for name in STRONG:
        checks += detected("attacks", NAMES[name], adversarial[name], "published", GAIN)
    for name in far:
        for way in (LAST, "equal"):
            words = f"{name}, {NAMES[way]}: AUROC fitted with 40 % wrong labels minus with right ones"
            checks.append(decide("wrong-labels", words, fitted[name][way]["gained"], above=-LOSS))
    for part, on_far, on_attacks in (
        ("published-method", "published", "published"),
        ("layers", "equal", "ensemble"),
        ("input-step", "step", "step"),
    ):
        checks += [sharper(part, name, abnormal[name], on_far) for name in far]
        checks += [sharper(part, NAMES[name], adversarial[name], on_attacks) for name in STRONG]
    words = f"classes never shown: AUROC of the {NAMES['equal']}"
    checks.append(decide("near-images", words, abnormal[NEAR]["equal"]["auroc"], above=DETECTED, opposed_below=0.5))
    checks += detected("small-attacks", NAMES[WEAK], adversarial[WEAK], "published")
    checks += [detected("other-attacks", NAMES[name], adversarial[name], "published")[0] for name in OTHER]
    for group in TRAININGS:
        for name in far:
            found = measured["trained"][group][name]
            checks += detected("noisy-training", f"{NAMES[group]}, {name}", found, "equal", GAIN)
    return checks + added(measured["new_classes"])


def ahead(part: str, name: str, methods: Mapping[str, Any], ours: str, other: str, gain: float = 0.0) -> Check:
    """Whether one method has a higher AUROC than another on a set, within each seed."""
    words = f"{NAMES.get(name, name)}: AUROC of the {NAMES[ours]} minus the {NAMES[other]}"
    return decide(part, words, methods["ahead"][f"{ours}-{other}"], above=gain)


def sharper(part: str, name: str, methods: Mapping[str, Any], ours: str) -> Check:
    """Whether a method has a higher AUROC than the last layer, or as good as the same where that is near 1."""
    return ahead(part, name, methods, ours, LAST, -TIE if methods[LAST]["auroc"]["value"] > SATURATED else 0.0)


def detected(part: str, name: str, methods: Mapping[str, Any], ours: str, gain: float = 0.0) -> list[Check]:
    """Whether a method detects a set, and better than the softmax."""
    words = f"{name}: AUROC of the {NAMES[ours]}"
    return [
        decide(part, words, methods[ours]["auroc"], above=DETECTED, opposed_below=0.5),
        ahead(part, name, methods, ours, "msp", gain),
    ]


def added(found: Mapping[str, Any]) -> list[Check]:
    """Whether added classes are recognised, and better than without a covariance."""
    words = "area under the accuracies on old and new classes, shared covariance minus Euclidean"
    chance = 1 / found["classes"]
    new = "accuracy on the new classes, all classes to choose from"
    return [
        decide("new-classes", words, found["ahead"]["area_gained"]),
        decide("new-classes", new, found["shared"]["new"], above=chance, opposed_below=chance),
    ]
