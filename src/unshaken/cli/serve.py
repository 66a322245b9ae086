"""`unshaken serve`, and `listen`, which serves an application of parts until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from unshaken.cli.options import AllowCode, Browser, Download, Host, Port, Readers
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError
from unshaken.core.options import BATCH, COUNT, SHARE, Argument, Option

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


PANEL = "Score endpoint"


@verb
def serve(
    directories: Annotated[
        list[str] | None, Argument("Folders that hold run directories, however deep. Default: runs.", "DIR")
    ] = None,
    db: Annotated[
        str | None,
        Option(
            "Database of the list of runs, the readers and their reviews: a path, sqlite:///PATH or "
            "postgresql+psycopg://...  Default: a file in the cache.",
            "URL",
        ),
    ] = None,
    readers: Readers = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    read_only: Annotated[bool, Option("Hide and refuse everything that changes or starts something.")] = False,
    allow: Annotated[
        list[str] | None,
        Option(
            "Model or data SPEC that started runs may use, besides those of the listed runs. May be repeated.", "SPEC"
        ),
    ] = None,
    user_header: Annotated[
        str | None,
        Option(
            "Header in which the proxy of --trusted-proxy names who has logged in there, such as X-Forwarded-User.",
            "NAME",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        Option(
            "Address or network of a proxy whose X-Forwarded-For, X-Forwarded-Proto and --user-header are believed. "
            "May be repeated. Default: 127.0.0.1 for the first two.",
            "ADDRESS",
        ),
    ] = None,
    audit_log: Annotated[
        str | None,
        Option(
            "Append a line for each log-in, each form that was taken and each refused request to this file; - for "
            "standard error.",
            "FILE",
        ),
    ] = None,
    browser: Browser = False,
    score: Annotated[str | None, Option("Model to answer POST /v1/score with.", "SPEC", panel=PANEL)] = None,
    detectors: Annotated[
        str | None,
        Option("Folder written by 'unshaken detect fit', on the model of --score.", "DETECTORS", panel=PANEL),
    ] = None,
    accept: Annotated[
        float,
        Option("Minimum share of normal images that the detectors accept, all together.", "SHARE", SHARE, panel=PANEL),
    ] = 0.95,
    calibrate: Annotated[
        str | None,
        Option("Labelled images, not seen in training, to calibrate the probabilities on.", "SPEC", panel=PANEL),
    ] = None,
    history: Annotated[
        str | None,
        Option("Run directory to keep windows of predicted classes and rejected images in.", "DIR", panel=PANEL),
    ] = None,
    window: Annotated[int, Option("Number of images in a window of --history.", "N", COUNT, panel=PANEL)] = 1000,
    max_batch: Annotated[
        int | None, Option("Maximum number of images in one pass. Default: by their size.", "N", BATCH, panel=PANEL)
    ] = None,
    queue: Annotated[
        int,
        Option(
            "Maximum number of images that wait; further requests are answered with status 429.",
            "N",
            COUNT,
            panel=PANEL,
        ),
    ] = 512,
    rate_limit: Annotated[
        int | None,
        Option("Maximum number of requests of one caller per minute. Default: any number.", "N", COUNT, panel=PANEL),
    ] = None,
    device: Annotated[str, Option("Device of the model: auto, cpu, cuda, mps, xpu.", "DEVICE", panel=PANEL)] = "auto",
    refusal_log: Annotated[
        str | None,
        Option("Append a line for each refused request to this file; - for standard error.", "FILE", panel=PANEL),
    ] = None,
    download: Download = False,
    allow_code: AllowCode = None,
) -> int:
    """Serve the runs in DIR to people, until Ctrl-C: list, compare, look at samples, start new runs.

    With --score, answer programs at POST /v1/score, too. Needs the extra serve.
    """
    from unshaken.serve.proxy import Proxy
    from unshaken.serve.request_log import acts, log_to, refusals
    from unshaken.serve.site.part import open_site, site_parts

    proxy = Proxy.parse(trusted_proxy or (), user_header)
    if refusal_log is not None:
        log_to(refusal_log)
    if audit_log is not None:
        log_to(audit_log, acts, refusals)
    more = []
    if score is not None:
        from unshaken.serve.score.options import Limits
        from unshaken.serve.score.part import open_score_part

        limits = Limits(waiting=queue, per_minute=rate_limit)
        more.append(
            open_score_part(
                score, detectors=detectors, accept=accept, calibrate_on=calibrate, history=history, window=window,
                max_batch=max_batch, limits=limits, device=device, download=download,
            )
        )  # fmt: skip
    elif detectors or calibrate or history:
        raise ParameterError("--detectors, --calibrate and --history go with --score: name the model")

    with ExitStack() as stack:
        site = stack.enter_context(open_site(directories or ["runs"], db, allow=allow or (), read_only=read_only))
        listen(
            [*site_parts(site), *more],
            site.store,
            readers=split_names(readers),
            host=host,
            port=port,
            started=lambda address: f"runs in {', '.join(site.index.roots)}: {address}  (Ctrl-C ends)",
            browser=browser,
            read_only=read_only,
            proxy=proxy,
        )
    return 0
