"""Large JSON files read item by item: the same values as Python's own reader, wherever a block ends."""

import json

import pytest

from unshaken.core import json_items as module
from unshaken.core.errors import DataError
from unshaken.core.json_items import json_items

VALUE = {
    "words": ["", 'a\\"b', "é写\U0001f642", "[{"],
    "numbers": [0, -12, 1.5e-7, 123456789012],
    "nested": [{"a": [1, {"b": None}]}, [], {}, True],
    "info": {"year": 2017, "list": [1, 2]},
    "empty": [],
    "last": 12,
}


def read(path):
    return list(json_items(path, "file", DataError))


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_values_are_those_of_the_whole_file(tmp_path, monkeypatch, block, indent):
    monkeypatch.setattr(module, "BLOCK", block)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(VALUE, ensure_ascii=False, indent=indent), encoding="utf-8-sig")
    found = {}
    for key, number, value in read(path):
        if number is None:
            found[key] = value
        else:
            assert len(found.setdefault(key, [])) == number
            found[key].append(value)
    assert found == VALUE


def test_memory_holds_an_item_and_not_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 1000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [list(range(20))] * 2000}))
    longest = []
    more = module._Reader.more

    def watched(reader, size):
        more(reader, size)
        longest.append(len(reader.text))

    monkeypatch.setattr(module._Reader, "more", watched)
    assert len(read(path)) == 2000
    assert max(longest) < 3000
    assert path.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "its beginning: needed is a table"),
        (b"[1]", "its beginning: needed is a table"),
        (b'{"a": [1, 2', "'a', item 1: it ends too early|',' is missing"),
        (b'{"a": [1 2]}', "'a', item 0: ',' is missing"),
        (b'{"a": ["x]}', "'a', item 0: Unterminated string"),
        (b'{"a" 1}', "'a': ':' is missing"),
        (b"{1: 1}", "1 is no key"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
        (b'{"a": [{"b": 1, "b": 2}]}', "'a', item 0: the key 'b' stands twice"),
        (b'{"a": [NaN]}', "'a', item 0: NaN is no JSON"),
        (b'{"a": 1} x', "more stands behind its end"),
        (b'{"a": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"a": ' + b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b'{"a": [' + b"[1," * 3, "'a', item 0: "),
    ],
)
def test_what_is_no_json_is_told(tmp_path, text, why):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(DataError, match=rf"^file is damaged \(.*({why}).*; get it again$"):
        read(tmp_path / "a.json")


def test_an_item_that_never_ends_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 100)
    monkeypatch.setattr(module, "LONGEST_ITEM", 1000)
    (tmp_path / "a.json").write_text('{"a": ["' + "x" * 100_000 + '"]}')
    with pytest.raises(DataError, match="'a', item 0: an item is damaged, or has more than"):
        read(tmp_path / "a.json")


def test_an_absent_file_is_told(tmp_path):
    with pytest.raises(DataError, match="file cannot be read: No such file"):
        read(tmp_path / "absent.json")
