"""Strengths and bounds of the experiment with watermarks and deepfakes, and the conditions of its rules."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

from unshaken.papers import Check, decide
from unshaken.papers.effects import complement, negated, unpaired

ERRORS = 3.0
RISE = 0.005
ACCURACY = 0.9
FALL = 0.1
HALF = 0.5
AMPLITUDES = (2, 8)
"""Of the spread-spectrum pattern, in 255ths."""
NOISES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
DENOISED = (0.1, 0.2)
FRACTIONS = (0.1, 0.2, 0.3)
EVERY = 25
"""Timesteps that one step of the way back spans."""
STRONG = "strong"
"""The learned mark, which changes images much."""
BUDGET = 12
"""Radius of the attack on the substitute in 255ths, the largest of the publication's."""
FEATURE_NOISES = (0.0, 1.0, 3.0, 10.0)
"""Deviations of the noise on features in the training of classifiers of deepfakes."""
GRID = tuple(round(0.2 * 2 ** (k / 2), 4) for k in range(14))
"""Deviations at which it is tried how often noise turns their answers."""
FLIPS = 0.01
"""Share of answers that may be turned."""
MODES: tuple[Literal["image"], Literal["universal"]] = ("image", "universal")
PEAKS = (1.0, 0.75, 0.5)


def judge_marks(measured: Mapping[str, Any]) -> list[Check]:
    """The checks of all parts of the claim."""
    checks = bounded(measured)
    for amplitude in AMPLITUDES:
        noisy, denoised = (measured[kind][f"a{amplitude}"] for kind in ("noise", "denoised"))
        checks += [*falling(amplitude, noisy), clearer(amplitude, denoised, noisy)]
    for fraction in FRACTIONS:
        words = f"2/255, t = {fraction:g}: missed plus false alarms"
        error = measured["diffusion"][f"a{AMPLITUDES[0]}"][f"{fraction:g}"]["error"]
        checks.append(decide("purification", words, error, above=HALF, opposed_below=HALF))
    return [*checks, *out_of_reach(measured), *substituted(measured), *forged(measured), *traded(measured)]


def bounded(measured: Mapping[str, Any]) -> list[Check]:
    """Whether missed plus false alarms are never below the bound."""
    checks = []
    for kind, strengths, marks in (
        ("noise", NOISES[1:], AMPLITUDES),
        ("denoised", DENOISED, AMPLITUDES),
        ("diffusion", FRACTIONS, AMPLITUDES[:1]),
    ):
        worst = min(measured[kind][f"a{a}"][f"{s:g}"]["margin"] for a in marks for s in strengths)
        words = f"{kind}: missed plus false alarms are at the worst {worst:+.2f} standard errors from the bound"
        checks.append(Check(words, worst >= -ERRORS, "error-bound", opposed=worst < -ERRORS))
    return checks


def falling(amplitude: int, row: Mapping[str, Any]) -> list[Check]:
    """Whether AUROC falls with more noise."""
    areas = [row[f"{s:g}"]["auroc"] for s in NOISES[1:]]
    words = f"{amplitude}/255: AUROC over rising noise " + ", ".join(f"{a['value']:.3f}" for a in areas)
    falls = all(b["value"] <= a["value"] + RISE for a, b in pairwise(areas))
    lost = unpaired(areas[0], areas[-1])
    return [Check(words, falls, "more-noise"), decide("more-noise", f"{amplitude}/255: AUROC lost in all", lost)]


def clearer(amplitude: int, denoised: Mapping[str, Any], noisy: Mapping[str, Any]) -> Check:
    """Whether denoised images are nearer to the originals than noisy ones."""
    pairs = [(denoised[f"{s:g}"]["psnr"], noisy[f"{s:g}"]["psnr"]) for s in DENOISED]
    words = ", ".join(f"{a:.1f} dB denoised and {b:.1f} noisy" for a, b in pairs)
    return Check(f"{amplitude}/255: {words}", all(a > b for a, b in pairs), "image-quality")


def strong(part: str, measured: Mapping[str, Any]) -> Check:
    """Whether the strong mark changes images more than the stronger of the two patterns."""
    words = f"W of the strong mark minus that of {AMPLITUDES[-1]}/255"
    return decide(part, words, unpaired(measured["distance"][STRONG], measured["distance"][f"a{AMPLITUDES[-1]}"]))


def out_of_reach(measured: Mapping[str, Any]) -> list[Check]:
    """Whether the strong mark is found after purification."""
    checks = [strong("strong-marks", measured)]
    for fraction in FRACTIONS:
        error = measured["diffusion"][STRONG][f"{fraction:g}"]["error"]
        words = f"strong mark, t = {fraction:g}: 1 less missed and false alarms"
        checks.append(decide("strong-marks", words, complement(error), above=HALF, opposed_below=HALF))
    return checks


def substituted(measured: Mapping[str, Any]) -> list[Check]:
    """Whether the attack on substitutes takes bits of the strong mark."""
    found = measured["substitute"]
    least = min(found["accuracy"].values(), key=lambda figure: float(figure["low"]))
    words = f"the worst substitute is right on {least['value']:.1%} ({least['low']:.1%} at least)"
    taken = negated(found["evade"]["universal_beyond_uniform"])
    return [
        strong("substitution", measured),
        Check(words, least["low"] > ACCURACY, "substitution"),
        decide("substitution", "right bits taken, more than by uniform noise", taken, above=FALL),
    ]


def forged(measured: Mapping[str, Any]) -> list[Check]:
    """Whether clean images pass for marked."""
    raised = measured["substitute"]["spoof"]["universal_beyond_uniform"]
    words = "bits of the mark read from clean images, raised by the attack on the substitute"
    return [
        decide("spoofing", words, raised),
        *(
            decide("spoofing", f"{mark}: share passing, marked less plain noise", measured["blend"][mark]["difference"])
            for mark in ("spread", "dct", STRONG)
        ),
    ]


def traded(measured: Mapping[str, Any]) -> list[Check]:
    """Whether noise in training buys robustness with accuracy, and nothing is above the bound."""
    found = measured["deepfakes"]
    words = f"feature noise of {FEATURE_NOISES[-1]:g} in training less none"
    worst = found["margin"]
    bound = f"TPR less FPR is at the worst {worst:+.2f} standard errors below its bound"
    return [
        decide("deepfakes", f"{words}: log2 of the noise that turns at most 1 % of answers", found["gained"]),
        decide("deepfakes", f"{words}: AUROC lost", found["lost"]),
        Check(bound, worst >= -ERRORS, "deepfakes", opposed=worst < -ERRORS),
    ]
