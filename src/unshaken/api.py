"""What programs and notebooks call; the command line calls the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from unshaken.api_detect import screen_run
from unshaken.api_harden import Mended as Mended
from unshaken.api_harden import harden as harden
from unshaken.api_harden import mend as mend
from unshaken.api_harden import plan_mending as plan_mending
from unshaken.api_job import Options as Options
from unshaken.api_job import chosen_device as chosen_device
from unshaken.api_job import default_out as default_out
from unshaken.api_job import ready
from unshaken.attack.base import Attack
from unshaken.core.batch import Batch, in_unit_range
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import LARGEST_COUNT, parse_number, parse_whole
from unshaken.core.registry import find_method, parse_method
from unshaken.data import Dataset
from unshaken.report import Gate, GateResult, compare_runs, write_report
from unshaken.report.gates import NO_REGRESSION
from unshaken.run import RunDir, execute, load_plan, read_config


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished run.

    Args:
        run: its directory.
        summary: as in `summary.json`.
        gates: what became of each gate.
    """

    run: RunDir
    summary: dict[str, Any]
    gates: list[GateResult]

    @property
    def held(self) -> bool:
        """Whether all gates held."""
        return all(g.held for g in self.gates)


def audit(
    model: str | nn.Module | None = None,
    data: str | Dataset = "demo",
    plan: str | Sequence[Any] = "quick",
    **options: Any,
) -> Audit:
    """Stress and attack a model, and keep rows, figures, flags and a report.

    Args:
        model: a SPEC, a `Classifier`, or any module from [0, 1] images to logits. None: both networks of the embedded
            default, side by side.
        data: a SPEC or a `Dataset`.
        plan: a name, a YAML file, or a list of `{method, params, severities|eps, norm}`.
        options: see `Options`.

    Returns:
        The finished run.

    Raises:
        UnshakenError: model, data, plan, gate or directory is wrong; the message says how to mend it.
    """
    chosen = Options(**options)
    if model is None:
        return _audit_demo(data, plan, chosen)
    return _audit(model, data, plan, chosen)


def attack(
    model: str | nn.Module,
    data: str | Dataset,
    attack: str = "pgd",
    *,
    norm: str | None = None,
    eps: float | str | Sequence[float | str] | None = None,
    mode: str | None = None,
    budget: str | None = None,
    defence: str | None = None,
    **options: Any,
) -> Audit:
    """Run one attack: an audit whose plan has one line, or, behind a defence, two.

    Args:
        model: as for `audit`.
        data: as for `audit`.
        attack: `NAME[:k=v,...]`.
        norm: `linf`, `l2` or `l1`; default the first that the attack has.
        eps: one budget or several, in [0, 1] pixel units; fractions such as `8/255`, the default, will do. A
            minimal-norm attack needs none, an attack without a norm has none.
        mode: `strict` or `fast`, of `autoattack` and `auto`.
        budget: what `auto` may spend: passes a sample (`2000`), or seconds for the whole run (`60s`).
        defence: `NAME[:k=v,...]` of the room `harden`: the model is put behind it and attacked through it. Beside that
            stands the naive figure, of examples that the same attack (APGD for one that is no single search) made on
            the bare model. Gradients of a random defence are averaged over 10 passes unless `eot` says otherwise.
        options: see `Options`.
    """
    method = _with_budget(parse_method(attack, "attack"), mode, budget)
    if eps is None:
        eps = "8/255" if method.norms and not method.minimal else ()
    given = [eps] if isinstance(eps, float | int | str) else list(eps)
    budgets = [parse_number(e, "eps") if isinstance(e, str) else e for e in given]
    entry = {
        "method": method.info.name,
        "params": method.model_dump(exclude_defaults=True),
        "norm": norm if method.norms else None,
        "eps": budgets,
    }
    if defence is None:
        return _audit(model, data, [entry], Options(**options), name=method.info.name)
    if not isinstance(model, str):
        raise ParameterError("defence is for a model SPEC: wrap a model of your own with the defence's wrap(model)")
    if getattr(parse_method(defence, "harden"), "random", False):
        options = {"eot": 10, **options}
    same = attack if isinstance(method, Attack) and not method.minimal else ""
    naive = {
        "method": "transfer",
        "params": {"surrogate": model, "search": same},
        "norm": entry["norm"],
        "eps": budgets,
    }
    plan = [entry, naive] if budgets else [entry]
    guarded = f"{model}{'&' if '?' in model else '?'}defence={defence}"
    return _audit(guarded, data, plan, Options(**options), name=method.info.name)


def certify(
    model: str | nn.Module,
    data: str | Dataset,
    method: str = "smoothing-sequential",
    *,
    radii: float | str | Sequence[float | str] | None = None,
    attacked: bool = True,
    **options: Any,
) -> Audit:
    """Say, sample by sample, what is guaranteed; beside it stands what an attack on the same samples leaves.

    Args:
        model: as for `audit`.
        data: as for `audit`.
        method: `NAME[:k=v,...]` of the room `certify`.
        radii: sizes asked for, in the unit of the method's norm; fractions such as `8/255` will do. A run whose votes
            cannot reach them is refused before it starts.
        attacked: attack what the certificate speaks of, too: clean, attacked and certified accuracy must fall in this
            order, and what contradicts a certificate is flagged as an error of this package.
        options: see `Options`.
    """
    certifier = parse_method(method, "certify")
    given = [] if radii is None else _listed(radii)
    sizes = [parse_number(r, "radius") if isinstance(r, str) else float(r) for r in given]
    entry = {
        "method": certifier.info.name,
        "params": certifier.model_dump(exclude_defaults=True),
        **certifier.asked(sizes),
    }
    plan = [entry, *(certifier.beside(sizes) if attacked else [])]
    return _audit(model, data, plan, Options(**options), name=certifier.info.name)


def detect(
    model: str | nn.Module,
    data: str | Dataset,
    detectors: str | Path,
    *,
    accept: float | None = None,
    against: str | Sequence[str] = (),
    shifts: str | Sequence[str] = (),
    attacked: bool = True,
    attack: str = "pgd:steps=20,step_size=0.1",
    norm: str = "linf",
    eps: float | str | Sequence[float | str] = "8/255",
    samples: int = 50,
    **options: Any,
) -> Audit:
    """Score images by fitted detectors, all in one pass, and say who is let in; see `unshaken.detect.fit`.

    Args:
        model: as for `audit`; the one that the detectors were fitted on.
        data: as for `audit`; normal samples, where figures are wanted of how well abnormal ones are told from them.
        detectors: the folder that `fit` or `unshaken detect fit` wrote.
        accept: share of normal images that are let in at least, by a conformal threshold; None for 0.95. One that is
            given must be a share that the calibration samples can promise.
        against: abnormal sets, `GROUP=SPEC` or `GROUP/NAME=SPEC`, such as `far=mnist`.
        shifts: stressors under which the same images are scored too, `NAME-SEVERITY`, such as `gaussian_noise-3`.
        attacked: attack model and detectors together on some labelled samples, beside the naive figure.
        attack: the search, `NAME[:k=v,...]`.
        norm: of its budget.
        eps: its budgets; fractions such as `8/255` will do.
        samples: that are attacked at most.
        options: see `Options`.
    """
    chosen = Options(**options)
    baseline = _checked_gates(chosen)
    run = screen_run(
        model, data, detectors, chosen, accept=accept, against=_listed(against), shifts=_listed(shifts),
        attacked=attacked, attack=attack, norm=norm, eps=_listed(eps), samples=samples,
    )  # fmt: skip
    summary, gates = write_report(run, baseline=baseline, gates=chosen.gates)
    return Audit(run, summary, gates)


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | float | int) else list(value)


def _with_budget(method: Any, mode: str | None, budget: str | None) -> Any:
    """The method with mode and budget put into its parameters."""
    changes: dict[str, Any] = {} if mode is None else {"mode": mode}
    if budget is not None:
        amount, seconds = budget.removesuffix("s"), budget.endswith("s")
        changes["seconds" if seconds else "passes"] = _budget(amount, budget, float if seconds else int)
    for name, value in changes.items():
        if name not in type(method).model_fields:
            raise ParameterError(
                f"{method.info.name} has no {name} ({value!r}): that is for auto, mode for autoattack too"
            )
    return type(method)(**{**method.model_dump(exclude_defaults=True), **changes}) if changes else method


def _budget(text: str, whole: str, number: type[int] | type[float]) -> float:
    try:
        value = parse_whole(text) if number is int else parse_number(text)
    except ParameterError:
        value = -1
    if not 0 < value <= LARGEST_COUNT:
        raise ParameterError(f"budget {whole!r} is neither passes a sample such as 2000 nor seconds such as 60s")
    return value


def compare(*runs: str | Path | RunDir) -> Any:
    """Compare runs on the same samples: paired differences with intervals, corrected for the number of conditions.

    Args:
        runs: two or more run directories; the first is what the others are compared with.
    """
    return compare_runs([r if isinstance(r, RunDir) else RunDir(r) for r in runs])


def corrupt(
    images: Tensor | NDArray[np.uint8], name: str, severity: int, seed: int = 0, preset: str = "auto"
) -> Tensor | NDArray[np.uint8]:
    """Apply a stressor to images.

    Args:
        images: a float tensor `[N, C, H, W]` in [0, 1], or one uint8 array `[H, W, C]` or `[H, W]`.
        name: a registry name of the room `stress`.
        severity: 1 to 5.
        seed: image i of the tensor draws from (seed, name, i).
        preset: table of strengths: `auto`, `imagenet`, `cifar` or `tiny`.

    Returns:
        The same type, shape and device.

    Raises:
        ParameterError: name, severity or preset is not known.
        DataError: the images have another form or range.

    >>> import torch
    >>> corrupt(torch.full((1, 3, 32, 32), 0.5), "brightness", 5).mean().item() > 0.7
    True
    """
    cls = find_method(name, "stress").cls
    method = cls(preset=preset) if "preset" in cls.model_fields else cls()
    if isinstance(images, Tensor):
        ids = tuple(str(i) for i in range(len(images)))
        changed: Tensor = method.apply(Batch(in_unit_range(images, "images"), None, ids), severity, seed).images
        return changed
    if images.dtype != np.uint8 or images.ndim not in (2, 3) or (images.ndim == 3 and images.shape[2] not in (1, 3)):
        raise DataError(
            f"an image array must be uint8 [H, W, C] with 1 or 3 channels, or [H, W], not {images.dtype} {images.shape}"
        )
    pixels = images if images.ndim == 3 else images[..., None]
    array: NDArray[np.uint8] = method.apply_pixels(pixels, severity, seed).reshape(images.shape)
    return array


def _audit_demo(data: str | Dataset, plan: str | Sequence[Any], options: Options) -> Audit:
    """Both embedded networks: the standard one in `out`, the robust one in a folder beside its rows."""
    _checked_gates(options)
    out = str(options.out or default_out(None, data, plan))
    robust = _audit("demo:robust", data, plan, _but(options, out=f"{out}/robust", gates=(), baseline=None))
    return _audit("demo:standard", data, plan, _but(options, out=out), beside=[str(robust.run).removeprefix(f"{out}/")])


def _but(options: Options, **changes: Any) -> Options:
    from dataclasses import replace

    return replace(options, **changes)


def _audit(
    model: str | nn.Module,
    data: str | Dataset,
    plan: str | Sequence[Any],
    options: Options,
    *,
    beside: Sequence[str] = (),
    name: str | None = None,
) -> Audit:
    run = RunDir(options.out or default_out(model, data, name or plan))
    baseline = _checked_gates(options)
    plan_name = name or (plan if isinstance(plan, str) else "custom")
    job = ready(run, model, data, load_plan(plan), options, beside, plan_name)
    execute(job, resume=options.resume)
    summary, gates = write_report(run, baseline=baseline, gates=options.gates)
    return Audit(run, summary, gates)


def _checked_gates(options: Options) -> RunDir | None:
    """The baseline. A gate or baseline that is wrong is refused before hours are spent."""
    gates = [Gate.parse(g) for g in options.gates]
    if options.baseline is None:
        if any(g.name == NO_REGRESSION for g in gates):
            raise ParameterError(f"gate {NO_REGRESSION!r} needs a run to compare with: give --baseline DIR")
        return None
    baseline = RunDir(options.baseline)
    read_config(baseline)
    return baseline
