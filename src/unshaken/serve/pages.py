"""`Pages`: answers in HTML from the templates of this folder and the blocks of the report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from unshaken.core.texts import printable
from unshaken.report.blocks import Block, walk
from unshaken.report.drawings import PointMap
from unshaken.report.render.html import download_script, is_drawn, map_script, render_blocks, stylesheet, text
from unshaken.serve.access import Session

KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def answer(template: str, *, status: int = 200, session: Session | None = None, **values: Any) -> HTMLResponse:
    """Render a page from a template.

    Args:
        template: its name, without ending.
        status: of the HTTP answer.
        session: the reader's; None where nobody is logged in.
        values: `title`, and what the template shows.
    """
    found = {"session": session, "nav": (), "message": "", "trouble": "", **values}
    return HTMLResponse(_environment().get_template(f"{template}.html.jinja").render(found), status)


def answer_blocks(title: str, blocks: Sequence[Block], *, session: Session | None, **values: Any) -> HTMLResponse:
    """Render a page of the report's blocks.

    Args:
        title: of the page.
        blocks: in order.
        session: the reader's.
        values: others of the layout, such as `nav`; `samples`, the address of a run's samples, to which its map leads,
            and `save`, where it keeps a choice; empty where nothing may be changed.
    """
    mapped = any(isinstance(block, PointMap) for block in walk(blocks))
    values |= {"body": render_blocks(blocks), "mapped": mapped, "drawn": is_drawn(blocks)}
    return answer("blocks", title=title, session=session, **values)


@cache
def static_files() -> dict[str, Response]:
    """The files that pages refer to, by name: nothing else is served from the disk."""
    found = {name: _file(name) for name in ("keys.js", "follow.js", "check.js", "zoom.js", "beside.js")}
    found |= {"style.css": stylesheet() + _file("app.css"), "map.js": map_script(), "download.js": download_script()}
    headers = {"cache-control": "private, max-age=31536000, immutable"}
    return {k: Response(v, media_type=KINDS[k.partition(".")[2]], headers=headers) for k, v in found.items()}


def static_address(name: str) -> str:
    """The address of a static file, which changes when its content does."""
    return f"/static/{hashlib.blake2b(bytes(static_files()[name].body), digest_size=6).hexdigest()}/{name}"


def _file(name: str) -> str:
    return (files("unshaken.serve") / "static" / name).read_text("utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unshaken.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"text": text, "printable": printable}
    environment.globals["static"] = static_address
    return environment
