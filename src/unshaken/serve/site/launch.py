"""`Launch`: from the fields of a form to the arguments of a command, with nothing in it that was not allowed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from unshaken.attack.engine.ball import ALL_NORMS as ALL_NORMS
from unshaken.core.consent import refuse_code
from unshaken.core.errors import ModelError, ParameterError, did_you_mean
from unshaken.core.numbers import LARGEST_SEED, parse_number, parse_whole, shorten
from unshaken.core.registry import Method, find_method, list_methods, method_text, parse_method
from unshaken.core.values import split_items, text_of
from unshaken.harden.engine.recipe import Recipe
from unshaken.models.networks.architectures import SMALL
from unshaken.run.plan import PLANS
from unshaken.serve.site.cost import describe_work

MOST_EPOCHS = 10_000
"""Epochs of a training that is started here."""
EPOCHS = 10
"""Epochs of a training that does not say."""
MOST_SAMPLES = 1_000_000
"""Samples that a run started here may have."""


class Verb(StrEnum):
    """Commands that can be started."""

    AUDIT = "audit"
    ATTACK = "attack"
    CERTIFY = "certify"
    HARDEN = "harden"


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter of a method, as a form offers it.

    Args:
        name: of the parameter.
        about: what it is.
        default: as text; empty where it has none.
        values: those that are allowed; empty for numbers.
        whole: it is a whole number.
        several: it is any number of them, as text `a+b`.
    """

    name: str
    about: str
    default: str
    values: tuple[str, ...] = ()
    whole: bool = False
    several: bool = False


@dataclass(frozen=True, slots=True)
class Specs:
    """SPECs that started runs may use.

    Args:
        models: SPECs.
        data: SPECs.
        tasks: those of listed runs that a SPEC was used for; of a SPEC that is not there nothing is known.
        refused: SPECs of code of listed runs, which was not allowed.
        pairs: models and data that were run together, with the digest of the model's classes; empty where it has none.
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    tasks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str, str], ...] = ()

    def fitting_data(self, model: str) -> tuple[str, ...]:
        """The data that a model, or another one of the same classes, was run on."""
        classes = {found for name, _, found in self.pairs if name == model and found}
        fits = {data for name, data, found in self.pairs if name == model or found in classes}
        return tuple(data for data in self.data if data in fits)

    def check_pair(self, model: str, data: str) -> None:
        """Refuse a model and data that are known to be of different tasks.

        Raises:
            ParameterError: they are.
        """
        first, second = self.tasks.get(model, frozenset()), self.tasks.get(data, frozenset())
        if first and second and not first & second:
            raise ParameterError(
                f"model {shorten(model)} is for {' and '.join(sorted(first))}, and data {shorten(data)} for "
                f"{' and '.join(sorted(second))}: choose two that fit together"
            )


def allowed_specs(
    listed: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]], allow: Sequence[str] = (),
    pairs: Sequence[tuple[str, str, str]] = (),
) -> Specs:  # fmt: skip
    """The SPECs of listed runs and those that the operator allowed; code only where it was allowed.

    Args:
        listed: SPECs of models, and of data, each with a task.
        allow: SPECs of either kind.
        pairs: of listed runs; see `Specs`.
    """
    tasks: dict[str, set[str]] = {spec: {"classification"} for spec in ("demo", *SMALL)}
    for spec, task in (one for specs in listed for one in specs):
        tasks.setdefault(spec, set()).add(task)
    kept = [{spec for spec, _ in specs if not _names_code(spec)} for specs in listed]
    models, data = (tuple(sorted(specs | {*allow, "demo"})) for specs in kept)
    code = sorted({spec for specs in listed for spec, _ in specs if _names_code(spec)} - {*allow})
    return Specs(models, data, {spec: frozenset(found) for spec, found in tasks.items()}, tuple(code), tuple(pairs))


def allow_command(spec: str, roots: Sequence[str], allow: Sequence[str]) -> str:
    """The command that starts a server which allows a SPEC, for a shell.

    Args:
        spec: to allow.
        roots: folders of runs.
        allow: SPECs that are allowed already.

    >>> allow_command("py:net.py:make", ["runs"], ["timm:resnet18"])
    'unshaken serve runs --allow-spec timm:resnet18 --allow-spec py:net.py:make'
    """
    return shlex.join(["unshaken", "serve", *roots, *(w for one in (*allow, spec) for w in ("--allow-spec", one))])


def methods_of(verb: Verb) -> list[Method]:
    """The methods that a command can be started with; none for an audit, which has plans."""
    return [] if verb is Verb.AUDIT else [method for method in list_methods(verb.value) if _can_be_started(method)]


def models_of(verb: Verb, specs: Specs) -> tuple[str, ...]:
    """The models that a command can be started with; a training can begin with a small network of fresh weights."""
    return (*SMALL, *specs.models) if verb is Verb.HARDEN else specs.models


def _can_be_started(method: Method) -> bool:
    """Whether a form can give all that a method needs, and the command takes it: `harden` takes no defence."""
    if method.room == Verb.HARDEN and not issubclass(method.cls, Recipe):
        return False
    offered = {choice.name for choice in choices_of(method)}
    return all("default" in schema or name in offered for name, schema in method.parameters().items())


def choices_of(method: Method) -> list[Choice]:
    """The parameters of a method that a form offers: numbers, switches, and words of a list.

    A parameter that is free text is not offered, for it may name a file or a model.
    """
    found = []
    for name, schema in method.parameters().items():
        kinds = [schema, *schema.get("anyOf", ())]
        several = any(kind.get("type") == "array" for kind in kinds)
        kinds += [item for kind in kinds for item in (kind.get("items", {}), *kind.get("prefixItems", ()))]
        words = next((kind["enum"] for kind in kinds if "enum" in kind), ())
        types = {kind.get("type") for kind in kinds}
        values = tuple(str(word) for word in words) or (("true", "false") if "boolean" in types else ())
        if values or types & {"integer", "number"}:
            default, about = schema.get("default"), str(schema.get("description", ""))
            shown = "" if default is None else str(default).lower() if isinstance(default, bool) else text_of(default)
            found.append(Choice(name, about, shown, values, "number" not in types, several))
    return found


def arguments_of(fields: Mapping[str, str], specs: Specs) -> tuple[str, list[str]]:
    """The title and the arguments of a run.

    Args:
        fields: of a form; a parameter of a method is called `p-NAME`.
        specs: what it may use.

    Raises:
        ParameterError: a field has a value that is not allowed.
    """
    verb = Verb(_one_of("verb", fields.get("verb", ""), list(Verb)))
    model = _one_of("model", fields.get("model", ""), models_of(verb, specs))
    data = _one_of("data", fields.get("data", ""), specs.data)
    specs.check_pair(model, data)
    limit = str(parse_whole(fields.get("limit", "200"), least=1, most=MOST_SAMPLES))
    seed = str(parse_whole(fields.get("seed", "0"), least=0, most=LARGEST_SEED))
    found = [f"--model={model}", f"--data={data}", f"--limit={limit}", f"--seed={seed}"]
    if verb == Verb.AUDIT:
        what = _one_of("plan", fields.get("plan", ""), list(PLANS))
        found.append(f"--plan={what}")
    else:
        what, text = _method(verb, fields)
        found.append(f"--method={text}")
        epochs = fields.get("epochs", "").strip()
        if verb is not Verb.HARDEN:
            found += _sizes(verb, fields)
        elif epochs:
            found.append(f"--epochs={parse_whole(epochs, least=1, most=MOST_EPOCHS)}")
    return f"{verb} {what}: {model} on {data}", [verb.value, *found]


def work_of(arguments: Sequence[str]) -> tuple[str, str, float]:
    """What a run does, its model, and how much of it: images, or images times epochs; see `unshaken.serve.site.cost`.

    Args:
        arguments: as `arguments_of` made them.
    """
    given = dict(one.removeprefix("--").split("=", 1) for one in arguments[1:])
    verb, limit = arguments[0], float(given["limit"])
    if verb == Verb.AUDIT:
        return f"audit {describe_work(given['plan'])}", given["model"], limit
    method = parse_method(given["method"], verb)
    if verb == Verb.HARDEN:
        return f"harden {describe_work(method_text(method))}", given["model"], limit * int(given.get("epochs", EPOCHS))
    return f"{verb} {describe_work(method.info.name, method.model_dump(mode='json'))}", given["model"], limit


def check_allowed(arguments: Sequence[str], specs: Specs) -> None:
    """Refuse the arguments of an earlier run whose model or data may not be used any more.

    Args:
        arguments: as `arguments_of` made them.
        specs: what it may use now.

    Raises:
        ParameterError: one of them may not.
    """
    known = {"model": models_of(Verb(arguments[0]), specs), "data": specs.data}
    for name, _, value in (one.removeprefix("--").partition("=") for one in arguments[1:]):
        if name in known:
            _one_of(name, value, known[name])


def _method(verb: Verb, fields: Mapping[str, str]) -> tuple[str, str]:
    """The name of a method, and its text with the parameters that are not left at their defaults.

    Raises:
        ParameterError: a parameter has a value that is not allowed.
    """
    name = fields.get("method", "")
    method = find_method(name, verb.value)
    if not _can_be_started(method):
        raise ParameterError(f"{shorten(name)} cannot be started here: use 'unshaken {verb}'")
    given = []
    for choice in choices_of(method):
        value = fields.get(f"p-{choice.name}", "").strip()
        if not value or value == choice.default:
            continue
        for item in split_items(value) if choice.several else [value]:
            if choice.values:
                _one_of(choice.name, item, choice.values)
            else:
                parse_number(item, choice.name)
        given.append(f"{choice.name}={value}")
    text = f"{name}:{','.join(given)}" if given else name
    parse_method(text, verb.value)
    return name, text


def _sizes(verb: Verb, fields: Mapping[str, str]) -> list[str]:
    """The norm and the sizes of changes, each at its default where it is left blank.

    Raises:
        ParameterError: one of them is no norm or no size.
    """
    found = []
    norm, eps, radius = (fields.get(key, "").strip() for key in ("norm", "eps", "radius"))
    if verb == Verb.ATTACK and norm:
        found.append(f"--norm={_one_of('norm', norm, ALL_NORMS)}")
    for option, text in (("eps", eps),) if verb == Verb.ATTACK else (("radius", radius),):
        if text:
            if not 0 < parse_number(text, option) < 1e6:
                raise ParameterError(f"{option}={shorten(text)} must be above 0")
            found.append(f"--{option}={text}")
    return found


def _one_of(what: str, value: str, known: Sequence[Any]) -> str:
    if value not in known:
        raise ParameterError(
            f"{what} {shorten(value)} is not allowed here; {did_you_mean(value[:100], map(str, known))}"
        )
    return str(value)


def _names_code(spec: str) -> bool:
    try:
        refuse_code(spec, "a listed run")
    except ModelError:
        return True
    return False
