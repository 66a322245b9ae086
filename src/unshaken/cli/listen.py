"""`listen`: serves an application of parts until Ctrl-C, to one reader on this machine or to readers with tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from unshaken.cli.show import print_line
from unshaken.core.errors import ParameterError

if TYPE_CHECKING:
    from unshaken.serve.app import Part
    from unshaken.serve.proxy import Proxy
    from unshaken.serve.review.store import ReviewStore

LOCAL = "local"
"""The only reader of a server that asks for no log-in."""


def split_names(readers: str | None) -> list[str]:
    """The names of an option such as `--readers ann,bob`."""
    return [part.strip() for part in (readers or "").split(",") if part.strip()]


def listen(
    parts: Sequence[Part], store: ReviewStore, *, readers: Sequence[str], host: str, port: int,
    started: Callable[[str], str], browser: bool = False, read_only: bool = False,
    proxy: Proxy | None = None,
) -> None:  # fmt: skip
    """Serve parts until Ctrl-C.

    Args:
        parts: of the server.
        store: of the readers and their tokens.
        readers: names of those who log in; tokens of those who have none are printed once.
        host: address to listen at; beyond this machine there must be readers with tokens.
        port: to listen at; 0 for a free one.
        started: gives the line to print, from the server's address.
        browser: open the first page.
        read_only: refuse every act.
        proxy: in front of the server; where it names the readers, they need no tokens.

    Raises:
        ParameterError: others could reach the server without a token, or nothing can listen there.
    """
    from unshaken.serve.app import create_app
    from unshaken.serve.run import LOOPBACK, is_loopback, serve

    for one in readers:
        if (token := store.give_token(one)) is not None:
            print_line(f"token of {one}, shown only now: {token}")
    by_proxy = proxy is not None and bool(proxy.user_header)
    local = is_loopback(host) and not readers and not by_proxy
    if local:
        store.ensure_reader(LOCAL)
    elif not readers and not by_proxy and not [one for one in store.readers() if one != LOCAL]:
        raise ParameterError(f"host {host} can be reached by others, so readers need tokens: name them by --readers")
    app = create_app(
        parts,
        readers=store,
        local=LOCAL if local else None,
        hosts={*LOOPBACK, host} if local else None,
        read_only=read_only,
        proxy=proxy,
    )

    def ready(address: str) -> None:
        print_line(started(address))
        if browser:
            typer.launch(address)

    serve(app, host=host, port=port, ready=ready)
