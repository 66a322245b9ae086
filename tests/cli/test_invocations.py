"""Invocations drawn over every option of every verb: with one wrong value, the answer is one line and exit code 2."""

from __future__ import annotations

import os
import random
import resource
import signal
from typing import Any

import pytest

from tests.cli.test_outputs import commands

NUMBERS = ("x", "nan", "1e999", "0x10", "1_0", "9" * 40, "--", "٣x", "1,5")
TEXTS = ("", " ", "\x1b[2J", "x" * 30_000, "\ud800")
PLACES = {
    "SPEC": ("nosuch:x", "nosuch", "folder:absent", "folder:/dev/zero", "parquet:/dev/zero", "torchvision:nosuch"),
    "DIR": ("/dev/zero", "/dev/full", "net.py", "net.py/x", "pipe"),
    "FILE": ("/dev/full", "/dev/zero", "photos", "net.py/x", "pipe"),
    "DETECTORS": ("/dev/zero", "absent", "net.py", "photos"),
    "RUN": ("/dev/zero", "absent", "net.py", "photos"),
}
NAMES = {
    "NAME[:k=v,...]": ("nosuch", "nosuch:a=1", ":", "pgd:stepz=3", "pgd:steps=x"),
    "NAME[:k=v,...]...": ("nosuch", "nosuch:a=1", ":"),
    "K=V": ("x", "nosuch=1", "=3"),
    "EXPR": ("banana", "clean.accuracy >", "1 >= 0.9"),
    "K/N": ("0/0", "3/2", "x"),
    "E": ("x", "-1", "1/0", "nan"),
    "R": ("x", "-1", "1/0", "nan"),
    "A,B": (",", "a,a"),
    "URL": ("nosuch://x", "/dev/zero", "net.py"),
    "SQL": ("selec", "drop table outcomes", "select * from absent"),
}
GOOD = {"SPEC": "demo", "FILE": "made.bin", "N": "3", "SQL": "select 1", "NAME[:k=v,...]...": "gradcam"}
SECONDS = 60
BYTES = 2 << 30


def read(command: Any) -> dict[str, tuple[Any, Any]]:
    """Parameter to its type and its typer record."""
    own = command.callback.__wrapped__.__signature__.parameters.values()
    return {p.name: (p, p.annotation.__metadata__[0]) for p in own if p.name != "ctx"}


def is_number(info: Any) -> bool:
    return info.parser is not None and info.parser.__name__ in ("whole", "number")


def wrong_value(info: Any, rng: random.Random) -> str:
    kinds = info.metavar.removesuffix(" ...").split("|")
    known = [*PLACES.get(kinds[-1], ()), *NAMES.get(info.metavar, ())] or (["banana!"] if len(kinds) > 1 else TEXTS)
    pool = NUMBERS if is_number(info) else known
    return rng.choice([*pool, *(TEXTS if rng.random() < 0.3 else ())])


def drawn(seed: int) -> list[str]:
    """A command line with at least one wrong value."""
    rng = random.Random(seed)
    name, command = rng.choice([one for one in commands() if one[0] not in ("doctor", "list", "papers list")])
    parameters = read(command)
    wrong = rng.choice([key for key, (_, info) in parameters.items() if info.metavar])
    words, places = name.split(), []
    for key, (parameter, info) in parameters.items():
        needed = parameter.default is parameter.empty
        if key == "debug" or (key != wrong and not needed and rng.random() > 0.1):
            continue
        by_place = "Argument" in type(info).__name__
        flag = "" if by_place else next(f for f in (*(info.param_decls or ()), f"--{key}") if f.startswith("--"))
        if not info.metavar:
            words.append(flag.partition("/")[0])
            continue
        known = GOOD.get(info.metavar.split("|")[-1], "3" if is_number(info) else "demo")
        good = ("run" if by_place else f"made-{key}") if info.metavar.startswith("DIR") else known
        value = wrong_value(info, rng) if key == wrong else good
        if by_place:
            places.append(value)
        else:
            words += [flag, value] if rng.random() < 0.5 else [f"{flag}={value}"]
    return [*words, *places]


@pytest.fixture
def inside(place, monkeypatch, unshaken):
    """The working folder with a run and a pipe; an invocation that hangs is ended."""
    assert unshaken("audit --model demo --data demo --plan fog.yaml --limit 10 --quiet --out run").code == 0
    os.mkfifo("pipe")
    monkeypatch.setenv("UNSHAKEN_CACHE", str(place / "cache"))

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    yield place
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(unshaken: Any, words: list[str]) -> str | None:
    """What is wrong with the answer to a wrong invocation; None where nothing is."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.alarm(SECONDS)
    try:
        result = unshaken(*words) if len(words) > 1 else unshaken(words[0])
    except BaseException as error:
        return f"{words}: raised {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    more = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used)
    lines = 2 if words[:2] == ["plan", "check"] and "cannot be run" in result.err else 1
    if result.code != 2 or result.err.count("\n") != lines or "this is a bug" in result.err or more > BYTES:
        return f"{[word[:60] for word in words]}: {result.code}, {more >> 20} MiB, {result.err[:300]!r}"
    return None


def test_a_wrong_invocation_is_one_line(inside, unshaken):
    assert [found for seed in range(30) if (found := refused(unshaken, drawn(seed))) is not None] == []


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 2000, 50))
def test_a_thousand_wrong_invocations_are_one_line_each(inside, unshaken, first):
    assert [found for seed in range(first, first + 50) if (found := refused(unshaken, drawn(seed))) is not None] == []
