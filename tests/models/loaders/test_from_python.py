"""`py:` runs a user's file, and says in one line when that goes wrong."""

import subprocess
import sys

import pytest
import torch

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.models import fingerprint, load_model

SOURCE = """
from torch import nn
from beside import WIDTH
from unshaken.core.classifier import Classifier

NUMBER = 3

class Scale(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :3] * 2

def make():
    return Scale()

def ready():
    return Classifier(Scale(), mean=[0.5], std=[0.25], classes=["a", "b", "c"], name="mine")

def breaks():
    raise ValueError("no such width\\nsecond line")

def number():
    return 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside.py").write_text("WIDTH = 4\n")
    (tmp_path / "net.py").write_text(SOURCE)
    return tmp_path / "net.py"


def test_a_file_and_what_lies_beside_it(file, images):
    classifier = load_model(f"py:{file}:make")
    assert torch.equal(classifier(images), images.flatten(1)[:, :3] * 2)
    assert classifier.view is None


def test_options_normalise(file, images):
    classifier = load_model(f"py:{file}:make?mean=0.5&std=0.25")
    assert torch.allclose(classifier(images), (images - 0.5).flatten(1)[:, :3] * 8)


def test_a_dotted_module(file, monkeypatch, images):
    monkeypatch.delitem(sys.modules, "net", raising=False)
    monkeypatch.syspath_prepend(str(file.parent))
    assert torch.equal(load_model("py:net:make")(images), images.flatten(1)[:, :3] * 2)


def test_a_classifier_is_kept(file, images):
    classifier = load_model(f"py:{file}:ready")
    assert isinstance(classifier, Classifier)
    assert (classifier.name, classifier.classes) == ("mine", ("a", "b", "c"))
    assert torch.allclose(classifier(images), (images - 0.5).flatten(1)[:, :3] * 8)


def test_a_changed_file_is_another_model(file):
    before = fingerprint(load_model(f"py:{file}:make"))
    assert fingerprint(load_model(f"py:{file}:make")) == before
    file.write_text(SOURCE.replace("* 2", "* 3"))
    assert fingerprint(load_model(f"py:{file}:make")) != before


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (":maker", "no callable 'maker' in '.*'; did you mean 'make'?"),
        (":NUMBER", "no callable 'NUMBER'"),
        (":breaks", "the factory raised ValueError: no such width$"),
        (":number", "the factory returned a int, not an nn.Module"),
    ],
)
def test_a_wrong_factory(file, tail, message):
    with pytest.raises(ModelError, match=message):
        load_model(f"py:{file}{tail}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package_here", "importing it failed: No module named 'no_such_package_here'"),
        ("def make(:", "importing it raised SyntaxError"),
        ("1 / 0", "importing it raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_does_not_import(tmp_path, source, message):
    (tmp_path / "net.py").write_text(source)
    with pytest.raises(ModelError, match=message):
        load_model(f"py:{tmp_path}/net.py:make")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("py:no_such_module.inner:make", "no module 'no_such_module.inner' on the Python path"),
        ("py:/no/such/net.py:make", "no file '/no/such/net.py'"),
    ],
)
def test_nothing_there(text, message):
    with pytest.raises(ModelError, match=message):
        load_model(text)


def test_the_working_folder_serves_the_users_module_alone(tmp_path):
    """`python -m unshaken` beside a file `timm.py`: the program does not run it; the user's own module may be there."""
    (tmp_path / "timm.py").write_text("raise SystemExit('timm.py of the working folder was run')\n")
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\ndef build():\n    import helper\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    (tmp_path / "helper.py").write_text("")
    specs = ["py:own:build", "py:own.py:build"]
    code = (
        "import sys, runpy; sys.path[0] = ''; sys.argv = ['unshaken', 'list', '--help']\n"
        "try: runpy.run_module('unshaken', run_name='__main__', alter_sys=True)\n"
        "except SystemExit: pass\n"
        "from pathlib import Path\n"
        "assert not any(p == '' or Path(p) == Path.cwd() for p in sys.path), sys.path\n"
        "from importlib.util import find_spec\n"
        "assert Path(find_spec('timm').origin).parent != Path.cwd()\n"
        "from unshaken.models import load_model\n"
        f"for spec in {specs!r}:\n"
        "    print(load_model(spec).name)\n"
        "    del sys.modules['helper']; sys.modules.pop('own', None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-2:] == specs, done.stderr
