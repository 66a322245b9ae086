"""The one registry: what enters, what is refused, and how parameters are read."""

from __future__ import annotations

import math
import types
from typing import ClassVar

import pytest
from pydantic import Field, PositiveInt

from unshaken.core import Parameters, list_methods, register
from unshaken.core.errors import ParameterError
from unshaken.core.registry import (
    ROOMS,
    find_method,
    parse_method,
    parse_number,
    remember_titles,
    title_of,
    unregister,
)
from unshaken.core.sources import sources_of


class Base(Parameters):
    room: ClassVar[str] = "explain"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    norms: ClassVar[tuple[str, ...]] = ("l2",)


@pytest.fixture
def toy():
    @register("toy-method", reference="Nobody 2020, arXiv:2001.00001", group="toys")
    class Toy(Base):
        """Does nothing at all.

        More of it.
        """

        steps: PositiveInt = Field(3, description="number of steps")
        eps: float = Field(0.1, gt=0, le=1, description="size")
        fast: bool = Field(False, description="whether to hurry")
        kind: str = "plain"

    yield Toy
    unregister("toy-method")


def test_a_method_is_known_everywhere_once_it_is_registered(toy):
    method = find_method("toy-method")
    assert method is toy.info
    assert (method.room, method.cls, method.reference) == ("explain", toy, "Nobody 2020, arXiv:2001.00001")
    assert (method.needs, method.norms, method.tags) == (frozenset({"logits"}), ("l2",), {"group": "toys"})
    assert method.summary == "Does nothing at all."
    assert method.parameters()["steps"] == {
        "default": 3,
        "description": "number of steps",
        "exclusiveMinimum": 0,
        "type": "integer",
    }
    assert method in list_methods()
    assert method in list_methods("explain")
    assert method not in list_methods("attack")


@pytest.mark.parametrize(
    ("name", "title"),
    [("mi-fgsm", "MI FGSM"), ("gaussian_noise", "gaussian noise"), ("no-such_method", "no such method"), ("", "")],
)
def test_a_title_is_declared_or_the_words_of_the_name(name, title):
    assert title_of(name) == title


def test_titles_read_from_files_are_those_of_the_methods():
    titles = {source.name: source.title for room in ROOMS for source in sources_of(room) if source.title}
    assert titles == {name: find_method(name).title for name in titles}
    assert {"pgd", "jpeg_compression", "n-fgsm"} <= titles.keys()


def test_a_method_of_elsewhere_has_its_title_once_it_is_registered(toy):
    register("toy-method", reference="x", title="ToY")(toy)
    assert title_of("toy-method") == "ToY"
    unregister("toy-method")
    assert title_of("toy-method") == "toy method"


def test_a_recorded_title_is_for_a_method_that_is_not_here():
    remember_titles({"toy-recorded": "ToyR", "fog": "a title of another", "pgd": "a title of another"})
    assert [title_of(name) for name in ("toy-recorded", "fog", "pgd")] == ["ToyR", "fog", "PGD"]


def test_what_a_method_says_of_itself_comes_before_its_base():
    @register("toy-other", reference="x", needs=["gradient"], norms=["linf", "l1"])
    class Other(Base):
        """Other."""

    try:
        assert Other.info.needs == frozenset({"gradient"})
        assert Other.info.norms == ("linf", "l1")
    finally:
        unregister("toy-other")


def test_a_name_is_given_once(toy):
    with pytest.raises(ValueError, match=r"the name 'toy-method' is taken by .*Toy"):

        @register("toy-method", reference="y")
        class Second(Base):
            """Second."""

    assert find_method("toy-method").cls is toy


def test_the_same_class_may_be_defined_again(toy):
    again = types.new_class("Toy", (Base,), {}, lambda n: n.update(__qualname__=toy.__qualname__, __module__=__name__))
    register("toy-method", reference="z")(again)
    assert find_method("toy-method").cls is again


def test_a_name_that_is_taken_out_is_free_again():
    class Paper(Parameters):
        room: ClassVar[str] = "papers"

    for name in ("One", "Other"):  # two classes of one name would be a mistake: see above
        for base in (Base, Paper):
            register("toy-gone", reference="x")(type(name, (base,), {}))
        unregister("toy-gone")
    unregister("toy-gone")  # what is not there is no mistake


def test_a_class_without_a_room_is_refused():
    with pytest.raises(ValueError, match="Homeless has no room"):

        @register("homeless", reference="x")
        class Homeless(Parameters):
            """No room."""


def test_lists_are_in_the_order_of_rooms_and_names():
    methods = list_methods()
    keys = [(ROOMS.index(m.room), m.name) for m in methods]
    assert keys == sorted(keys)
    assert {"pgd", "fgsm", "gaussian_noise"} <= {m.name for m in methods}


def test_unknown_names_come_with_near_ones(toy):
    with pytest.raises(ParameterError, match=r"no method 'toy-metod': did you mean 'toy-method'\?"):
        find_method("toy-metod")
    with pytest.raises(ParameterError, match=r"no method 'toy-method' in attack: known: .*pgd"):
        find_method("toy-method", "attack")
    with pytest.raises(ParameterError, match=r"no room 'atack': did you mean 'attack' or 'tasks'\?"):
        list_methods("atack")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"stepps": 1}, "toy-method: no parameter 'stepps'; did you mean 'steps' or 'eps'?"),
        ({"steps": 0}, "toy-method: steps=0: Input should be greater than 0"),
        ({"steps": 1.5}, "toy-method: steps=1.5: Input should be a valid integer"),
        ({"eps": 2}, "toy-method: eps=2: Input should be less than or equal to 1"),
        ({"fast": "soon"}, "toy-method: fast='soon': Input should be a valid boolean"),
    ],
)
def test_wrong_parameters_are_named_with_value_and_mend(toy, values, words):
    with pytest.raises(ParameterError) as caught:
        toy(**values)
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_a_missing_parameter_is_named():
    class Needy(Parameters):
        must: int

    with pytest.raises(ParameterError, match="Needy: parameter 'must' is missing"):
        Needy()


def test_parameters_are_frozen(toy):
    with pytest.raises(ValueError, match="frozen"):
        toy().steps = 5


def test_a_method_is_read_from_text(toy):
    got = parse_method("toy-method:steps=5,eps=8/255, fast = true")
    assert (got.steps, got.eps, got.fast, got.kind) == (5, 8 / 255, True, "plain")
    assert parse_method("toy-method") == toy()
    assert parse_method("toy-method:kind=a/b").kind == "a/b"
    with pytest.raises(ParameterError, match=r"'toy-method:steps': 'steps' is not of the form key=value"):
        parse_method("toy-method:steps")
    with pytest.raises(ParameterError, match="eps='1/0'"):
        parse_method("toy-method:eps=1/0")


@pytest.mark.parametrize(("text", "value"), [("8/255", 8 / 255), ("0.5", 0.5), ("1e-2", 0.01), ("1/4", 0.25)])
def test_fractions(text, value):
    assert math.isclose(parse_number(text), value)


@pytest.mark.parametrize(
    "text", ["", "x", "1/", "/2", "1/0", "1/2/3", " 1", "1 / 4", "1_0", "٨", "nan", "inf", "1e400", "9" * 5000]
)
def test_what_is_no_fraction_is_refused(text):
    with pytest.raises(ParameterError, match="is not a number or a fraction such as 8/255"):
        parse_number(text)
