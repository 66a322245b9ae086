"""Seconds of a page and of a verdict in a review of a million labels, on SQLite and PostgreSQL.

    python benchmarks/review.py --items 1000000 --rounds 200

A review of so many items with a hundred classes is made, a part of it is answered by two readers, and then pages of
every kind of filter (fifty items, at random places), items, and verdicts are timed one after the other: median, 95th
percentile and largest, in milliseconds. PostgreSQL is started from Debian's package in a temporary folder with its own
defaults, every commit waiting for the disk as SQLite's do; where it is not installed it stands in the table as absent.
`--url` measures a database that is there instead.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from unshaken.labels.review.verdict import Verdict
from unshaken.serve.review.records import Filters, NewItem
from unshaken.serve.review.store import ReviewStore

CLASSES, PAGE = 100, 50
LIMITS = {"SQLite": 100, "PostgreSQL": 150}
"""Milliseconds that the 95th percentile should stay below."""


def items(n: int) -> Iterator[NewItem]:
    """Samples with random labels, suggestions and scores."""
    draw = np.random.default_rng(0)
    given, suggested, score = draw.integers(0, CLASSES, n), draw.integers(0, CLASSES, n), draw.random(n)
    for i in range(n):
        yield NewItem(
            sample=f"class{given[i]:03}/{i:08}.jpg", given=int(given[i]), suggested=int(suggested[i]),
            score=float(score[i]), near_given=(f"{i}a", f"{i}b"), near_suggested=(f"{i}c",),
        )  # fmt: skip


def acts(store: ReviewStore, n: int, draw: random.Random) -> dict[str, Callable[[int], object]]:
    """What is timed, by name; each takes the number of the round."""
    verdicts = [Verdict(kind="confirm"), Verdict(kind="suggest", classes=(1,)), Verdict(kind="unclear")]

    def page(**filters: object) -> object:
        by_score = "score_from" in filters
        after = f"{draw.uniform(0.5, 0.8)!r}@0" if by_score else str(draw.randint(0, n))
        return store.page("r", reader="ann", filters=Filters(**filters), after=after, limit=PAGE)

    def verdict(number: int) -> object:
        reader, item = draw.choice(["ann", "bob"]), draw.randint(1, n)
        return store.record("r", item, reader, draw.choice(verdicts), token=f"b{number}")

    def label() -> int:
        return draw.randrange(CLASSES)

    return {
        "page": lambda _: page(),
        "page of a state": lambda _: page(state=draw.choice(["open", "waiting", "agreed", "disputed"])),
        "page of a given class": lambda _: page(given=label()),
        "page of a suggested class": lambda _: page(suggested=label()),
        "page of a pair of classes": lambda _: page(given=label(), suggested=label()),
        "page of a class and a state": lambda _: page(given=label(), state="waiting"),
        "page of a range of scores": lambda _: page(score_from=0.5, score_to=0.9),
        "page of a class and a range of scores": lambda _: page(given=label(), score_from=0.5),
        "page of a reader": lambda _: page(reader="bob"),
        "an item": lambda _: store.item("r", draw.randint(1, n), "ann"),
        "the next item": lambda _: store.next_item("r", "ann"),
        "the settle queue": lambda _: store.disagreements("r", draw.randint(0, n // 100), PAGE),
        "progress": lambda _: store.progress("r"),
        "a verdict": verdict,
        "undo": lambda number: store.undo("r", "ann"),
    }


def measure(url: str, n: int, rounds: int, name: str) -> None:
    """Print the table of one database."""
    with ReviewStore.open(url) as store:
        began = time.perf_counter()
        store.create("r", classes=[f"class {c}" for c in range(CLASSES)], items=items(n), blind=False)
        made, draw = time.perf_counter() - began, random.Random(0)
        for reader in ("ann", "bob"):
            store.ensure_reader(reader)
        answered = min(n // 20, 5_000)
        choices = [Verdict(kind="confirm"), Verdict(kind="suggest", classes=(1,))]
        samples = [one.sample for one in islice(items(n), answered)]
        rows = [(s, r, draw.choice(choices), f"{r}{i}") for i, s in enumerate(samples) for r in ("ann", "bob")]
        store.record_all("r", rows)
        print(f"\n## {name}: {n:,} items made in {made:.0f} s, {answered:,} answered by two readers\n")
        print(f"| act | median ms | p95 ms | largest ms | p95 below {LIMITS[name]} |\n|---|---|---|---|---|")
        for act, call in acts(store, n, draw).items():
            call(-1)
            times = []
            for number in range(rounds):
                start = time.perf_counter()
                call(number)
                times.append(1000 * (time.perf_counter() - start))
            half, high = np.percentile(times, [50, 95])
            good = "yes" if high < LIMITS[name] else "NO"
            print(f"| {act} | {half:.1f} | {high:.1f} | {max(times):.1f} | {good} |", flush=True)


@contextmanager
def postgres() -> Iterator[str | None]:
    """The address of a fresh server, or None where it is not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not places:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    if other:
        shutil.chown(folder, "nobody")

    def call(*command: str) -> None:
        words = [str(places[-1] / command[0]), *command[1:]]
        subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, **other)

    data = str(folder / "data")
    call("initdb", "-A", "trust", "-U", "unshaken", "-E", "UTF8", "-D", data)
    call("pg_ctl", "-D", data, "-o", f"-k {folder} -h ''", "-l", f"{folder}/log", "-w", "start")
    try:
        yield f"postgresql+psycopg://unshaken@/postgres?host={folder}"
    finally:
        call("pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200, help="Times that each act is timed.")
    parser.add_argument("--url", help="A database that is there, instead of both.")
    given = parser.parse_args()
    machine = (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    print(machine, *(f"{p} {importlib.metadata.version(p)}" for p in ("sqlalchemy", "psycopg")), sep=", ")
    if given.url:
        measure(given.url, given.items, given.rounds, "PostgreSQL" if "postgresql" in given.url else "SQLite")
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(f"{folder}/r.db", given.items, given.rounds, "SQLite")
    with postgres() as url:
        if url is None:
            print("\n## PostgreSQL: absent (apt-get install postgresql)")
        else:
            measure(url, given.items, given.rounds, "PostgreSQL")


if __name__ == "__main__":
    main()
