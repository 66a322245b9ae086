"""Code runs where the user named it, wherever it stands in another SPEC, and nowhere else."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from unshaken.core.consent import (
    allow_code,
    call,
    is_code,
    is_named,
    of_arguments,
    refuse_code,
    refuse_remembered,
    remember_code,
    require_named,
    words,
)
from unshaken.core.errors import ModelError

EVIL = "py:evil.py:make"


@pytest.mark.parametrize(
    "word",
    [
        EVIL,
        f"  {EVIL}",
        f"{EVIL}?size=8&mean=0.5",
        f"--model={EVIL}",
        f"far={EVIL}",
        f"demo?defence=mixture:robust={EVIL},weight=0.8",
        f"demo?defence=mixture:robust=demo%3F%26{EVIL}%2Cweight=0.8",
        f"ensemble:members=demo+{EVIL}+demo:robust",
        f"run:done?net={EVIL}",
    ],
)
def test_the_user_named_it(word):
    with call([word]):
        require_named(EVIL)
        refuse_code({"params": {"members": [EVIL]}}, "file")


@pytest.mark.parametrize("word", ["demo", "py:evil.py:maker", "xpy:evil.py:make", "py:evil", "evil.py:make", ""])
def test_the_user_named_something_else(word):
    with call(word):
        assert not is_named(EVIL)
        with pytest.raises(ModelError, match=r"names the code 'py:evil\.py:make', which would be executed"):
            require_named(EVIL)


@pytest.mark.parametrize(
    "value",
    [
        EVIL,
        f"\t{EVIL}",
        f"\u00a0{EVIL}",
        f"demo?defence=mixture:robust={EVIL}",
        f"run:x?net={EVIL}",
        [{"method": "transfer", "params": {"surrogate": EVIL}}],
        {f"demo+ {EVIL}": 1},
    ],
)
def test_a_file_names_code(value):
    named = r"doors/x\.json names the code 'py:evil\.py:make'.*--allow-code 'py:evil\.py:make'"
    with call("demo", "py:net.py:make"), pytest.raises(ModelError, match=named):
        refuse_code(value, "doors/x.json")
    with pytest.raises(ModelError, match=named):
        refuse_code(value, "doors/x.json")  # outside a call as well


class Surrogate(BaseModel):
    spec: str


def test_the_parameters_of_a_method_are_the_user_s_words_too():
    assert words() is None
    with call(Surrogate(spec=EVIL), {"a": {"b": ("demo",)}}):
        require_named(EVIL)
        assert words() == (EVIL, "a", "b", "demo")
        refuse_code(Surrogate(spec=f"demo+{EVIL}"), "file")
    assert words() is None
    with call("demo"), pytest.raises(ModelError, match="file names the code"):
        refuse_code(Surrogate(spec=EVIL), "file")


def test_words_without_code_are_nobody_s_business():
    refuse_code({"a": ["numpy:x", "copy: this", 7, None, "happy:days"]}, "file")
    assert [is_code(s) for s in ("demo", "py", " py:a.py:b")] == [False, False, True]


def test_what_one_call_hands_on_is_not_the_user_s_word():
    @of_arguments
    def inner(spec):
        return is_named(spec)

    @of_arguments
    def outer(spec):
        return is_named(spec), inner("py:of_a_file.py:make")

    assert inner(EVIL)
    assert outer(EVIL) == (True, False)
    with call("demo"), allow_code(EVIL):
        assert inner(EVIL)
    require_named(EVIL)  # a program that puts methods together by hand named them itself


def test_what_a_file_may_name_is_remembered_and_refused_where_a_method_would_load_it(monkeypatch):
    monkeypatch.setattr("unshaken.core.consent._remembered", {})
    refuse_remembered(EVIL)  # named by no file: the program's own
    with call(EVIL):
        remember_code([{"surrogate": EVIL}], "done/run.json")
    refuse_remembered(EVIL)  # named by the user too
    remember_code([{"surrogate": f"demo?defence=mixture:robust={EVIL}"}], "done/run.json")
    for spec in (EVIL, f"run:x?net={EVIL}"):
        with pytest.raises(ModelError, match=r"done/run\.json names the code 'py:evil\.py:make'"):
            refuse_remembered(spec)
        with allow_code(EVIL):
            refuse_remembered(spec)
