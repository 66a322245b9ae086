"""Parameters of recipes and of the training loop, as text."""

from __future__ import annotations

from typing import Any

from unshaken.core.numbers import show_budget
from unshaken.report.blocks import Column, Span, Table


def option_table(caption: str, rows: tuple[tuple[str, str, str, str], ...]) -> Table:
    """Parameters as a table: option, value, default, what it is."""
    heads = tuple(Column(title, number=False) for title in ("option", "value", "default", "what it is"))
    lines = tuple((Span(name, "code"), value, Span(default, "soft"), about) for name, value, default, about in rows)
    return Table(caption, heads, lines, "narrow")


def options(cls: type[Any], values: dict[str, Any]) -> tuple[tuple[str, str, str, str], ...]:
    """Parameters with value, default and description."""
    found = []
    for name, value in values.items():
        field = cls.model_fields.get(name)
        default = "–"
        if field is not None and not field.is_required():
            default = option_text(field.get_default(call_default_factory=True), name)
        found.append((name, option_text(value, name), default, (field.description or "") if field else ""))
    return tuple(found)


def option_text(value: Any, name: str = "") -> str:
    """A value of an option for people; an `eps` as a fraction where it is one."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return show_budget(value) if name == "eps" else f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(option_text(v) for v in value) or "none"
    return str(value)
