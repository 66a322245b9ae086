"""`unshaken serve`: a place to look at every run."""

from __future__ import annotations

from contextlib import ExitStack

from unshaken.cli.listen import listen, split_names
from unshaken.cli.options import review as common
from unshaken.cli.options import serve as opt
from unshaken.cli.verb import verb


@verb
def serve(
    directories: opt.Directories = None,
    db: opt.Database = None,
    readers: common.Readers = None,
    host: common.Host = "127.0.0.1",
    port: common.Port = 8765,
    read_only: opt.ReadOnly = False,
    allow: opt.Allow = None,
    browser: common.Browser = False,
) -> int:
    """Serve the runs in DIR to people, until Ctrl-C: list, compare, look at samples, start new runs.

    Needs the extra serve.
    """
    from unshaken.serve.site.part import open_site, site_parts

    with ExitStack() as stack:
        site = stack.enter_context(open_site(directories or ["runs"], db, allow=allow or (), read_only=read_only))
        listen(
            site_parts(site),
            site.store,
            readers=split_names(readers),
            host=host,
            port=port,
            started=lambda address: f"runs in {', '.join(site.index.roots)}: {address}  (Ctrl-C ends)",
            browser=browser,
            read_only=read_only,
        )
    return 0
