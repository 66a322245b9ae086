"""Certifiers in a run: `certificates` of each condition, then the answers of the classifier that is certified."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from unshaken.attack.engine.ball import distance
from unshaken.attack.engine.step_length import check_step_size
from unshaken.certify.bounds.bounding import EPS, BoundCertifier
from unshaken.certify.crops.crop_selection import CropSelection
from unshaken.certify.engine.base import Certifier, certificates
from unshaken.certify.engine.reading import read_chain
from unshaken.certify.smoothing.adaptive_smoothing import AdaptiveSmoothing
from unshaken.certify.smoothing.dual_smoothing import DualSmoothing
from unshaken.certify.smoothing.noise_attack import NoiseAttack
from unshaken.certify.smoothing.smoothing import GaussianSmoothing, vote_logits
from unshaken.certify.smt import smt
from unshaken.certify.smt.smt import SMT
from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.context import Context
from unshaken.core.errors import ParameterError
from unshaken.core.outcomes import outcomes
from unshaken.core.part import Condition, Part, name_condition
from unshaken.core.progress import track
from unshaken.run.adapters import Line, conditions_of, rows_of


@singledispatch
def fields_for(certifier: Certifier, radii: Sequence[float]) -> dict[str, Any]:
    """The fields of a plan's entry that request radii: `eps` (the default), `severities` or `params`.

    Args:
        certifier: any.
        radii: in the unit of its norm; empty for its own.

    Raises:
        ParameterError: it computes its radii, or has no such ones.
    """
    return {"eps": list(radii)}


@singledispatch
def attacks_on(certifier: Certifier, radii: Sequence[float]) -> list[dict[str, Any]]:
    """Attacks on the certified classifier, as entries of a plan: an upper bound of certified accuracy.

    Args:
        certifier: any.
        radii: as for `fields_for`.
    """
    return []


# What a certifier of the model's own answers gives, unless one of the functions below knows its kind better.


@conditions_of.register
def _(method: Certifier, line: Line) -> list[Condition]:
    name, norms = method.info.name, method.info.norms
    if line.severities:
        raise ParameterError(f"{name}: has no severities: give eps, the radius in [0, 1] pixel units")
    if line.norm not in norms:
        raise ParameterError(f"{name}: norm {line.norm!r} is not one of {', '.join(norms)}")
    if not line.eps or min(line.eps) <= 0:
        raise ParameterError(f"{name}: give eps above 0, the radius to certify in [0, 1] pixel units")
    return [Condition(name_condition(line.label, line.norm, e), name, eps=e, norm=line.norm) for e in line.eps]


@rows_of.register
def _(method: Certifier, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    prediction, parts = predict(context.clean).to(batch.images.device), list[Part]()
    for condition in conditions:
        began = time.perf_counter()
        radius = method.certified_radius(context.oracle, batch.images, prediction, float(condition.eps or 0.0))
        seconds = (time.perf_counter() - began) / max(1, len(batch))
        norm = str(condition.norm)
        parts.append(certificates(condition, batch, radius=radius, norm=norm, prediction=prediction, seconds=seconds))
        parts.append(_clean_answers(condition, batch, context, seconds))
    return parts


# Bounds of margins over a box, and a solver that decides over one: radii in linf.


@conditions_of.register(BoundCertifier)
@conditions_of.register(SMT)
def _(method: BoundCertifier | SMT, line: Line) -> list[Condition]:
    name, default = method.info.name, EPS if isinstance(method, BoundCertifier) else smt.EPS
    if line.severities:
        raise ParameterError(f"{name}: has no severities: give eps, the radius in [0, 1] pixel units")
    if line.norm != "linf":
        raise ParameterError(f"{name}: norm {line.norm!r} is not one of linf")
    for radius in line.eps:
        if not 0 < radius <= 1:
            raise ParameterError(f"{name}: eps {radius:g} must lie in (0, 1], in units of pixels in [0, 1]")
    return [Condition(name_condition(line.label, "linf", e), name, eps=e, norm="linf") for e in line.eps or (default,)]


@attacks_on.register
def _(certifier: BoundCertifier, radii: Sequence[float]) -> list[dict[str, Any]]:
    return [{"method": "pgd", "norm": "linf", "eps": list(radii) or [EPS]}]


@rows_of.register
def _(method: BoundCertifier, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    with context.oracle.meter.method():
        chain = read_chain(context.oracle.model, batch.images)
    prediction, parts = predict(context.clean).to(batch.images.device), list[Part]()
    for condition in conditions:
        began = time.perf_counter()
        with context.oracle.meter.method():
            radius = method.certified_radii(
                chain, batch.images, prediction, float(condition.eps or EPS), context.oracle.limit
            )
        seconds = (time.perf_counter() - began) / max(1, len(batch))
        why = "the bounds are too loose, or an adversarial example exists"
        parts.append(
            certificates(
                condition,
                batch,
                radius=radius,
                norm="linf",
                prediction=prediction,
                seconds=seconds,
                reason=[None if r > 0 else why for r in radius],
            )
        )
        parts.append(_clean_answers(condition, batch, context, seconds))
    return parts


@rows_of.register
def _(method: SMT, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    with context.oracle.meter.method():
        chain = read_chain(context.oracle.model, batch.images)
    prediction, parts = predict(context.clean), list[Part]()
    for condition in conditions:
        eps = float(condition.eps or smt.EPS)
        findings, regions, seconds = [], [], []
        with track(f"smt: {method.mode}", len(batch)) as task:
            for image, label in zip(batch.images.float(), prediction.tolist(), strict=True):
                began = time.perf_counter()
                with context.oracle.meter.method():
                    regions.append(method.region(image, max(label, 0), eps))
                    findings.append(method.verify_region(chain, context.oracle, regions[-1]))
                seconds.append(time.perf_counter() - began)
                task.advance()
        spent, far = torch.tensor(seconds), [f.distances(r) for f, r in zip(findings, regions, strict=True)]
        safe = [eps if f.verdict == "safe_general" else 0.0 for f in findings]
        parts.append(
            certificates(
                condition,
                batch,
                radius=torch.tensor(safe, dtype=torch.float64),
                norm=f"linf of {len(regions[0].free)} pixels",
                prediction=prediction,
                seconds=spent,
                reason=[f"{f.verdict}: {f.detail}" for f in findings],
            )
        )
        columns = {
            "id": list(batch.ids),
            "mode": [method.mode] * len(findings),
            "label": [r.label for r in regions],
            "pixels": [len(r.free) for r in regions],
            "seconds": seconds,
            **{k: [getattr(f, k) for f in findings] for k in ("verdict", "detail", "margin", "points", "calls")},
            **{k: [d.get(k) for d in far] for k in ("changed", "l1", "l2")},
        }
        parts += [Part("verifications", condition, columns), _clean_answers(condition, batch, context, spent)]
    return parts


def _clean_answers(condition: Condition, batch: Batch, context: Context, seconds: Tensor | float) -> Part:
    """The model's own answers, which are already paid for."""
    return outcomes(condition, batch, context.clean, forwards=0, seconds=seconds, images=lambda i: batch.images[i])


# Votes of noisy copies: radii in l2, which the votes decide.


@fields_for.register
def _(certifier: GaussianSmoothing, radii: Sequence[float]) -> dict[str, Any]:
    own = certifier.model_dump(exclude_defaults=True)
    if radii and certifier.radii:
        raise ParameterError(f"{certifier.name}: radii are given twice, in the method and as --radius: give them once")
    return {"params": {**own, "radii": list(radii)} if radii else own}


@attacks_on.register
def _(certifier: GaussianSmoothing, radii: Sequence[float]) -> list[dict[str, Any]]:
    eps = [r for r in radii or certifier.radii if r > 0]
    return [{"method": "smoothing-attack", "params": {"sigma": certifier.sigma}, "eps": eps}]


@attacks_on.register
def _(certifier: DualSmoothing, radii: Sequence[float]) -> list[dict[str, Any]]:
    eps = [r for r in radii or certifier.radii if r > 0]
    return [{"method": "dual-smoothing-attack", "params": certifier.classifier_parameters(), "eps": eps}]


@conditions_of.register
def _(method: GaussianSmoothing, line: Line) -> list[Condition]:
    if line.severities or line.eps:
        raise ParameterError(f"{method.name}: it has neither severities nor eps: give radii=0.25+0.5")
    return [Condition(f"{line.label}-{method.sigma:g}", method.name)]


@rows_of.register
def _(method: GaussianSmoothing, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    (condition,) = conditions
    found = method.certify(context.oracle, batch, seed=context.seed, journal=context.journal_of(condition.id))
    tally = found.tally
    rows = certificates(
        condition,
        batch,
        radius=found.radius,
        norm="l2",
        prediction=found.prediction,
        abstained=found.abstained,
        p_lower=found.p_lower,
        samples=tally.forwards,
        alpha=method.alpha,
        seconds=tally.seconds,
        reason=found.reasons,
        blank=tally.blank,
    )
    return [rows, _answers(rows, batch, vote_logits(tally), forwards=tally.forwards, seconds=tally.seconds)]


def _answers(rows: Part, batch: Batch, logits: Tensor, *, forwards: Tensor, seconds: Tensor | float) -> Part:
    """`outcomes` of a certified classifier: the predictions of its certificates; one abstained from is not correct."""
    prediction, abstained = (torch.tensor(rows.columns[name]) for name in ("prediction", "abstained"))
    return outcomes(
        rows.condition, batch, logits, prediction=prediction, abstained=abstained, forwards=forwards, seconds=seconds
    )


@fields_for.register
def _(certifier: AdaptiveSmoothing, radii: Sequence[float]) -> dict[str, Any]:
    if radii:
        raise ParameterError(f"{certifier.info.name}: the radii are computed: omit --radius")
    return {}


@attacks_on.register
def _(certifier: AdaptiveSmoothing, radii: Sequence[float]) -> list[dict[str, Any]]:
    return [{"method": "adaptive-smoothing-attack", "params": certifier.classifier_parameters(), "eps": []}]


@conditions_of.register
def _(method: AdaptiveSmoothing, line: Line) -> list[Condition]:
    if line.severities or line.eps:
        raise ParameterError(f"{method.info.name}: the radii are computed: omit severities and eps")
    return [Condition(line.label, method.info.name)]


@rows_of.register
def _(method: AdaptiveSmoothing, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    (condition,) = conditions
    began = time.perf_counter()
    found, outputs = method.certify(context, batch, context.journal_of(condition.id))
    seconds = (time.perf_counter() - began) / len(batch)
    rows = certificates(
        condition,
        batch,
        radius=found.radius,
        norm="l2",
        prediction=found.prediction,
        abstained=found.abstained,
        p_lower=found.p_lower,
        samples=outputs.tally.forwards,
        alpha=method.alpha,
        seconds=seconds,
        reason=method.reasons(found, outputs.least),
        blank=outputs.tally.blank,
    )
    logits = found.logits.masked_fill((outputs.tally.blank > 0).cpu()[:, None], torch.nan)
    return [rows, _answers(rows, batch, logits, forwards=outputs.forwards, seconds=seconds)]


# Attacks through the noise.


@conditions_of.register
def _(method: NoiseAttack, line: Line) -> list[Condition]:
    """One condition a radius, in l2; `sigma/2` to `3 sigma` unless given."""
    name = method.info.name
    if line.severities:
        raise ParameterError(f"{name}: it has no severities: give eps, l2 radii")
    if any(e <= 0 for e in line.eps):
        raise ParameterError(f"{name}: eps={min(line.eps):g} must be above 0")
    radii = sorted(line.eps) or [method.sigma * z / 2 for z in range(1, 7)]
    check_step_size(method, radii)
    return [Condition(name_condition(line.label, "l2", r), name, eps=r, norm="l2") for r in radii]


@rows_of.register
def _(method: NoiseAttack, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    names = {float(c.eps or 0): c.id for c in conditions}
    return [
        outcomes(
            condition,
            batch,
            found.logits,
            forwards=found.forwards,
            backwards=found.backwards,
            seconds=found.seconds,
            distance=distance(found.images, batch.images, "l2"),
            images=found.images.__getitem__,
        )
        for condition, found in zip(conditions, method.attack(batch, names, context), strict=True)
    ]


# Crops chosen by their content: radii are shifts in whole pixels.


@fields_for.register
def _(certifier: CropSelection, radii: Sequence[float]) -> dict[str, Any]:
    if any(r != int(r) for r in radii):
        raise ParameterError(f"crop-selection: a radius is a shift in whole pixels, not {max(radii):g}")
    return {"severities": [int(r) for r in radii]}


@conditions_of.register
def _(method: CropSelection, line: Line) -> list[Condition]:
    """One condition a severity, which is the largest shift in pixels; 1 unless given."""
    if line.eps:
        raise ParameterError("crop-selection: shifts are whole pixels: give severities, not eps")
    for severity in line.severities:
        if severity < 1:
            raise ParameterError(f"crop-selection: severity {severity} must be a shift of at least 1 pixel")
    return [Condition(f"{line.label}-{d}", "crop-selection", severity=d) for d in line.severities or (1,)]


@rows_of.register
def _(method: CropSelection, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    parts = list[Part]()
    for condition in conditions:
        d, oracle, began = condition.severity or 1, context.oracle, time.perf_counter()
        logits, radius = [], []
        for photos in torch.split(batch.images, oracle.limit):
            with oracle.meter.method():
                inputs = method.inputs(photos, d, oracle.model.input_size)
                radius.append(method.certified_radii(photos, d))
            logits.append(oracle.exact(inputs))
        answer, seconds = torch.cat(logits), (time.perf_counter() - began) / len(batch)
        parts.append(
            certificates(
                condition,
                batch,
                radius=torch.cat(radius),
                norm="translation",
                prediction=predict(answer),
                seconds=seconds,
            )
        )
        parts.append(outcomes(condition, batch, answer, seconds=seconds, images=method.windows(batch.images, d)))
    return parts
