"""What is released: the sdist, the metadata, the versions that files state, the recipe for conda, and the workflows."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path

import pytest
import yaml
from hatchling.build import prepare_metadata_for_build_wheel
from hatchling.builders.sdist import SdistBuilder
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENTATION = "https://unshaken.readthedocs.io"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BUILT = {"__pycache__", "_build", "_generated", "build", "dist", "runs"}


@pytest.fixture
def metadata(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    folder = prepare_metadata_for_build_wheel(str(tmp_path))
    return message_from_string((tmp_path / folder / "METADATA").read_text(encoding="utf-8"))


def project_files():
    """Files of the project: all but caches, what is built, and hidden folders other than these two."""
    for path in ROOT.rglob("*"):
        *folders, name = path.relative_to(ROOT).parts
        built = any(f in BUILT or f.endswith(".egg-info") for f in folders)
        hidden = any(f.startswith(".") and f not in {".ci", ".github"} for f in folders)
        built |= folders[:2] == ["docs", "papers"]  # copied there by the build of the documentation
        if not built and not hidden and path.is_file() and name not in {".git", "PKG-INFO"}:
            yield path.relative_to(ROOT).as_posix()


def test_the_sdist_has_every_file_of_the_project():
    """So its tests find what they read, and it has nothing that lies about in a checkout."""
    packed = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    packed = {path.replace("\\", "/") for path in packed} - {"PKG-INFO"}
    assert packed == set(project_files())


def test_no_two_files_differ_in_case_alone_and_every_name_can_be_on_windows():
    names = list(project_files())
    assert len({name.lower() for name in names}) == len(names)
    reserved = re.compile(r"[<>:\"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
    assert [name for name in names if any(reserved.search(part) for part in name.split("/"))] == []


def test_the_readme_has_no_relative_link_on_a_package_index(metadata):
    text = re.sub(r"^```.*?^```", "", metadata.get_payload(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    defined = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", text, re.MULTILINE))
    links = [*re.findall(r"\]\(([^)]+)\)", text), *defined.values()]
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    used = re.findall(r"\[([A-Za-z][^\]]*)\](?:\[([^\]]+)\]|(?![(:\[]))", re.sub(r"!?\[[^\]]*\]\([^)]*\)", "", text))
    assert {(name or words).lower() for words, name in used} == set(defined)


def test_the_links_of_the_readme_lead_to_pages(metadata):
    pages = re.findall(rf"{re.escape(DOCUMENTATION)}/en/latest/(\S+?)\.(html|png)", metadata.get_payload())
    assert len(pages) > 20
    docs = ROOT / "docs"
    for name, ending in pages:
        if ending == "html":
            assert (docs / f"{name}.md").exists(), name
        else:  # Sphinx copies a picture that a page shows
            picture = f"images/{name.removeprefix('_images/')}.png"
            assert (docs / picture).exists()
            assert f"({picture})" in (docs / "index.md").read_text(encoding="utf-8")


def test_the_urls_are_of_a_host_that_the_documentation_names(metadata):
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert set(urls) >= {"Homepage", "Documentation", "Changelog"}
    assert all(url.startswith(DOCUMENTATION) for url in urls.values())
    assert (ROOT / "docs" / "changelog.md").exists()


def test_the_recipe_for_conda_requires_what_the_package_does():
    recipe = yaml.safe_load((ROOT / "ci" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    names = {"torch": "pytorch", "duckdb": "python-duckdb"}
    needed = {f"{names.get(r.name, r.name)} {r.specifier}" for r in map(Requirement, PROJECT["dependencies"])}
    python = f"python {PROJECT['requires-python']}"
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert set(recipe["requirements"]["run"]) == {python, *needed}
    assert set(recipe["requirements"]["host"]) == {python, "pip", *(one.replace(">", " >", 1) for one in backend)}
    assert recipe["context"]["version"] == PROJECT["version"]
    (command,) = recipe["build"]["python"]["entry_points"]
    assert PROJECT["scripts"] == dict([command.split(" = ")])


def steps():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            for step in job["steps"]:
                yield f"{path.name}, {name}", step


def test_workflows_call_scripts_targets_and_tests_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    places, called = re.compile(r"(?<![\w./])((?:scripts|tests|\.ci)/[\w./-]+)"), set()
    for where, step in steps():
        assert ("run" in step) != ("uses" in step), where
        for line in step.get("run", "").splitlines():
            for path in places.findall(line):
                assert (ROOT / path).exists(), f"{where}: {path}"
            if make := re.match(r"make (.*)", line):
                words = {word for word in re.sub(r'\w+="[^"]*"', "", make[1]).split() if "=" not in word}
                assert words <= targets, where
                called |= words
    assert called >= {"package", "lint", "types"}


def test_no_workflow_puts_a_value_into_a_commands_text_or_lends_more_than_it_needs():
    assert [where for where, step in steps() if "${{" in step.get("run", "")] == []
    assert [where for where, step in steps() if not re.search(r"@(v\d+|release/v\d+)$", step.get("uses", "@v1"))] == []
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["permissions"] == {"contents": "read"}, path.name


def test_only_the_job_that_publishes_has_the_environment_of_the_index():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    assert [name for name, job in jobs.items() if "environment" in job] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["steps"][-1]["with"]["attestations"] is True
    assert [jobs[name]["needs"] for name in ("attest", "publish", "announce")] == ["build", "attest", "publish"]
    assert "scripts/release.py check" in str(jobs["build"]["steps"])


def test_sources_say_the_encoding_of_every_text_file():
    """Else it would be the system's, which on Windows is not UTF-8."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--preview", "--select", "PLW1514"]
    done = subprocess.run([*command, "src", "scripts"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


POSIX_ONLY = {
    "os": {"fork", "killpg", "pwrite", "pread", "getuid", "setsid", "uname", "O_CLOEXEC", "O_DIRECTORY", "waitid"},
    "signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "setitimer"},
}


def test_sources_use_what_windows_lacks_where_they_ask_for_the_system():
    asking = re.compile(r'sys\.platform [!=]= "win32"')
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        used = {f"{a}.{b}" for a, b in re.findall(r"\b(os|signal)\.(\w+)\b", text) if b in POSIX_ONLY[a]}
        assert not used or asking.search(text), (path, used)
