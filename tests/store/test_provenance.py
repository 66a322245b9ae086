"""What a run says of its code and its machine."""

from __future__ import annotations

import subprocess

import pytest
import torch

from unshaken.store.provenance import commit_of, provenance

GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]


def git(folder, *words):
    return subprocess.run([*GIT, *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def package(tmp_path):
    found = tmp_path / "src" / "unshaken"
    found.mkdir(parents=True)
    (found / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return found


def test_names_what_decides_figures():
    found = provenance()
    assert {"unshaken", "python", "torch", "processor", "threads"} <= found.keys()
    assert found["processor"].endswith(torch.backends.cpu.get_cpu_capability())
    assert len(found["processor"]) > len(torch.backends.cpu.get_cpu_capability()) + 2


def test_a_checkout_gives_its_commit_and_says_where_files_differ(package, tmp_path):
    git(tmp_path, "tag", "-am", "v1", "v1")  # a tag must not stand in the place of the commit
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of(package) == commit
    (package / "__init__.py").write_text("changed = 1\n")
    assert commit_of(package) == f"{commit}-dirty"


def test_a_package_in_another_projects_folder_has_no_commit(package, tmp_path):
    installed = tmp_path / ".venv" / "site-packages" / "unshaken"
    installed.mkdir(parents=True)
    assert commit_of(installed) == ""
    assert commit_of(tmp_path.parent / "elsewhere" / "src" / "unshaken") == ""
