"""Pages as HTML: one file each, which asks no network for anything."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from unshaken.report.blocks import (
    Block,
    Cell,
    Flags,
    Group,
    Heading,
    Items,
    Page,
    Prose,
    Span,
    Text,
    is_bad,
    pieces,
    plain,
    split_parts,
    walk,
)
from unshaken.report.drawings import Plots, PointMap

_NUMBER = re.compile(r" (?=%)|(?<=ε) |(?<=severity) (?=\d)")
_TAGS = {
    "strong": Markup("<strong>{}</strong>"),
    "code": Markup("<code>{}</code>"),
    "soft": Markup('<span class="soft">{}</span>'),
    "good": Markup('<span class="mark good">{}</span>'),
    "bad": Markup('<span class="mark bad">{}</span>'),
}


def render_html(page: Page) -> str:
    """Render a page as one HTML file."""
    environment = _environment()
    script = environment.get_template("theme.js").render()
    if any(isinstance(b, PointMap) for b in walk(page.blocks)):
        script += map_script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    nav = [b for b in walk(page.blocks) if isinstance(b, Heading) and b.nav]
    first, parts = split_parts(page.blocks)
    shown = [heading for heading, _ in parts if heading.open]
    shown = shown or [heading for heading, blocks in parts if not warns(blocks)][:1]
    drawn = [(heading, heading in shown or warns(blocks), render_blocks(blocks)) for heading, blocks in parts]
    values = {
        "page": page, "nav": nav, "first": render_blocks(first), "parts": drawn, "script": Markup(script),
        "digest": digest,
    }  # fmt: skip
    return environment.get_template("page.html.jinja").render(**values)


def warns(blocks: Sequence[Block]) -> bool:
    """Whether blocks say what nobody should miss, so that their part of a page is open from the start."""
    return any(
        isinstance(b, Flags)
        or (isinstance(b, Prose) and b.tone == "bad")
        or (isinstance(b, Items) and any(map(is_bad, b.items)))
        for b in walk(blocks)
    )


def render_blocks(blocks: Sequence[Block]) -> Markup:
    """Blocks as a piece of HTML, for a page that has the style of `style.css.jinja`."""
    return Markup("").join(_draw(block) for block in blocks)


def stylesheet() -> str:
    """The style of a page, for pages that have it as a file of its own."""
    return _environment().get_template("style.css.jinja").render()


def map_script() -> str:
    """The script that draws a `PointMap`, for pages that have it as a file of its own."""
    return _environment().get_template("map.js").render()


def _draw(block: Block) -> Markup:
    name = "drawings" if type(block).__module__ == Plots.__module__ else "blocks"
    macro = getattr(_environment().get_template(f"{name}.html.jinja").module, type(block).__name__.lower())
    drawn: Markup = macro(block)
    return drawn


def text(value: Text) -> Markup:
    """Render a text with its marks.

    >>> text(("a < b: ", Span("x", "code")))
    Markup('a &lt; b: <code>x</code>')
    """
    return Markup("").join(
        _TAGS[p.mark].format(_unbroken(p.text)) if isinstance(p, Span) else escape(_unbroken(p)) for p in pieces(value)
    )


def _unbroken(value: str) -> str:
    """The same with no line break between a number and its per cent sign, its `ε` or its `severity`."""
    return _NUMBER.sub("\N{NO-BREAK SPACE}", value)


def cell(value: Cell | Text) -> Cell:
    """A cell of a table; one without text is a dash."""
    found = value if isinstance(value, Cell) else Cell(value)
    return found if found.text else Cell("–")


def inert(data: str) -> Markup:
    """A JSON text that may stand inside a script element: no part of it ends the element or begins a comment."""
    return Markup(data.replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unshaken.report.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"text": text, "plain": plain, "cell": cell, "draw": render_blocks, "inert": inert}
    environment.filters |= filters
    environment.tests["group"] = lambda row: isinstance(row, Group)
    return environment
