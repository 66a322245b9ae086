"""`make check`: which tests a change reaches, how near they are, and how many fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check
from scripts.check import Reached, Tree, cases_of, choose, reach

ROOM = """\
from unshaken.core.room import open_room
if TYPE_CHECKING:
    from unshaken.attack.pgd import PGD

__all__ = open_room(__name__)
"""
FILES = {
    "src/unshaken/__init__.py": "",
    "src/unshaken/core/room.py": "",
    "src/unshaken/core/driver.py": '"""See `unshaken.attack.pgd`."""',
    "src/unshaken/attack/__init__.py": ROOM,
    "src/unshaken/attack/pgd.py": 'from unshaken.core.driver import drive\n@register(\n    "pgd",\n)\nclass PGD: 0',
    "src/unshaken/attack/fgsm.py": '@register("fgsm", reference="")\nclass FGSM: 0',
    "src/unshaken/report/html.py": 'def page(): get(f"{name}.html.jinja")',
    "src/unshaken/report/page.html.jinja": "",
    "src/unshaken_papers/row/__init__.py": "@row(__file__)\nclass Row: 0",
    "src/unshaken_papers/row/figures.py": "",
    "src/unshaken_papers/row/claim.toml": "",
    "docs/page.md": "",
    "tests/conftest.py": "",
    "tests/attack/conftest.py": "from unshaken.core.room import Room",
    "tests/attack/test_pgd.py": "from unshaken.attack.pgd import PGD",
    "tests/attack/test_lazy.py": "import unshaken\nunshaken.attack.PGD()",
    "tests/attack/test_named.py": "from unshaken.attack import FGSM\nrun('pgd:steps=3')",
    "tests/attack/test_apart.py": "",
    "tests/battery/test_contract.py": "METHODS = list_methods()",
    "tests/report/test_html.py": "PROGRAM = 'from unshaken.report.html import page'",
    "tests/papers/test_row.py": "run_paper('row')",
    "tests/docs/test_index.py": "(ROOT / 'docs').rglob('*.md')\nDOCS",
}


@pytest.fixture
def tree(tmp_path):
    for file, text in FILES.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    return Tree(tmp_path, FILES)


def reached_tests(tree, *changed):
    return {r.file.removeprefix("tests/"): r.distance for r in reach(tree, set(changed)).values() if r.is_test}


def test_a_method_is_reached_by_import_lazily_by_name_and_in_its_battery(tree):
    assert reached_tests(tree, "src/unshaken/attack/pgd.py") == {
        "attack/test_pgd.py": 1,
        "attack/test_lazy.py": 2,
        "attack/test_named.py": 2,
        "battery/test_contract.py": 2,
    }
    assert reached_tests(tree, "src/unshaken/core/driver.py")["attack/test_lazy.py"] == 3
    battery = cases_of(tree, {"src/unshaken/attack/pgd.py"})
    assert battery == {"tests/battery/": (["pgd"], 0.5), "tests/devices/": (["pgd"], 0.5)}


def test_files_that_are_no_modules_reach_the_tests_of_what_reads_them(tree):
    assert reached_tests(tree, "src/unshaken/report/page.html.jinja") == {"report/test_html.py": 3}
    assert reached_tests(tree, "src/unshaken_papers/row/claim.toml") == {"papers/test_row.py": 3}
    assert reached_tests(tree, "src/unshaken_papers/row/figures.py") == {"papers/test_row.py": 2}
    assert reached_tests(tree, "docs/page.md") == {"docs/test_index.py": 3}


def test_a_conftest_reaches_the_tests_below_it(tree):
    below = {f"attack/test_{name}.py": 2 for name in ("pgd", "lazy", "named", "apart")}
    assert reached_tests(tree, "tests/attack/conftest.py") == below
    assert reached_tests(tree, "src/unshaken/core/room.py") == {
        **dict.fromkeys(below, 3),
        "battery/test_contract.py": 4,
    }


def test_the_nearest_that_fit_are_taken_and_changed_ones_always():
    tests = [
        Reached("far", 3, "", 1.0),
        Reached("near", 2, "", 5.0),
        Reached("slow", 2, "", 50.0),
        Reached("own", 0, "", 99.0),
    ]
    assert [t.file for t in choose(tests, 106)] == ["own", "near", "far"]
    assert [t.file for t in choose(tests, 20)] == ["own"]


def test_an_unknown_base_ends_in_one_line():
    script = [sys.executable, str(Path(check.__file__)), "--base", "no-such-commit"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "check: BASE=no-such-commit is no commit that git knows: give a branch, a tag or a hash\n"
