"""Small runs made by hand, a site over them, and clients of its web application."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from tests.report.conftest import write_run
from tests.serve.conftest import Browser
from unshaken.report import write_report
from unshaken.serve.app import create_app
from unshaken.serve.site.listing import ListedRun, Order, RunFilters, list_runs
from unshaken.serve.site.part import open_site, site_parts
from unshaken.serve.site.state import Site
from unshaken.store.config import Entry, read_config
from unshaken.store.run_dir import RunDir

PLAN = [Entry(method="fog", severities=(3,)), Entry(method="pgd", eps=("8/255",))]
HOSTILE = "<script>alert('\"&</script>".replace("/", "")


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs on the same data, `a` and `deep/b`, with reports: to be copied, not written to."""
    folder = tmp_path_factory.mktemp("runs")
    for name, shift in (("a", 0.0), ("deep/b", 2.0)):
        run = write_run(folder / name, plan=PLAN, shift=shift, model_name=f"net {name}", model="demo", seed=1)
        write_report(run)
    return folder


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, two_runs: Path) -> Path:
    """A copy of the two runs, which a test may add jobs to."""
    return Path(shutil.copytree(two_runs, tmp_path_factory.mktemp("runs"), dirs_exist_ok=True))


@pytest.fixture
def open_at(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Opens sites over folders."""
    opened = []

    def make(*folders: Path | str, **options: Any) -> Site:
        opened.append(open_site([str(f) for f in folders], str(tmp_path / f"site-{len(opened)}.db"), **options))
        site = opened[-1].__enter__()
        site.index.refresh()
        site.store.ensure_reader("ann")
        return site

    yield make
    for one in opened:
        one.__exit__(None, None, None)


@pytest.fixture
def open_client(open_at: Callable[..., Site]) -> Iterator[Callable[..., Browser]]:
    """Makes a client of a site over folders, for the local reader ann; its `site` is the site."""
    clients = []

    def make(*folders: Path | str, **options: Any) -> Browser:
        reader = options.pop("reader", "ann")
        site = open_at(*folders, **options)
        read_only = bool(options.get("read_only"))
        app = create_app(site_parts(site), readers=site.store, local=reader, read_only=read_only)
        clients.append(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))
        browser = Browser(clients[-1])
        browser.site = site  # type: ignore[attr-defined]
        return browser

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def ann(open_client: Callable[..., Browser], folder: Path) -> Browser:
    """The local reader ann of a site over the two runs."""
    return open_client(folder)


def write_map(run: RunDir) -> None:
    """Put a map of all samples on a line into a run."""
    ids = list(read_config(run).ids)
    record = {"layer": "", "numbers": 5, "points": 5000, "shares": [0.5, 0.2], "projections": ["pca"]}
    run.write_json(record, "map.json")
    places = [float(i) for i in range(len(ids))]
    columns = {"id": ids, "projection": ["pca"] * len(ids), "x": places, "y": places}
    run.write_rows(pa.table(columns), "map", "pca", 0)


def runs_of(site: Site) -> dict[str, ListedRun]:
    """The runs of a site by name."""
    return {run.name: run for run in list_runs(site.index, RunFilters(), order=Order.NAME).runs}
