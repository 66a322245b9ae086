"""What the user named is taken along, and nothing around it; another machine finds it there."""

from __future__ import annotations

import importlib
import os
import sys
from types import SimpleNamespace

import pytest

from unshaken.core import user_code
from unshaken.core.errors import RunError, RunWarning
from unshaken.core.user_code import call_factory
from unshaken.run import code_bundle
from unshaken.run.code_bundle import bundle_code, use_bundle


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's folder with code in it, and what must stay there."""
    folder = tmp_path / "home"
    for file, text in {
        "net.py": "from helpers_of_net import WIDTH\ndef make():\n    return WIDTH\n",
        "helpers_of_net.py": "WIDTH = 7\n",
        "secret.txt": "a password",
        "photos/1.png": "a picture",
        "local_package/__init__.py": "",
        "local_package/deep/nets.py": "def make():\n    return 8\n",
        "local_package/.cache/large": "hidden",
        "local_package/__pycache__/nets.pyc": "compiled",
        "without_init/nets.py": "def make():\n    return 9\n",
    }.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(code_bundle, "plugins", lambda group: ())
    monkeypatch.setattr(user_code, "_copies", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def files_of(bundle):
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


OWN = ["py:net.py:make", "py:local_package.deep.nets:make", "py:without_init.nets:make"]
SPECS = [*OWN, "py:torchvision.models:resnet18"]


def make_all():
    """What the factories of this user's code make."""
    return [call_factory(*spec.removeprefix("py:").split(":"))[0] for spec in OWN]


def test_the_named_file_what_it_imports_and_named_packages_are_taken_along_alone(home, tmp_path):
    make_all()
    assert files_of(bundle_code(SPECS, tmp_path)) == [
        "files.json", "files/0/net.py", "modules/helpers_of_net.py", "modules/local_package/__init__.py",
        "modules/local_package/deep/nets.py", "modules/without_init/nets.py",
    ]  # fmt: skip


def test_a_machine_without_the_folder_finds_all_of_it(home, tmp_path):
    for spec in SPECS[:3]:
        call_factory(*spec.removeprefix("py:").split(":"))
    bundle_code(SPECS, tmp_path)
    for name in [
        name for name in sys.modules if name.startswith(("unshaken_user_net", "helpers_of", "local_p", "without"))
    ]:
        del sys.modules[name]
    home.rename(tmp_path / "elsewhere")
    os.chdir(tmp_path)
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    use_bundle(str(home))
    assert make_all() == [7, 8, 9]


@pytest.mark.parametrize(("same", "own"), [(True, True), (False, False)])
def test_a_file_that_is_there_is_used_if_it_is_the_same(home, tmp_path, same, own):
    """Its factory may read weights that lie beside it."""
    bundle_code(["py:net.py:make"], tmp_path)
    if not same:
        (home / "net.py").write_text("def make():\n    return 'an older one'\n")
    sys.path[:0] = [str(tmp_path), str(home)]
    importlib.invalidate_caches()
    use_bundle(str(home))
    made, source = call_factory("net.py", "make")
    assert made == 7
    assert (source.resolve() == home / "net.py") == own


def test_a_plug_in_that_is_installed_in_place_is_found_by_its_entry_points(home, tmp_path, monkeypatch):
    text = {"METADATA": "Metadata-Version: 2.1\nName: my-plugin\nVersion: 1.0\n"}
    text["entry_points.txt"] = "[unshaken.methods]\nmine = local_package\n"
    dist = SimpleNamespace(name="my-plugin", version="1.0", read_text=text.get)
    plugin = SimpleNamespace(module="local_package", dist=dist)
    monkeypatch.setattr(code_bundle, "plugins", lambda group: (plugin,) if group == "unshaken.methods" else ())
    sys.path.insert(0, str(home))
    bundle_code([], tmp_path)
    sys.path.remove(str(home))
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    use_bundle(str(home))
    found = importlib.metadata.entry_points(group="unshaken.methods", name="mine")
    assert [entry.value for entry in found] == ["local_package"]


def test_nothing_is_taken_along_where_nothing_local_is_named(home, tmp_path):
    specs = ["py:torchvision.models:resnet18", "py:__main__:make", "py:gone.py:make", "py:./gone:make", "py:gone:make"]
    assert bundle_code(specs, tmp_path) is None
    assert list(tmp_path.glob(code_bundle.BUNDLE)) == []


def test_large_code_is_said_and_very_large_code_refused(home, tmp_path, monkeypatch):
    (home / "local_package" / "weights.bin").write_bytes(bytes(2_000_000))
    sys.path.insert(0, str(home))
    monkeypatch.setattr(code_bundle, "LARGE", 1_000_000)
    with pytest.warns(RunWarning, match=r"need has 2 MB, 2 of them in .*local_package; it is copied to every node"):
        bundle_code(["py:local_package.deep.nets:make"], tmp_path)
    monkeypatch.setattr(code_bundle, "MOST", 1_500_000)
    with pytest.raises(RunError, match=r"2 MB, .*local_package; at most 2 MB are taken along: keep data out"):
        bundle_code(["py:local_package.deep.nets:make"], tmp_path)
