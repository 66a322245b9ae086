"""Every parameter that is a tuple is written as text `a+b`: on the command line, in plans, and back again."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path

import pytest
from pydantic import Field, ValidationError, create_model

from unshaken.core.errors import ParameterError
from unshaken.core.registry import Parameters, list_methods
from unshaken.core.values import split_items, strict_values, text_of
from unshaken.harden.engine.run import recipe_text
from unshaken.serve.site.launch import choices_of

METHODS = {m.name: m for m in list_methods()}
ARRAYS = [(m.name, name) for m in METHODS.values() for name, s in m.parameters().items() if "plus-separated" in str(s)]


def array_of(name, field):
    schema = METHODS[name].parameters()[field]
    return next(part for part in (schema, *schema.get("anyOf", ())) if part.get("type") == "array")


def items_of(name, field):
    """Two items or more that are allowed where nothing but the field's type decides; as many as the type asks for."""
    array, default = array_of(name, field), METHODS[name].cls.model_fields[field].get_default(call_default_factory=True)
    one = array.get("items") or array["prefixItems"][0]
    if isinstance(default, tuple) and default:
        return [text_of((v,)) for v in default]
    if "enum" in one:
        return one["enum"][:2]
    count = len(array.get("prefixItems", "ab"))
    return ["a", "b"] if one["type"] == "string" else [str(n) for n in range(1, count + 1)]


def read(name, field, value):
    """One field's value as the method reads it, whatever its other fields and the sense of the whole would be."""
    cls = METHODS[name].cls
    alone = create_model("Alone", value=(cls.model_fields[field].annotation, cls.model_fields[field]))
    return alone(value=strict_values(cls, {field: value}, name)[field]).value


def test_there_are_such_parameters():
    assert {("smoothing", "radii"), ("pls", "alternate")} < set(ARRAYS)
    assert len(ARRAYS) > 40


@pytest.mark.parametrize(("name", "field"), ARRAYS, ids=map("-".join, ARRAYS))
def test_text_is_read_and_written(name, field):
    items = items_of(name, field)
    value = read(name, field, "+".join(items))
    assert (type(value), len(value)) == (tuple, len(items))
    assert text_of(value) == "+".join(items)
    assert read(name, field, text_of(value)) == value
    assert read(name, field, json.loads(json.dumps(value))) == value


@pytest.mark.parametrize(("name", "field"), ARRAYS, ids=map("-".join, ARRAYS))
def test_one_item_stands_for_a_tuple(name, field):
    array, first = array_of(name, field), items_of(name, field)[0]
    if length := len(array.get("prefixItems", ())):
        with pytest.raises(
            ParameterError, match=rf"^{name}: {field}='{re.escape(first)}': it takes {length} values, not 1"
        ):
            read(name, field, first)
    elif array.get("minItems", 1) > 1:
        with pytest.raises(ValidationError):
            read(name, field, first)
    else:
        assert text_of(read(name, field, first)) == first
        if array["items"].get("type") in ("integer", "number"):
            assert read(name, field, int(float(first)) or 1) == (int(float(first)) or 1,)


@pytest.mark.parametrize(("name", "field"), ARRAYS, ids=map("-".join, ARRAYS))
def test_a_wrong_item_is_named_in_one_line(name, field):
    array, items = array_of(name, field), items_of(name, field)
    one = array.get("items") or array["prefixItems"][0]
    wrong = "" if one.get("type") == "string" and "enum" not in one else "x y"
    required = {n: "1" for n, f in METHODS[name].cls.model_fields.items() if f.is_required() and n != field}
    with pytest.raises(ParameterError) as caught:
        METHODS[name].cls.from_text({**required, field: "+".join([*items[:-1], wrong])})
    message = str(caught.value)
    assert message.startswith(f"{name}: {field}=")
    assert "\n" not in message
    assert wrong in message


class Several(Parameters):
    numbers: tuple[float, ...] = Field((), description="")
    three: tuple[int, int, int] | None = Field(None, description="")
    texts: tuple[str, ...] = Field((), description="")
    words: tuple[typing.Literal["a", "b"], ...] = Field((), description="")
    plain: str = Field("", description="")


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        ("numbers", "1/2+8/255", (0.5, 8 / 255)),
        ("numbers", 0.25, (0.25,)),
        ("numbers", ["1/4", 1], (0.25, 1.0)),
        ("numbers", "", ()),
        ("three", "1+2+3", (1, 2, 3)),
        ("three", None, None),
        ("texts", "py:a%2Bb.py:f+demo", ("py:a+b.py:f", "demo")),
        ("words", "b", ("b",)),
        ("plain", "a+b", "a+b"),
    ],
)
def test_what_is_read(field, given, value):
    assert getattr(Several(**{field: given}), field) == value


@pytest.mark.parametrize(
    ("field", "given", "message"),
    [
        ("numbers", "1+x", "Several: numbers='1+x': 'x' is not a number or a fraction"),
        ("numbers", "1++2", "Several: numbers='1++2' has an empty item"),
        ("numbers", "1+", "Several: numbers='1+' has an empty item"),
        ("numbers", "1e30", "Several: numbers='1e30': the value must be at most"),
        ("numbers", True, "Several: numbers=True: "),
        ("numbers", (True,), "Several: numbers=(True,): True: a boolean is not a number"),
        ("three", "1+2", "Several: three='1+2': it takes 3 values, not 2: write a+b+c"),
        ("three", (1, 2, 3, 4), "Several: three=(1, 2, 3, 4): it takes 3 values, not 4: write a+b+c"),
        ("three", "1+2.5+3", "Several: three='1+2.5+3': '2.5' is not a whole number"),
        ("words", "a+c", "Several: words='c': Input should be 'a' or 'b'"),
    ],
)
def test_what_is_refused(field, given, message):
    with pytest.raises(ParameterError) as caught:
        Several(**{field: given})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "value", [(), ("a",), ("a+b", "c"), (0.1, 1.0, 1e-7, 123456789.0), (1, 2), (1 / 3,), (16777217.0, 1e20)]
)
def test_what_is_written_is_read_again(value):
    text = text_of(value)
    kind = type(value[0]) if value else str
    assert tuple(map(kind, split_items(text))) == value


def test_a_recipe_is_written_as_it_is_read():
    text = "corruptions:names=fog+contrast,severities=1+3"
    recipe = METHODS["corruptions"].cls(names=("fog", "contrast"), severities=(1, 3))
    assert recipe_text(recipe) == text
    assert recipe_text(METHODS["dverge"].cls(layers=("body.0", "body.3"))) == "dverge:layers=body.0+body.3"


def test_a_form_offers_numbers_and_words_of_a_list_as_text():
    choices = {c.name: c for c in choices_of(METHODS["intrinsic-dimension"])}
    estimators = choices["estimators"]
    assert (estimators.several, estimators.default) == (True, "mle+twonn")
    assert estimators.values == ("mle", "twonn", "geomle")
    assert {c.name for c in choices_of(METHODS["netdissect"])}.isdisjoint({"layers"})  # free text may name a file


def test_no_other_code_splits_at_plus():
    """The exceptions split what is no parameter: a request's query, a cell of rows, and borders of slices."""
    root = Path(__file__).parents[1] / "src"
    found = {p.relative_to(root).as_posix() for p in root.glob("**/*.py") if 'split("+")' in p.read_text("utf-8")}
    assert found == {
        "unshaken/core/values.py", "unshaken/serve/score/options.py", "unshaken/explain/filters/filter_quality.py",
        "unshaken/api/division.py",
    }  # fmt: skip
