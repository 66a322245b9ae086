"""`unshaken list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from unshaken.cli.complete import complete_room
from unshaken.cli.options import Json
from unshaken.cli.schema import bounds_of, default_of, type_of
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line
from unshaken.cli.verb import verb
from unshaken.core.options import Argument

if TYPE_CHECKING:
    from unshaken.core.registry import Method


@verb
def list_(
    session: Session,
    room: Annotated[
        str | None,
        Argument(
            "Kind of methods to list: stress, attack, certify, detect, harden, ...", "ROOM", complete=complete_room
        ),
    ] = None,
    json: Json = False,
) -> int:
    """List all methods with their parameters, requirements and references; with --quiet, only names."""
    from unshaken.core.registry import list_methods

    methods = list_methods(room)
    if json:
        print_json([_record(m) for m in methods])
    elif session.quiet:
        for method in methods:
            print_line(method.name)
    else:
        _show(methods)
    return 0


def _record(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "room": method.room,
        "summary": method.summary,
        "parameters": method.parameters(),
        "needs": sorted(method.needs),
        "norms": list(method.norms),
        "tags": method.tags,
        "reference": method.reference,
    }


def _show(methods: list[Method]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    out, room = console(), ""
    for method in methods:
        if method.room != room:
            room = method.room
            out.print(Text(room, style="bold underline"))
        out.print(Text.assemble((method.name, "bold"), "  ", method.summary))
        facts = [f"{k}: {', '.join(v)}" for k, v in (("needs", sorted(method.needs)), ("norms", method.norms)) if v]
        facts += [f"{k}: {v}" for k, v in sorted(method.tags.items())]
        for name, schema in method.parameters().items():
            out.print(Padding(Text(_parameter(name, schema)), (0, 0, 0, 4), expand=False))
        out.print(Padding(Text("; ".join([*facts, method.reference]), style="dim"), (0, 0, 0, 4), expand=False))


def _parameter(name: str, schema: dict[str, Any]) -> str:
    default = f" = {default_of(schema['default'])}" if "default" in schema else " (required)"
    bounds = bounds_of(schema)
    described = schema.get("description", "")
    return f"{name}: {type_of(schema)}{f' {bounds}' if bounds else ''}{default}{f'  {described}' if described else ''}"
