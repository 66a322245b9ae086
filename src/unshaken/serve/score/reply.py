"""From `Answers` to the JSON of `schema`."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from unshaken.core.classifier import NO_CLASS
from unshaken.serve.score.answers import ALPHA, Answers, Certificates
from unshaken.serve.score.options import Limits, ScoreOptions
from unshaken.serve.score.samples import Samples
from unshaken.serve.score.scorer import Scorer


def reply(scorer: Scorer, samples: Samples, answers: Answers, options: ScoreOptions) -> dict[str, Any]:
    """The answer for a request; see `ScoreAnswer`.

    Args:
        scorer: that gave the answers.
        samples: of the request.
        answers: for its images that can be used, in order.
        options: of the request.
    """
    images = iter(_images(scorer, answers, options))
    found = [
        {"id": name, "error": samples.bad[place]} if place in samples.bad else {"id": name, **next(images)}
        for place, name in enumerate(samples.ids)
    ]
    return {
        "model": scorer.model.name,
        "false_alarms": false_alarms(scorer),
        "temperature": scorer.calibration.temperature,
        "coverage": None if scorer.calibration.sets is None else scorer.calibration.sets.accept,
        "answers": found,
    }


def describe_model(scorer: Scorer, limits: Limits) -> dict[str, Any]:
    """Describe the service; see `ModelAnswer`."""
    view, calibration = scorer.view, scorer.calibration
    return {
        "model": scorer.model.name,
        "classes": list(scorer.model.classes),
        "view": str(view),
        "shape": [view.channels, view.height, view.width],
        "temperature": calibration.temperature,
        "calibrated_on": calibration.data,
        "calibration_samples": calibration.samples,
        "prediction_sets": _promise_of_sets(scorer),
        "detectors": {label: found.guarantee for label, found in scorer.own.items()},
        "false_alarms": false_alarms(scorer),
        "limits": asdict(limits),
    }


def false_alarms(scorer: Scorer) -> float | None:
    """The promised share of normal images that are not accepted, at most; None without detectors."""
    return round(1 - scorer.accept, 12) if scorer.own else None


def _promise_of_sets(scorer: Scorer) -> str | None:
    """What the prediction sets promise, in one sentence; None without sets."""
    sets = scorer.calibration.sets
    if sets is None:
        return None
    return (
        f"the set of a new image from the source of {scorer.calibration.data!r} holds its class with probability "
        f"{sets.accept:g} or more, over all calibrations of {sets.n:,} images; under a shift nothing is promised"
    )


def class_name(scorer: Scorer, number: int) -> str:
    """The name of a class; its number where it has none."""
    return scorer.model.classes[number] if 0 <= number < len(scorer.model.classes) else str(number)


def _images(scorer: Scorer, answers: Answers, options: ScoreOptions) -> list[dict[str, Any]]:
    values, classes = answers.probabilities.topk(min(options.top, answers.probabilities.shape[1]))
    found = []
    sets = None if scorer.calibration.sets is None else scorer.calibration.in_sets(answers.probabilities)
    rows = zip(answers.predictions.tolist(), values.tolist(), classes.tolist(), strict=True)
    for row, (prediction, shares, order) in enumerate(rows):
        if prediction == NO_CLASS:
            found.append(
                {"error": "the model's output is not finite for this image", **_detected(scorer, answers, row)}
            )
            continue
        one: dict[str, Any] = {
            "class": prediction,
            "name": class_name(scorer, prediction),
            "confidence": float(answers.probabilities[row, prediction]),
            "probabilities": [
                {"class": k, "name": class_name(scorer, k), "probability": p}
                for k, p in zip(order, shares, strict=True)
            ],
            **_detected(scorer, answers, row),
        }
        if sets is not None:
            held = answers.probabilities[row].argsort(descending=True, stable=True)
            one["prediction_set"] = [
                {"class": k, "name": class_name(scorer, k), "probability": float(answers.probabilities[row, k])}
                for k in held[sets[row][held]].tolist()
            ]
        if answers.certificates is not None:
            one["certificate"] = _certificate(scorer, answers.certificates, row, options)
        if answers.perturbed is not None:
            under = answers.perturbed[row].tolist()
            names = [f"{name}-{severity}" for name, severity in options.perturbations]
            changed = {n: k for n, k in zip(names, under, strict=True) if k != prediction}
            one["perturbations"] = {"kept": len(under) - len(changed), "tried": len(under), "changed": changed}
        found.append(one)
    return found


def _detected(scorer: Scorer, answers: Answers, row: int) -> dict[str, Any]:
    if answers.accepted is None:
        return {}
    detectors = {
        label: {
            "score": score if math.isfinite(score := float(found.scores[row])) else None,
            "threshold": scorer.own[label].value,
            "accepted": bool(found.accepted[row]),
            "p_value": float(found.p_values[row]),
        }
        for label, found in answers.detected.items()
    }
    return {"accepted": bool(answers.accepted[row]), "detectors": detectors}


def _certificate(scorer: Scorer, found: Certificates, row: int, options: ScoreOptions) -> dict[str, Any]:
    number = int(found.predictions[row])
    return {
        "class": number,
        "name": class_name(scorer, number),
        "abstained": bool(found.abstained[row]),
        "radius": float(found.radius[row]),
        "p_lower": float(found.p_lower[row]),
        "sigma": options.sigma,
        "copies": options.certify,
        "alpha": ALPHA,
    }
