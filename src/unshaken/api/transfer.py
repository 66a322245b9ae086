"""`transfer`: adversarial examples made on each of several models, tried on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from unshaken.api.job import as_list
from unshaken.api.matrix import MatrixResult, matrix, name_all
from unshaken.attack.engine.base import Attack
from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.keywords import keywords
from unshaken.core.numbers import shorten
from unshaken.core.options import Options
from unshaken.core.package import public
from unshaken.core.registry import Parameters, method_text, parse_method
from unshaken.data import DataSource

PLAN = "transfer"
"""The folder of a model's run, in that of the model and the data."""


@public("transfer")
@of_arguments
@keywords(Options)
def transfer(
    models: Mapping[str, str] | Sequence[str],
    data: DataSource = "demo",
    method: str | Parameters = "mi-fgsm",
    *,
    norm: str | None = None,
    eps: float | str | Sequence[float | str] = "8/255",
    sources: Sequence[str] | None = None,
    **options: Unpack[Options],
) -> MatrixResult:
    """Make adversarial examples on each model and try them on all: the share that is misled, source by target.

    The table is a `matrix` of the models under one plan: the examples of each source (`transfer:surrogate=SOURCE`, all
    steps made), and noise of the same norm (`random-noise`). Of a source and a target the images count that both have
    right when unchanged; on the diagonal the attack knows the model (white box).

    Args:
        models: name to SPEC, or SPECs, which are named after themselves; two at least.
        data: a SPEC, or any data of `audit`.
        method: a single attack within a norm, as `mi-fgsm:diversity=0.7` or as an object.
        norm: of the budget; default the first of the attack.
        eps: budgets, in [0, 1] pixel units under the norm, numbers or fractions such as `8/255`.
        sources: names of the models that examples are made on, which need gradients; default all.
        options: see `Options`, as of `matrix`. A gate names the target in front: `robust: transfer+2.accuracy >= 0.5`
            is about the examples of the second source, `random-noise.accuracy` about noise.

    Returns:
        The finished matrix; `summary["transfer"]` has the tables.

    Raises:
        ParameterError: fewer than two models, a model that is no SPEC, or a wrong method, norm, budget or source.
    """
    named = name_all(models, "model")
    if len(named) < 2:
        raise ParameterError(f"a transfer needs two models at least, not {len(named)}: give another SPEC")
    for name, spec in named.items():
        if not isinstance(spec, str):
            raise ParameterError(f"model {name!r}: examples are made on it by its SPEC; it is {shorten(spec)}")
    chosen = list(named) if sources is None else list(sources)
    for name in chosen:
        if name not in named:
            raise ParameterError(f"source {name!r} is no model of this table; {did_you_mean(name, named)}")
    if not chosen:
        raise ParameterError("no source is given: name one of the models")
    attack = parse_method(method, "attack") if isinstance(method, str) else method
    if not isinstance(attack, Attack) or attack.minimal or not attack.norms:
        raise ParameterError(f"method {shorten(method)} is not a single attack within a norm: use one such as mi-fgsm")
    budget: dict[str, Any] = {"norm": norm or attack.norms[0], "eps": as_list(eps)}
    search = method_text(attack)
    lines = [{"method": "random-noise", **budget}]
    lines += [
        {"method": "transfer", "params": {"surrogate": named[name], "search": search}, **budget} for name in chosen
    ]
    dataset: Any = [data] if isinstance(data, str) else {"data": data}
    return matrix(named, dataset, {PLAN: lines}, **options)
