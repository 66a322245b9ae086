"""JSON and YAML of strangers: what is read, and the one line on what is not."""

from __future__ import annotations

import math
import os
from typing import Literal

import pytest
import yaml
from pydantic import BaseModel, Field, field_validator

from unshaken.core.documents import (
    DEEPEST,
    LONGEST,
    MOST_NODES,
    _size,
    parse_json,
    read_text,
    read_yaml,
    validate,
)
from unshaken.core.errors import DataError, RunError


def test_json_is_read_as_it_stands():
    assert parse_json(b'{"a": [1, 2.5, null, {"b": true}]}', "file", DataError) == {"a": [1, 2.5, None, {"b": True}]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"one": 1, "two": 2, "two": 3}', "the key 'two' stands twice"),
        ("[NaN]", "NaN is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        ("[" * 100_000, "it is nested too deeply"),
        ("9" * 5000, "Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits"),
    ],
)
def test_what_is_wrong_with_json_is_one_line(text, why):
    with pytest.raises(DataError) as caught:
        parse_json(text, "file", DataError)
    assert str(caught.value) == f"file is damaged ({why})"
    with pytest.raises(RunError) as caught:
        parse_json(text, "file", RunError, "get it again")
    assert str(caught.value) == f"file is damaged ({why}); get it again"


class Inner(BaseModel):
    n: int = 0


class Record(BaseModel):
    inner: Inner = Inner()
    share: float = 0.5

    @field_validator("share")
    @classmethod
    def _odd(cls, value: float) -> float:
        if value == 3:
            raise ValueError("3 is too many")
        return value


def test_a_record_is_made_of_a_table():
    assert validate(Record, {"inner": {"n": 4}}, "file", DataError) == Record(inner=Inner(n=4))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"inner": {"n": "x"}}, r"inner\.n: Input should be a valid integer.*"),
        ([1], "all of it: Input should be a valid dictionary.*"),
        ({"share": 3}, "share: 3 is too many"),
        ({"share": True}, "share=True: a boolean is not a number"),
    ],
)
def test_the_field_that_does_not_fit_is_named(value, why):
    with pytest.raises(DataError, match=rf"^file is damaged \({why}\)$"):
        validate(Record, value, "file", DataError)
    with pytest.raises(DataError, match=rf"^file is damaged \({why}\); repair it$"):
        validate(Record, value, "file", DataError, "repair it")


class Versioned(BaseModel):
    schema_: Literal[1, 2] = Field(1, alias="schema")


def test_a_record_of_a_later_schema_is_told_from_a_damaged_one():
    assert validate(Versioned, {}, "file", RunError).schema_ == 1
    assert validate(Versioned, {"schema": 2}, "file", RunError).schema_ == 2
    with pytest.raises(RunError, match=r"^file has the schema 3, of a later version of unshaken: read it with"):
        validate(Versioned, {"schema": 3}, "file", RunError, "begin anew")
    with pytest.raises(RunError, match=r"^file is damaged \(schema: .*\); begin anew$"):
        validate(Versioned, {"schema": 0}, "file", RunError, "begin anew")


def test_a_text_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * LONGEST)
    assert len(read_text(path)) == LONGEST == 2**20
    path.write_bytes(b"x" * (LONGEST + 1))
    with pytest.raises(OSError, match=r"^it has more than 1 MiB$"):
        read_text(path)
    assert len(read_text(path, 1 << 21)) == LONGEST + 1


def test_only_regular_files_are_read(tmp_path):
    with pytest.raises(OSError, match=r"^it is a directory$"):
        read_text(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"^it is no regular file$"):
        read_text(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "absent")


@pytest.fixture
def read(tmp_path):
    """Reads a text as a YAML file."""

    def read(text):
        path = tmp_path / "a.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(path, "plan 'a.yaml'", DataError)

    return read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("007", 7),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, "9" * 19),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-1e3", -1000.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("~", None),
        ("null", None),
        ("", None),
        ("yes", "yes"),
        ("0x10", "0x10"),
        ("1_0", "1_0"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("8/255", "8/255"),
        ("'1'", "1"),
    ],
)
def test_values_are_those_of_yaml_1_2(read, text, value):
    found = read(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_and_nothing(read):
    assert math.isnan(read("a: .nan")["a"])
    assert read("") is None


def test_tables_may_be_merged_and_keys_stand_once(read):
    text = "a: &a {x: 1, y: 2}\nb: &b {w: 3}\nc:\n  <<: *a\n  <<: *b\n  z: 4\n"
    assert read(text)["c"] == {"x": 1, "y": 2, "w": 3, "z": 4}
    with pytest.raises(DataError, match=r"^plan 'a.yaml' is not valid YAML: the key 'two' stands twice in line 3$"):
        read("one: 1\ntwo: 2\ntwo: 3")


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!!str", "!own"])
@pytest.mark.parametrize("value", ["1", "[1]", "{a: 1}"])
def test_tags_are_refused(read, tag, value):
    with pytest.raises(DataError, match=r"^plan 'a.yaml' is not valid YAML: the tag .* is not read here; remove it$"):
        read(f"a: {tag} {value}")


def test_nesting_has_a_limit(read):
    assert read(f"{'[' * DEEPEST}{']' * DEEPEST}") is not None
    assert read(f"[{', '.join(['[]'] * 60)}]") == [[]] * 60  # beside each other, not inside
    with pytest.raises(DataError, match=r"^plan 'a.yaml' is nested more than 50 levels deep; write it flatter$"):
        read(f"{'[' * (DEEPEST + 1)}{']' * (DEEPEST + 1)}")


def test_aliases_count_as_what_they_stand_for(read):
    assert _size(yaml.compose("{a: [1, 2], b: 3}"), {}) == 7
    assert _size(yaml.compose("[&x [1, 2], *x]"), {}) == 7
    assert _size(yaml.compose("x"), {}) == 1
    levels = ["&a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"&a{i + 1} [{', '.join([f'*a{i}'] * 10)}]" for i in range(4)]
    assert len(read("\n".join(f"- {level}" for level in levels[:4]))) == 4
    with pytest.raises(DataError, match=f"has more than {MOST_NODES:,} values with its aliases spread out"):
        read("\n".join(f"- {level}" for level in levels))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &a [*a]", "is nested too deeply, or an alias holds itself"),
        ("a: [1", "is not valid YAML: while parsing a flow sequence"),
        (b"a: \xff", "is not valid YAML: 'utf-8' codec can't decode byte 0xff"),
        ("[1]: 2", "is not valid YAML: while constructing a mapping"),
    ],
)
def test_what_is_wrong_with_yaml_is_one_line(read, text, why):
    with pytest.raises(DataError) as caught:
        read(text)
    assert str(caught.value).startswith(f"plan 'a.yaml' {why}")
    assert "\n" not in str(caught.value)


def test_an_absent_yaml_file_is_told(tmp_path):
    with pytest.raises(DataError, match=r"^plan 'b': No such file or directory$"):
        read_yaml(tmp_path / "b.yaml", "plan 'b'", DataError)
    with pytest.raises(DataError, match=r"^plan 'b': it is a directory$"):
        read_yaml(tmp_path, "plan 'b'", DataError)
