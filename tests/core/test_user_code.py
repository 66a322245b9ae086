"""The user's factories: of a file, of a module in the working folder, and what goes wrong with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import unshaken_start
from unshaken.core.errors import DataError, ModelError, UnshakenError
from unshaken.core.user_code import call_factory, is_raised_by_code, refuse_exit


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder; the paths of imports stay as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    before = list(sys.path)
    yield tmp_path
    assert sys.path == before
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_factory_of_a_file_finds_the_files_beside_it(folder):
    (folder / "inner").mkdir()
    (folder / "inner/beside_my_net.py").write_text("VALUE = 7")
    net = folder / "inner/my_net.py"
    net.write_text("import beside_my_net\nclass Net: value = beside_my_net.VALUE\ndef make(): return Net()")
    made, source = call_factory("inner/my_net.py", "make")
    assert made.value == 7
    assert source.resolve() == net
    assert sys.modules[type(made).__module__].Net is type(made)  # pickles find it there
    other = folder / "my_net.py"
    other.write_text("def make(): return 1")
    assert call_factory("my_net.py", "make")[0] == 1  # the same name in another folder is another module
    assert call_factory(str(net), "make")[0].value == 7


def test_a_factory_of_a_module_in_the_working_folder(folder, monkeypatch):
    (folder / "my_net_module.py").write_text("def make(): return 'made'")
    assert call_factory("my_net_module", "make") == ("made", folder / "my_net_module.py")
    assert call_factory("builtins", "dict") == ({}, None)


@pytest.mark.parametrize("present", ["", "folder"])
def test_a_working_folder_among_the_paths_stays_there(folder, monkeypatch, present):
    name, paths = f"my_net_{present or 'here'}", [*sys.path, present and str(folder)]
    (folder / f"{name}.py").write_text("import sys\nfound = list(sys.path)\ndef make(): return found")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", list(paths))
        assert call_factory(name, "make")[0] == paths
        assert sys.path == paths


def test_a_factory_may_take_the_folder_out_itself(folder):
    (folder / "my_net_out.py").write_text(f"import sys\ndef make(): sys.path.remove({str(folder)!r})")
    assert call_factory("my_net_out", "make")[0] is None


@pytest.mark.parametrize(
    ("body", "factory", "why"),
    [
        ("def build(): pass\ndef _built(): pass", "biuld", "no callable 'biuld' in .*; did you mean 'build'\\?$"),
        ("def build(): pass\nvalue = 1", "value", "no callable 'value' in .*; known: build$"),
        ("def build(): raise KeyError('x')", "build", "the factory raised KeyError: 'x'$"),
        ("import no_such_module_at_all", "build", "importing it failed: No module named 'no_such_module_at_all'$"),
        ("raise ValueError('bad')", "build", "importing it raised ValueError: bad$"),
        ("def (", "build", "importing it raised SyntaxError: "),
    ],
)
def test_what_goes_wrong_is_one_line(folder, body, factory, why):
    for place in ("my_bad_net.py", "my_bad_net"):
        (folder / "my_bad_net.py").write_text(body)
        with pytest.raises(ModelError, match=f"^py:{place}:{factory}: {why}"):
            call_factory(place, factory)
    kept = any(name.startswith("unshaken_user_my_bad_net") for name in sys.modules)
    assert kept is not why.startswith("importing")


def test_a_factorys_own_refusal_passes(folder):
    (folder / "my_own.py").write_text(
        "from unshaken.core.errors import DataError\ndef make(): raise DataError('no images')"
    )
    with pytest.raises(DataError, match=r"^no images$"):
        call_factory("my_own.py", "make")


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("absent.py", "no file 'absent.py'"),
        ("inner/absent", "no file 'inner/absent'"),
        ("absent_module_of_mine", "no module 'absent_module_of_mine' on the Python path; for a file write its"),
        ("absent_package_of_mine.net", "no module 'absent_package_of_mine.net' on the Python path"),
        ("./net.txt", "importing it raised ImportError: net.txt is not Python source"),
    ],
)
def test_places_that_are_none(folder, place, why):
    (folder / "net.txt").write_text("x")
    with pytest.raises(ModelError) as caught:
        call_factory(place, "make")
    assert str(caught.value).startswith(f"py:{place}:make: {why}")


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), type("Mine", (BaseException,), {})()])
def test_what_would_end_the_process_is_an_error_that_names_the_place(error):
    with pytest.raises(UnshakenError, match=r"test_user_code\.py, line \d+, in test_what_would_end"), refuse_exit():
        raise error


def test_errors_and_ctrl_c_pass():
    for error in (ValueError("x"), ModelError("y"), KeyboardInterrupt()):
        with pytest.raises(type(error)), refuse_exit():
            raise error
    with pytest.raises(UnshakenError, match="KeyboardInterrupt"), refuse_exit(interrupts=True):
        raise KeyboardInterrupt


def test_ctrl_c_is_told_from_a_statement_that_raises_its_exception():
    with pytest.raises(KeyboardInterrupt) as raised:
        raise KeyboardInterrupt
    assert is_raised_by_code(raised.value)
    with pytest.raises(KeyboardInterrupt) as pressed:
        signal.raise_signal(signal.SIGINT)
    assert not is_raised_by_code(pressed.value)
    previous = signal.signal(signal.SIGINT, unshaken_start._interrupt)  # as the installed program sets it
    try:
        with pytest.raises(KeyboardInterrupt) as of_program:
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert not is_raised_by_code(of_program.value)
    with pytest.raises(KeyboardInterrupt) as passed_on:
        press_and_pass_on()
    assert not is_raised_by_code(passed_on.value)


def press_and_pass_on():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise


def test_its_own_frames_are_known_where_it_was_installed_through_a_link(tmp_path):
    (tmp_path / "linked").symlink_to(Path(unshaken_start.__file__).parent, target_is_directory=True)
    code = (
        "import signal, unshaken_start\n"
        "from unshaken.core.user_code import is_raised_by_code\n"
        "signal.signal(signal.SIGINT, unshaken_start._interrupt)\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt as pressed:\n    print(is_raised_by_code(pressed))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "linked")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "False\n"
