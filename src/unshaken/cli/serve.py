"""`unshaken serve`: a place to look at every run."""

from __future__ import annotations

from contextlib import ExitStack

from unshaken.cli.listen import listen, split_names
from unshaken.cli.options import review as common
from unshaken.cli.options import score as endpoint
from unshaken.cli.options import serve as opt
from unshaken.cli.options.shared import AllowCode, Download
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError


@verb
def serve(
    directories: opt.Directories = None,
    db: opt.Database = None,
    readers: common.Readers = None,
    host: common.Host = "127.0.0.1",
    port: common.Port = 8765,
    read_only: opt.ReadOnly = False,
    allow: opt.Allow = None,
    user_header: opt.UserHeader = None,
    trusted_proxy: opt.TrustedProxy = None,
    audit_log: opt.AuditLog = None,
    browser: common.Browser = False,
    score: endpoint.Score = None,
    detectors: endpoint.Detectors = None,
    accept: endpoint.Accept = 0.95,
    calibrate: endpoint.Calibrate = None,
    history: endpoint.History = None,
    window: endpoint.Window = 1000,
    max_batch: endpoint.MaxBatch = None,
    queue: endpoint.Queue = 512,
    rate_limit: endpoint.RateLimit = None,
    device: endpoint.Device = "auto",
    refusal_log: endpoint.RefusalLog = None,
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
