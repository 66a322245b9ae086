"""`attack`: one attack, or two behind a defence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from torch import nn

from unshaken.api.audit import Audit, run_plan
from unshaken.api.options import check_options
from unshaken.attack.engine.base import Attack
from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError
from unshaken.core.keywords import keywords
from unshaken.core.numbers import LARGEST_COUNT, parse_number, parse_whole
from unshaken.core.options import Options
from unshaken.core.registry import parse_method
from unshaken.data import DataSource


@of_arguments
@keywords(Options)
def attack(
    model: str | nn.Module,
    data: DataSource,
    attack: str = "pgd",
    *,
    norm: str | None = None,
    eps: float | str | Sequence[float | str] | None = None,
    mode: str | None = None,
    budget: str | None = None,
    defence: str | None = None,
    **options: Unpack[Options],
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
    found = parse_method(attack, "attack")
    if not hasattr(found, "evaluate"):
        name = found.info.name
        raise ParameterError(f"{name!r} makes images of its own and attacks no sample: unshaken fool --encoding {name}")
    method = _with_budget(found, mode, budget)
    if eps is None:
        eps = "8/255" if method.norms and not method.minimal else ()
    given = [eps] if isinstance(eps, float | int | str) else list(eps)
    budgets = [parse_number(e, "eps") if isinstance(e, str) else e for e in given]
    entry = {
        "method": method.info.name,
        "params": method.model_dump(exclude_defaults=True),
        "norm": norm,
        "eps": budgets,
    }
    if defence is None:
        return run_plan(model, data, [entry], check_options(**options), name=method.info.name)
    if not isinstance(model, str):
        raise ParameterError("defence needs a model SPEC; for a model object call the defence's wrap(model) yourself")
    if getattr(parse_method(defence, "harden"), "random", False):
        options.setdefault("eot", 10)
    same = attack if isinstance(method, Attack) and not method.minimal else ""
    naive = {
        "method": "transfer",
        "params": {"surrogate": model, "search": same},
        "norm": entry["norm"],
        "eps": budgets,
    }
    plan = [entry, naive] if budgets else [entry]
    guarded = f"{model}{'&' if '?' in model else '?'}defence={defence}"
    return run_plan(guarded, data, plan, check_options(**options), name=method.info.name)


def _with_budget(method: Any, mode: str | None, budget: str | None) -> Any:
    """The method with mode and budget put into its parameters."""
    changes: dict[str, Any] = {} if mode is None else {"mode": mode}
    if budget is not None:
        amount, seconds = budget.removesuffix("s"), budget.endswith("s")
        changes["seconds" if seconds else "passes"] = _budget(amount, budget, float if seconds else int)
    for name, value in changes.items():
        if name not in type(method).model_fields:
            raise ParameterError(
                f"{method.info.name} has no {name} ({value!r}): only auto has it (mode: auto and autoattack)"
            )
    return type(method)(**{**method.model_dump(exclude_defaults=True), **changes}) if changes else method


def _budget(text: str, whole: str, number: type[int] | type[float]) -> float:
    try:
        value = parse_whole(text) if number is int else parse_number(text)
    except ParameterError:
        value = -1
    if not 0 < value <= LARGEST_COUNT:
        raise ParameterError(f"budget {whole!r} must be passes per sample, such as 2000, or seconds, such as 60s")
    return value
