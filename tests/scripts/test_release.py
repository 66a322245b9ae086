"""The script that cuts a release, on a copy of the files that it writes."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
RELEASE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(RELEASE)
LOG = """# Changelog

## [Unreleased]

### Added

- A thing.

## [0.0.9] - 2020-01-02

### Fixed

- Another.
"""


@pytest.fixture
def project(tmp_path):
    for name in RELEASE.FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(LOG, encoding="utf-8")
    (tmp_path / "changes").mkdir()
    return tmp_path


def test_all_files_state_one_version():
    (version,) = set(RELEASE.versions(ROOT).values())
    assert version[0].isdigit()


def test_every_fragment_has_a_known_type_and_a_text():
    assert RELEASE.bad_fragments(ROOT) == []


def test_a_cut_release_passes_the_check_and_changes_the_named_lines_alone(project):
    before = {name: (project / name).read_text(encoding="utf-8").splitlines() for name in RELEASE.FILES}
    assert RELEASE.cut(project, "7.8.9", "2030-01-02") is None
    assert RELEASE.versions(project) == dict.fromkeys(RELEASE.FILES, "7.8.9")
    for name, lines in before.items():
        after = (project / name).read_text(encoding="utf-8").splitlines()
        new = [line for line in after if line not in lines]
        assert len(new) == (2 if name == "CITATION.cff" else 1), name
        assert all("7.8.9" in line or line == "date-released: 2030-01-02" for line in new)
    log = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    assert log == LOG.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [7.8.9] - 2030-01-02\n")
    assert RELEASE.section(log, "7.8.9") == "### Added\n\n- A thing."
    assert RELEASE.check(project, "v7.8.9") is None
    assert RELEASE.check(project, "v7.8.8").startswith("the tag is 'v7.8.8': pyproject.toml says 7.8.9")


def test_a_second_cut_has_one_date(project):
    assert RELEASE.cut(project, "7.8.9", "2030-01-02") is None
    log = project / "CHANGELOG.md"
    more = log.read_text(encoding="utf-8").replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n")
    log.write_text(more, encoding="utf-8")
    assert RELEASE.cut(project, "7.9.0rc1", "2030-02-03") is None
    citation = (project / "CITATION.cff").read_text(encoding="utf-8")
    assert "version: 7.9.0rc1\ndate-released: 2030-02-03\n" in citation
    assert citation.count("date-released") == 1
    assert RELEASE.section(log.read_text(encoding="utf-8"), "7.9.0rc1") == "- More."


def test_a_cut_release_has_the_fragments_after_what_was_written_and_keeps_none(project, monkeypatch):
    fragment = project / "changes" / "+sum.fixed.md"
    fragment.write_text("A sum.\n", encoding="utf-8")
    monkeypatch.setattr(RELEASE, "render_fragments", lambda *args: "\n### Fixed\n\n- A sum.\n\n\n")  # towncrier's form
    assert RELEASE.cut(project, "7.8.9", "2030-01-02") is None
    log = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    assert log.endswith(LOG.partition("thing.\n")[2])
    assert RELEASE.section(log, "7.8.9") == "### Added\n\n- A thing.\n\n### Fixed\n\n- A sum."
    assert not fragment.exists()
    fragment.write_text("Another.\n", encoding="utf-8")
    assert RELEASE.check(project, "v7.8.9").startswith("changes holds +sum.fixed.md")


@pytest.mark.parametrize(
    ("version", "log", "wrong"),
    [
        ("1.2", LOG, "'1.2' is not three numbers"),
        ("v1.2.3", LOG, "'v1.2.3' is not three numbers"),
        ("01.2.3", LOG, "'01.2.3' is not three numbers"),
        ("0.0.9", LOG, "has a section of 0.0.9 already"),
        ("1.2.3", LOG.replace("### Added\n\n- A thing.\n", ""), "nothing under [Unreleased]"),
        ("1.2.3", "# Changelog\n", "nothing under [Unreleased]"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_changes_nothing(project, version, log, wrong):
    (project / "CHANGELOG.md").write_text(log, encoding="utf-8")
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert wrong in RELEASE.cut(project, version, "2030-01-02")
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["+sum.fixd.md", "sum.fixed.md", "+sum.md", "+sum.fixed.txt", "+sum.fixed.md"])
def test_a_fragment_of_another_name_or_without_text_is_refused(project, name):
    (project / "changes" / name).write_text("" if name == "+sum.fixed.md" else "A sum.\n", encoding="utf-8")
    assert f"changes holds {name}, which is empty or not called" in RELEASE.cut(project, "7.8.9", "2030-01-02")
    assert (project / "CHANGELOG.md").read_text(encoding="utf-8") == LOG


def test_a_tag_without_a_section_is_refused(project, capsys):
    version = RELEASE.versions(project)["pyproject.toml"]
    assert RELEASE.main(["check", f"v{version}"], project) == 1
    assert "has no dated section" in capsys.readouterr().err
    assert RELEASE.main(["notes", "v0.0.9"], project) == 0
    assert capsys.readouterr().out == "### Fixed\n\n- Another.\n"
    assert RELEASE.main(["notes", "v0.0.8"], project) == 1
    assert RELEASE.main([], project) == 1
