"""`unshaken serve`, and `listen`, which serves an application of parts until Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from unshaken.cli.options import AllowCode, Browser, Download, Host, Port, Readers
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten
from unshaken.core.options import BATCH, COUNT, LOG, SHARE, SQLITE, Argument, Option, OutputFolder, UpdatedFile

if TYPE_CHECKING:
    from unshaken.serve.app import Part
    from unshaken.serve.proxy import Proxy
    from unshaken.serve.review.store import ReviewStore

LOCAL = "local"
"""The only reader of a server that asks for no log-in."""


def split_names(readers: str | None) -> list[str]:
    """The names of an option such as `--readers ann,bob`.

    Raises:
        ParameterError: a name is empty or stands twice.
    """
    names = [] if readers is None else [part.strip() for part in readers.split(",")]
    if "" in names or len(set(names)) < len(names):
        twice = next((repr(name) for name in names if name and names.count(name) > 1), None)
        raise ParameterError(f"--readers {shorten(readers)}: {f'{twice} stands twice' if twice else 'a name is empty'}")
    return names


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


def check_together(option: str, value: object, advice: str, others: Mapping[str, object]) -> None:
    """Refuse options without the one that they go with.

    Args:
        option: its name.
        value: of it; None where it was not given.
        advice: what to do.
        others: name to value of those that need it; None where they were not given.

    Raises:
        ParameterError: one of them was given without it.
    """
    given = next((name for name, one in others.items() if one is not None), None)
    if value is None and given is not None:
        raise ParameterError(f"{given} goes with {option}: {advice}, or leave {given} away")


PANEL = "Score endpoint"
ScoredModel = Annotated[str | None, Option("Model to answer POST /v1/score with.", "SPEC", panel=PANEL)]
ScoreDetectors = Annotated[
    str | None,
    Option("Folder written by 'unshaken detect fit', on the model of --score.", "DETECTORS", panel=PANEL),
]
MinAccepted = Annotated[
    float | None,
    Option(
        "Minimum share of normal images that the detectors accept, all together. Default: 0.95.",
        "SHARE",
        SHARE,
        panel=PANEL,
    ),
]
CalibrationData = Annotated[
    str | None,
    Option("Labelled images, not seen in training, to calibrate the probabilities on.", "SPEC", panel=PANEL),
]
Coverage = Annotated[
    float | None,
    Option(
        "Minimum share of prediction sets that hold the true class; half of the images of --calibrate set the "
        "threshold. Default: no sets.",
        "SHARE",
        SHARE,
        panel=PANEL,
    ),
]
History = Annotated[
    str | None,
    OutputFolder(
        "Run directory to keep windows of predicted classes and rejected images in.",
        "DIR",
        panel=PANEL,
        records=("service.json", "run.lock"),
    ),
]
Window = Annotated[
    int | None, Option("Number of images in a window of --history. Default: 1000.", "N", COUNT, panel=PANEL)
]
ReferenceData = Annotated[
    str | None,
    Option(
        "Images of the source that the model is meant for; the page of --history tells where predicted classes or the "
        "confidence drift from them.",
        "SPEC",
        panel=PANEL,
    ),
]
MaxBatch = Annotated[
    int | None, Option("Maximum number of images in one pass. Default: by their size.", "N", BATCH, panel=PANEL)
]
Queue = Annotated[
    int | None,
    Option(
        "Maximum number of images that wait; further requests are answered with status 429. Default: 512.",
        "N",
        COUNT,
        panel=PANEL,
    ),
]
RateLimit = Annotated[
    int | None,
    Option("Maximum number of requests of one caller per minute. Default: any number.", "N", COUNT, panel=PANEL),
]
ScoreDevice = Annotated[
    str | None, Option("Device of the model: auto, cpu, cuda, mps, xpu. Default: auto.", "DEVICE", panel=PANEL)
]
RefusalLog = Annotated[
    str | None,
    UpdatedFile(
        "Append a line for each refused request to this file; - for standard error.",
        "FILE",
        panel=PANEL,
        kind="a log of requests",
        begins=LOG,
        stream=True,
    ),
]
Database = Annotated[
    str | None,
    UpdatedFile(
        "Database of the list of runs, the readers and their reviews: a path, sqlite:///PATH or "
        "postgresql+psycopg://...  Default: a file in the cache.",
        "URL",
        kind="a database of SQLite",
        begins=SQLITE,
    ),
]
AllowSpec = Annotated[
    list[str] | None,
    Option("Model or data SPEC that started runs may use, besides those of the listed runs. May be repeated.", "SPEC"),
]
UserHeader = Annotated[
    str | None,
    Option(
        "Header in which the proxy of --trusted-proxy names who has logged in there, such as X-Forwarded-User.",
        "NAME",
    ),
]
TrustedProxy = Annotated[
    list[str] | None,
    Option(
        "Address or network of a proxy whose X-Forwarded-For, X-Forwarded-Proto and --user-header are believed. "
        "May be repeated. Default: 127.0.0.1 for the first two.",
        "ADDRESS",
    ),
]
AuditLog = Annotated[
    str | None,
    UpdatedFile(
        "Append a line for each log-in, each form that was taken and each refused request to this file; - for "
        "standard error.",
        "FILE",
        kind="a log of requests",
        begins=LOG,
        stream=True,
    ),
]


@verb(name="serve", first="port host readers allow-spec score detectors")
def serve(
    directories: Annotated[
        list[str] | None, Argument("Folders that hold run directories, however deep. Default: runs.", "DIR")
    ] = None,
    db: Database = None,
    readers: Readers = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    read_only: Annotated[bool, Option("Hide and refuse everything that changes or starts something.")] = False,
    allow_spec: AllowSpec = None,
    user_header: UserHeader = None,
    trusted_proxy: TrustedProxy = None,
    audit_log: AuditLog = None,
    browser: Browser = False,
    score: ScoredModel = None,
    detectors: ScoreDetectors = None,
    accept: MinAccepted = None,
    calibrate: CalibrationData = None,
    coverage: Coverage = None,
    history: History = None,
    window: Window = None,
    reference: ReferenceData = None,
    max_batch: MaxBatch = None,
    queue: Queue = None,
    rate_limit: RateLimit = None,
    device: ScoreDevice = None,
    refusal_log: RefusalLog = None,
    download: Download = False,
    allow_code: AllowCode = None,
) -> int:
    """Serve the runs in DIR to people, until Ctrl-C: list, compare, look at samples, start new runs.

    With --score, answer programs at POST /v1/score, too. Needs the extra serve.
    """
    of_detectors, of_history = {"--accept": accept}, {"--window": window, "--reference": reference}
    of_score: dict[str, object] = {
        "--detectors": detectors, "--calibrate": calibrate, "--history": history, "--max-batch": max_batch,
        "--queue": queue, "--rate-limit": rate_limit, "--device": device, **of_detectors, **of_history,
    }  # fmt: skip
    check_together("--score", score, "name the model", of_score)
    check_together("--detectors", detectors, "name their folder", of_detectors)
    check_together("--calibrate", calibrate, "name labelled images", {"--coverage": coverage})
    check_together("--history", history, "name its folder", of_history)
    names = split_names(readers)
    for directory in directories or ():
        if "://" not in directory and not os.path.isdir(os.path.expanduser(directory)):
            raise ParameterError(f"there is no folder {shorten(directory)}: give folders that hold run directories")

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

        limits = Limits(waiting=queue or 512, per_minute=rate_limit)
        more.append(
            open_score_part(
                score, detectors=detectors, accept=0.95 if accept is None else accept, calibrate_on=calibrate,
                coverage=coverage,
                history=history, window=window or 1000, reference=reference,
                max_batch=max_batch, limits=limits, device=device or "auto",
                download=download,
            )
        )  # fmt: skip

    with ExitStack() as stack:
        site = stack.enter_context(open_site(directories or ["runs"], db, allow=allow_spec or (), read_only=read_only))
        listen(
            [*site_parts(site), *more], site.store, readers=names, host=host, port=port,
            started=lambda address: f"runs in {', '.join(site.index.roots)}: {address}  (Ctrl-C ends)",
            browser=browser, read_only=read_only, proxy=proxy,
        )  # fmt: skip
    return 0
