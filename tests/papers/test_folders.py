"""Rows as folders: found by entry points and by path, written by `new`, and each mistake one clear line."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

from tests.processes import process, run_module
from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.papers import list_papers, run_paper
from unshaken.papers.folders import find_row, forget_row, package_folders, read_claim, row_folders
from unshaken.papers.new import write_row


@pytest.fixture
def folder(tmp_path):
    """A new row's folder; whatever it loads is taken out again."""
    yield write_row(tmp_path / "new_claim")
    if "new-claim" in {paper.slug for paper in list_papers()}:
        forget_row("new-claim")


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_new_row_runs_and_its_own_test_passes(folder):
    result = run_paper(f"{folder}:images=12,steps=2", out=folder.parent / "run")
    assert result.slug == "new-claim"
    assert {part.name for part in result.parts} == {"robust", "cost"}
    arguments, printed = ["-q", "-p", "no:cacheprovider", str(folder)], folder.parent / "printed"
    with process(run_module, "pytest", arguments, folder.parent, printed) as program:
        program.join(200)
        assert program.exitcode == 0, printed.read_text()


def test_installed_rows_come_from_the_entry_point():
    assert "mahalanobis" in row_folders()
    assert find_row(str(row_folders()["mahalanobis"])) is find_row("mahalanobis")


def test_folders_of_rows_are_known_by_their_own_path_where_a_link_leads_to_them(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "link")])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert list(package_folders.__wrapped__()) == [tmp_path.resolve()]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("claim.toml", "title =", "titel =", r"claim\.toml: no 'title': add it"),
        ("claim.toml", "central", "centre", r"claim\.toml: unknown key 'parts\.cost\.centre': remove it"),
        ("claim.toml", "central = false", "central = 7.5", r"claim\.toml: 'parts\.cost\.central': input should be"),
        ("claim.toml", '"demo"', "demo", r"claim\.toml: cannot be read \(Invalid value"),
        ("claim.toml", "steps = 20\n", "", r"\[sizes\.quick\] has no 'steps', a parameter of ClaimPaper: add it"),
        ("claim.toml", "steps = 40", "stesp = 40", r"\[sizes\.full\]: .* no parameter 'stesp'; did you mean 'steps'"),
        ("claim.toml", "steps = 2\n", "steps = -2\n", r"\[sizes\.tiny\]: .*steps=-2: Input should be greater than 0"),
        ("claim.toml", "{0.above}", "0.2", r"robust\.rule: does not name the bound above = 0\.1: write \{0\.above\}"),
        ("claim.toml", "{0.above}", "{1.above}", r"parts\.robust\.rule: a check has no such bound"),
        ("claim.toml", "above = 0.1", "above = 0.1\nopposed_above = 0.1", r"checks\.0: bounds on both sides"),
        ("__init__.py", "@row(__file__)\n", "", r"__init__\.py: no class of a Paper with @row\(__file__\): add it"),
        ("__init__.py", '"""The types', '1 / 0\n    """The types', "importing it raised ZeroDivisionError"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(folder, file, old, new, message):
    change(folder / file, old, new)
    with pytest.raises(ParameterError, match=message) as caught:
        find_row(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["claim.toml", "__init__.py", "experiment.py"])
def test_a_file_that_is_absent_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(ParameterError, match=f"new_claim: no {file}: "):
        find_row(str(folder))


def test_folders_that_are_none_of_a_row_are_refused(folder, monkeypatch):
    with pytest.raises(ParameterError, match="no such folder: write a new row with 'unshaken papers new NAME'"):
        find_row(str(folder.parent / "nothing"))
    with pytest.raises(ParameterError, match=r"new_claim: cannot be made \(File exists\): choose another name"):
        write_row(folder)
    with pytest.raises(ParameterError, match="use the characters a-z, 0-9 and _: 'my_claim'"):
        write_row(folder.parent / "My-Claim")
    for name, why in (("mahalanobis", "is the name of an installed row"), ("json", "its name is taken by")):
        shutil.copytree(folder, folder.parent / name)
        with pytest.raises(ParameterError, match=f"{why}.*: give the folder another name"):
            find_row(str(folder.parent / name))
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ParameterError, match=r"no method 'new_claim' in papers: .* write '\./new_claim'"):
        find_row("new_claim")


def test_every_claim_can_be_read_without_its_code(folder):
    assert read_claim(folder).parts["robust"].checks[0].above == 0.1
    with pytest.raises(UnshakenError, match="no method 'nothing' in papers: known: accuracy-disparity"):
        find_row("nothing")
