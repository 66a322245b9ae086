"""Digits of a folder follow names and contents below it, and nothing else."""

import shutil

import pytest

from unshaken.data.content import content_mark


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one" / "deep").mkdir(parents=True)
    (tmp_path / "one" / "a.png").write_bytes(b"a")
    (tmp_path / "one" / "deep" / "b.png").write_bytes(b"b")
    return tmp_path / "one"


def test_a_copy_elsewhere_has_the_same_digits(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    assert content_mark(folder) == content_mark(tmp_path / "other")
    assert content_mark(folder / "a.png") == content_mark(tmp_path / "other" / "a.png")
    assert content_mark(folder / "a.png") != content_mark(folder / "deep" / "b.png")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "deep" / "b.png").write_bytes(b"c"),
        lambda folder: (folder / "deep" / "b.png").rename(folder / "b.png"),
        lambda folder: (folder / "a.png").unlink(),
        lambda folder: (folder / "c.png").write_bytes(b""),
    ],
    ids=["content", "name", "gone", "new"],
)
def test_any_change_below_is_noticed(folder, change):
    before = content_mark(folder)
    change(folder)
    assert content_mark(folder) != before
