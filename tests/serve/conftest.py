"""A small review with pictures, clients of its web application, and databases of both kinds."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import torch
from starlette.testclient import TestClient

from tests.serve.review import postgres
from unshaken.data.arrays import InMemory
from unshaken.data.dataset import Dataset
from unshaken.serve.app import create_app
from unshaken.serve.review.part import review_part
from unshaken.serve.review.records import NewItem
from unshaken.serve.review.store import ReviewStore

HOSTILE = "<script>alert('\"&</script>"
CLASSES = ["cat", "dog", "crane", "ship", "crane", "catfish", HOSTILE, "a\x00b\u202ec".replace("\x00", "\t")]
N = 14


def picture_data() -> Dataset:
    """Samples with noise of one colour, whose ids are hostile; the last one cannot be read."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (N + 6, 3, 12, 12))).to(torch.uint8)
    ids = [f"dir/{HOSTILE}/{i}.png" if i % 3 else f"dir/{i}.png" for i in range(N + 6)]
    return InMemory(images, torch.zeros(N + 6).long(), ids=ids, bad={N - 1: "the image is truncated"})


def new_items(data: Dataset, n: int = N) -> list[NewItem]:
    """Items whose suggestion differs from the label, but for each fourth."""
    return [
        NewItem(
            sample=data.ids[i], given=i % 4, suggested=i % 4 if i % 4 == 3 else (i + 1) % 4, score=i / 20,
            near_given=data.ids[N : N + 3], near_suggested=data.ids[N + 3 : N + 6],
        )
        for i in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="session")
def data() -> Dataset:
    """The data set of the reviews."""
    return picture_data()


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> Path:
    """The file of a store with a blind review `night` and an open one `day`, and the readers ann and bob."""
    path = tmp_path_factory.mktemp("store") / "reviews.sqlite"
    with ReviewStore.open(path) as store:
        store.create("night", classes=CLASSES, items=new_items(data), blind=True)
        store.create("day", classes=CLASSES[:4], items=new_items(data, 3), blind=False, readers_per_item=1)
        store.ensure_reader("ann")
        store.ensure_reader("bob")
    return path


@pytest.fixture
def reviews(tmp_path: Path, new_store: Path) -> Iterator[ReviewStore]:
    """A copy of the new store."""
    shutil.copy(new_store, tmp_path / "reviews.sqlite")
    with ReviewStore.open(tmp_path / "reviews.sqlite") as store:
        yield store


class Browser:
    """A client that follows redirects, reads the forms of pages, and sends them.

    Args:
        client: of the application.
    """

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, status: int = 200, **more: Any) -> str:
        """The text of a page."""
        answer = self.client.get(path, **more)
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path: str, page: str, status: int = 200, **fields: Any) -> str:
        """Send a form with the hidden values of a page, and give the text of the page that it leads to."""
        hidden = {"form": form_token(page), "token": act_token(page)}
        answer = self.client.post(path, data={k: v for k, v in {**hidden, **fields}.items() if v is not None})
        assert answer.status_code == status, answer.text
        self.at = answer.url.path
        return answer.text


def form_token(page: str) -> str:
    """The token of the forms of a page."""
    return re.findall(r'name="form" value="(\w+)"', page)[0]


def act_token(page: str) -> str:
    """The token of the next act on a page."""
    return (re.findall(r'name="token" value="(\w+)"', page) or [""])[0]


@pytest.fixture
def open_client(reviews: ReviewStore, data: Dataset) -> Iterator[Callable[..., TestClient]]:
    """Makes a client of an application over the store."""
    clients = []

    def make(**options: Any) -> TestClient:
        local, hosts = options.pop("reader", "ann"), options.pop("hosts", None)
        app = create_app([review_part(reviews, lambda review: data)], readers=reviews, local=local, hosts=hosts)
        clients.append(TestClient(app, base_url="http://localhost"))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def ann(open_client: Callable[..., TestClient]) -> Browser:
    """The local reader ann."""
    return Browser(open_client())


@pytest.fixture
def bob(open_client: Callable[..., TestClient]) -> Browser:
    """The local reader bob, of the same store."""
    return Browser(open_client(reader="bob"))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    if postgres.programs() is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    with postgres.server() as address:
        yield address


@pytest.fixture
def database(server) -> Iterator[str]:
    """The address of an empty database in PostgreSQL."""
    admin = sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS review"))
        connection.execute(sa.text("CREATE DATABASE review"))
    admin.dispose()
    return server.format("review")


@pytest.fixture
def quick_folder(tmp_path) -> Iterator[Path]:
    """A folder in memory where there is one: SQLite waits for disks, and tests need not outlive a power cut."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("database")
    return f"sqlite:///{request.getfixturevalue('quick_folder')}/reviews.db"


@pytest.fixture
def open_tab(browser: Any, served: str) -> Iterator[Callable[..., Any]]:
    """Opens a page of the server `served`, which the tests define, at a size; notes what goes wrong."""
    contexts = []

    def open_it(path: str, *, width: int = 1280, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 844}, base_url=served, **more)
        contexts.append(context)
        tab, troubles = context.new_page(), list[str]()
        tab.set_default_timeout(10_000)
        tab.on("console", lambda m: troubles.append(m.text))
        tab.on("pageerror", lambda e: troubles.append(str(e)))
        tab.on("request", lambda r: troubles.append(r.url) if not r.url.startswith((served, "data:")) else None)
        tab.goto(path)
        return tab, troubles

    yield open_it
    for context in contexts:
        context.close()
