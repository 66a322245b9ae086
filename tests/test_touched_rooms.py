"""The plugin that leaves out long tests of rooms that a change does not touch."""

from __future__ import annotations

import pytest

from tests.touched_rooms import is_touched, rooms_of


def test_the_rooms_of_files():
    files = ["src/unshaken/attack/gradient/pgd.py", "src/unshaken_papers/tract/figures.py", "tests/cli/test_app.py",
             "scripts/release.py", "tests/test_map.py", "docs/attacks.md", "src/unshaken/testing.py"]  # fmt: skip
    assert rooms_of(files) == {"attack", "papers", "cli", "scripts", "test_map"}


@pytest.mark.parametrize(
    ("test", "rooms", "touched"),
    [
        ("tests/attack/test_museum.py", {"attack"}, True),
        ("tests/attack/test_museum.py", {"detect", "core"}, False),
        ("tests/scripts/test_gallery_pages.py", {"report"}, True),
        ("tests/devices/test_harden.py", {"harden"}, True),
        ("tests/devices/test_harden.py", {"core"}, True),
        ("tests/devices/test_harden.py", {"attack"}, False),
        ("tests/devices/test_rows.py", {"attack"}, True),
        ("tests/battery/test_contract.py", {"stress"}, True),
        ("tests/test_map.py", {"api"}, True),
        ("tests/test_map.py", set(), False),
    ],
)
def test_a_long_test_is_of_its_rooms(test, rooms, touched):
    assert is_touched(test, rooms) is touched


def test_long_tests_of_other_rooms_are_left_out(pytester, monkeypatch):
    """Without a commit all run; since HEAD of a clean tree none of the long ones."""
    folder = pytester.mkpydir("tests") / "attack"
    folder.mkdir()
    (folder / "test_toy.py").write_text("import pytest\n@pytest.mark.long\ndef test_a(): pass\ndef test_b(): pass\n")
    pytester.makeini("[pytest]\nmarkers = long")
    monkeypatch.setattr("tests.touched_rooms.ROOT", pytester.path)
    for command in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -qm first"):
        pytester.run("git", *command.split())
    for since, passed in (("", 2), ("HEAD", 1)):
        monkeypatch.setenv("UNSHAKEN_SINCE", since)
        result = pytester.inline_run("-p", "tests.touched_rooms", "-p", "no:cacheprovider")
        assert result.countoutcomes()[0] == passed
