"""`unshaken list`: rooms and methods, and the schemas of parameters in words."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated, Any

from unshaken.cli.complete import complete_room
from unshaken.cli.options import Json
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line, table
from unshaken.cli.verb import verb
from unshaken.core.options import Argument

FOOL = "fool"
"""Methods of the room `attack` that `unshaken fool` runs; `unshaken attack` has no use for them."""
EVALUATIONS = "evaluations"
"""What lists call the methods of the room `tasks`, which `unshaken evaluate` runs."""
USES = {
    "stress": ("audit, corrupt", "Corruptions and other changes of images, at five severities."),
    "attack": ("attack, audit", "Attacks that search for a small change of an image that misleads the model."),
    FOOL: ("fool", "Meaningless images that a model classifies with high confidence."),
    "certify": ("certify", "Proofs that no change within a radius alters the decision."),
    "detect": ("detect fit", "Scores of inputs: abnormal, attacked, generated or unsafe."),
    "harden": (
        "harden, labels train",
        "Recipes that train a more robust model, defences, and training on noisy labels.",
    ),
    "inspect": ("inspect", "Checks of a data set: copies, damaged and odd images, labels that are given away."),
    "labels": ("labels find", "Searches for wrong labels."),
    "explain": ("explain", "Maps of the pixels that count, metrics of such maps, and analyses of a network."),
    "generate": ("generate fit", "Small generative models."),
    EVALUATIONS: ("evaluate", "Other tasks: zero-shot, few-shot, features, ranking, images and texts, boxes."),
}
"""Kind of methods to the commands that run it, and what it is."""
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "minLength": "{} characters or more",
    "maxLength": "{} characters or fewer",
    "minItems": "{} items or more",
    "maxItems": "{} items or fewer",
}


def type_of(schema: dict[str, Any]) -> str:
    """Name the type of a parameter's schema.

    >>> type_of({"anyOf": [{"type": "integer"}, {"type": "null"}]})
    'integer or none'
    >>> type_of({"type": "array", "items": {"type": "number"}})
    'number+...'
    """
    if "enum" in schema:
        return " or ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(part) for part in schema["anyOf"]))
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if schema.get("type") == "array":
        inner: dict[str, Any] = schema.get("items") or next(iter(schema.get("prefixItems", [])), {})
        one = type_of(inner) if inner else "any"
        one = f"({one})" if " or " in one else one
        return "+".join([one] * len(schema["prefixItems"])) if "prefixItems" in schema else f"{one}+..."
    return {"null": "none"}.get(str(schema.get("type")), str(schema.get("type", "any")))


def bounds_of(schema: dict[str, Any]) -> str:
    """Allowed values as text; empty where any is allowed.

    >>> bounds_of({"type": "integer", "exclusiveMinimum": 0, "maximum": 9})
    '> 0, ≤ 9'
    """
    parts = [schema, *schema.get("anyOf", [])]
    return ", ".join(dict.fromkeys(text.format(p[k]) for p in parts for k, text in _BOUNDS.items() if k in p))


def default_of(value: Any) -> str:
    """Its default as JSON, a float in six digits, several values as the text that stands for them.

    >>> default_of(0.1), default_of(None), default_of("auto"), default_of([0.7, 1.0])
    ('0.1', 'null', '"auto"', '"0.7+1"')
    """
    from unshaken.core.values import text_of

    value = text_of(value) if isinstance(value, list) else value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


@verb(name="list")
def list_(
    session: Session,
    room: Annotated[
        str | None,
        Argument(
            "Kind of methods to list: stress, attack, fool, certify, detect, harden, evaluations, ...",
            "ROOM",
            complete=complete_room,
        ),
    ] = None,
    json: Json = False,
) -> int:
    """List the kinds of methods; for one of them its methods, parameters and references. --quiet: only names."""
    from unshaken.core.registry import list_records

    records = list_records({FOOL: "attack", EVALUATIONS: "tasks"}.get(room or "", room))
    if room in (FOOL, "attack"):
        records = [one for one in records if _kind(one) == room]
    if json:
        print_json(records)
    elif session.quiet:
        for one in records:
            print_line(one["name"])
    elif room is None:
        counts = Counter(map(_kind, records))
        console().print(
            table(("kind", "methods", "run by", ""), ((k, counts[k], *use) for k, use in USES.items()), right=[1])
        )
        print_line("unshaken list KIND has its methods and their parameters, unshaken list --quiet all names.")
    else:
        _show(records)
    return 0


def _kind(record: dict[str, Any]) -> str:
    if record["tags"].get("group") == "fooling":
        return FOOL
    return EVALUATIONS if record["room"] == "tasks" else str(record["room"])


def _show(records: list[dict[str, Any]]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    for one in records:
        out.print(Text.assemble((one["name"], "bold"), "  ", one["summary"]))
        facts = [f"{key}: {', '.join(one[key])}" for key in ("needs", "norms") if one[key]]
        facts += [f"for: {' and '.join(one['tasks'])}"] if one["tasks"] else []
        facts += [f"{k}: {v}" for k, v in sorted(one["tags"].items())]
        for name, schema in one["parameters"].items():
            out.print(Padding(Text(_parameter(name, schema)), (0, 0, 0, 4), expand=False))
        out.print(Padding(Text("; ".join([*facts, one["reference"]]), style="dim"), (0, 0, 0, 4), expand=False))


def _parameter(name: str, schema: dict[str, Any]) -> str:
    default = f" = {default_of(schema['default'])}" if "default" in schema else " (required)"
    bounds = bounds_of(schema)
    described = schema.get("description", "")
    return f"{name}: {type_of(schema)}{f' {bounds}' if bounds else ''}{default}{f'  {described}' if described else ''}"
