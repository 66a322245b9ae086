"""Names are checked before anything heavy is imported, with the message of the function that looks them up later."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

import pytest

from unshaken.cli.names import check_data, check_gate, check_method, check_model, check_plan, check_start
from unshaken.core.device import find_device
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.core.options import check_device
from unshaken.core.registry import find_method, list_methods, list_records, parse_method
from unshaken.core.sources import networks_of
from unshaken.data import load_data
from unshaken.data.spec import FILES, FOLDERS
from unshaken.models import load_model
from unshaken.models.loaders.kinds import find_kind
from unshaken.report import Gate
from unshaken.run import load_plan

WRONG = (
    "audit --nosuch 1",
    "audit --limit x",
    "audit --plan atacks",
    "audit --model tochvision:resnet18",
    "audit --data floder:x",
    "audit --data folder:absent",
    "audit --data nope",
    "audit --data parquet:absent.parquet",
    "audit --model demo:nope",
    "audit --model imagenet:nope",
    "audit --model torchvision:resnte18",
    "audit --model weights:absent.pt?arch=small",
    "audit --model py:absent.py:make",
    "audit --gate wrong",
    "audit --gate clean.accuray>=0.9",
    "merge a b --out c --gate wrong",
    "evaluate few-shot --gate wrong",
    "audit --out /dev/null",
    "audit --device cdua",
    "audit --device cuda:x",
    "audit --precision fp33",
    "audit --on-error sotp",
    "audit --engine rya",
    "audit --part 3/2",
    "audit --share",
    "attack --model demo --data demo --method pgdd",
    "attack --model demo --data demo --method pgd:stepz=3",
    "attack --model demo --data demo --method pgd:steps",
    "attack --model demo --data demo --defence denoize",
    "certify --model demo --data demo --method smoothin",
    "certify --model demo --data demo --method smoothing:sgima=1",
    "corrupt --data demo --out /dev/null",
    "corrupt --data demo --out x --method fogg",
    "detect fit --model demo --data demo --method knnn --out x",
    "detect mark --data demo --method dctt --out x",
    "detect score --model demo --data demo --detectors x --attack pgdd",
    "explain gradcm",
    "explain gradcam --metric deletoin",
    "explain gradcam --engine rya",
    "explain gradcam --device cdua",
    "fool --model demo --device cdua",
    "generate fit --data demo --method edmm --out x",
    "harden --model small --data demo --method tradez",
    "harden --model small --data demo --method trades:bta=1",
    "harden --model small --data floder:x",
    "harden --model tochvision:resnet18 --data demo",
    "harden --model demo:strong --data demo",
    "harden --model small --data demo --device cdua",
    "labels find --data demo --method confident-lerning",
    "labels find --data demo --device cdua",
    "labels train --data demo --method elrr",
    "list atack",
    "doctor --device cdua",
)
RIGHT = (
    "--help",
    "audit --help",
    "harden --help",
    "papers --help",
    "--version",
    "list attack",
    "list --json",
    "list -q",
)
HEAVY = {
    "torch", "torchvision", "numpy", "scipy", "pyarrow", "duckdb", "pandas", "sklearn", "matplotlib", "fastapi",
    "sympy", "jinja2", "PIL",
}  # fmt: skip
PROGRAM = """
import io, json, os, sys

given = json.load(sys.stdin)
for name in given["first"]:
    __import__(name)
from unshaken.cli.app import build_command, main

build_command()
for case in given["cases"]:
    out, into = os.pipe()
    if os.fork() == 0:
        sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
        code = exec(case, {}) if given["python"] else main(case.split())
        report = [code, sys.stderr.getvalue().count(chr(10)), [name for name in given["heavy"] if name in sys.modules]]
        os.write(into, json.dumps(report).encode())
        os._exit(0)
    os.close(into)
    with open(out) as file:
        print(file.read() or "[]", flush=True)
    os.wait()
"""
"""Each case in a process of its own, forked from one that has imported the command line: its code and its imports."""


def started(cases, *, python=False, first=(), heavy=HEAVY):
    given = {"cases": list(cases), "python": python, "first": list(first), "heavy": sorted(heavy)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(cases, map(json.loads, done.stdout.splitlines()), strict=True))


def test_wrong_use_is_refused_without_torch():
    assert started(WRONG, first=["unshaken.core.registry", "unshaken.api.options"]) == {
        line: [2, 1, []] for line in WRONG
    }


def test_help_and_lists_import_no_method():
    assert started(RIGHT) == {line: [0, 0, []] for line in RIGHT}


def test_a_first_call_from_python_imports_what_it_uses():
    """Not what another verb uses: each of these packages takes a fifth of a second or more."""
    others = {"torchvision", "scipy.stats", "scipy.optimize", "duckdb", "sklearn", "matplotlib", "fastapi", "sympy"}
    call = "import unshaken; unshaken.attack('demo', 'demo', 'fgsm', limit=2, eps=0.1, save_examples=0, out='{}')"
    with tempfile.TemporaryDirectory() as folder:
        attack = call.format(f"{folder}/run")
        cases = ("from unshaken.attack import PGD", attack)
        found = started(cases, python=True, first=["torch"], heavy=others | {"scipy", "pyarrow", "pydantic"})
    assert found == {cases[0]: [None, 0, ["pydantic"]], attack: [None, 0, ["pyarrow", "pydantic", "scipy"]]}


def test_an_attack_without_a_directory_imports_nothing_of_pages():
    """What `pyarrow` and `torch` import by themselves, pandas where it is installed, is theirs."""
    others = {"torchvision", "scipy.stats", "scipy.optimize", "scipy.spatial", "jinja2", "duckdb", "fastapi"}
    ours = {"unshaken.report.pages", "unshaken.report.render.html", "unshaken.explain", "unshaken.report.effective"}
    call = "import unshaken; unshaken.attack('demo', 'demo', 'fgsm', limit=2, eps=0.1).accuracy()"
    assert started((call,), python=True, first=["torch"], heavy=others | ours) == {call: [None, 0, []]}


@pytest.mark.parametrize(
    ("check", "find", "text", "kind"),
    [
        (check_plan, load_plan, "atacks", ParameterError),
        (check_model, find_kind, "tochvision", ParameterError),
        (check_data, load_data, "floder:x", DataError),
        *((check_data, load_data, f"{kind}:absent", DataError) for kind in (*FOLDERS, *FILES)),
        (check_data, load_data, "nope", DataError),
        (check_data, load_data, "cifar11", DataError),
        (check_data, load_data, "pyproject.toml", DataError),
        (check_model, load_model, "demo:strong", ParameterError),
        (check_model, load_model, "imagenet:efficientnet-lite9", ParameterError),
        (check_model, load_model, "torchvision:resnte18", ParameterError),
        (check_model, load_model, "torchvision:no", ParameterError),
        (check_model, load_model, "weights:absent.pt?arch=small", ModelError),
        (check_model, load_model, "py:absent.py:make?mean=0", ModelError),
        (check_gate, Gate.parse, "clean.acuracy >= 0.9", ParameterError),
        (check_method("attack"), lambda name: find_method(name, "attack"), "pgdd", ParameterError),
        (check_method("attack"), lambda text: parse_method(text, "attack"), "pgd:stepz=3", ParameterError),
        (check_method("harden"), lambda text: parse_method(text, "harden"), "tract:rigde=3", ParameterError),
        (check_device, find_device, "cdua", ModelError),
    ],
)
def test_the_message_is_that_of_the_function_that_finds(check, find, text, kind):
    with pytest.raises(kind) as early:
        check(text)
    with pytest.raises(kind) as late:
        find(text)
    assert str(early.value) == str(late.value)


def test_every_name_is_taken():
    for method in list_methods():
        values = ",".join(f"{name}=1" for name in method.cls.model_fields)
        check_method(method.room)(f"{method.name}:{values}" if values else method.name)
    for text in ("demo", "demo:standard", "py:net:build", "torchvision:resnet18?weights=none"):
        assert check_model(text) == text
    for text in ("small", "new:torchvision:resnet18", "weights", "demo"):
        assert check_start(text) == text
    for text in ("demo", "demo?size=8", "cifar10", "coco:x", "mix:demo+demo@1"):
        assert check_data(text) == text
    assert check_plan("quick") + check_plan("my.yaml") == "quickmy.yaml"


def test_a_parameter_that_the_written_list_lacks_is_taken_where_the_file_has_it(monkeypatch):
    written = [{**one, "parameters": {}} for one in list_records("attack")]
    monkeypatch.setattr("unshaken.core.registry.list_records", lambda room: written)
    assert check_method("attack")("pgd:steps=3") == "pgd:steps=3"
    with pytest.raises(ParameterError, match="no parameter 'stepz'"):
        check_method("attack")("pgd:stepz=3")


def test_networks_of_a_library_are_those_that_it_lists(monkeypatch):
    models = pytest.importorskip("torchvision.models")
    assert list(networks_of("torchvision")) == models.list_models(module=models)
    assert list(networks_of("torchvision", "models/detection")) == models.list_models(module=models.detection)
    assert networks_of("torchvision_of_another_planet") == ()
    monkeypatch.setattr("unshaken.cli.names.networks_of", lambda package, folder="models": ())
    assert check_model("torchvision:anything") == "torchvision:anything"  # absent, or written otherwise


def test_names_are_listed_without_an_import(unshaken):
    for room in ("attack", "certify", "detect"):
        known = {method.name for method in list_methods(room) if method.tags.get("group") != "fooling"}
        assert unshaken(f"list {room} -q").out.split() == sorted(known)
