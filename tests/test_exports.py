"""The public names, pinned: adding one is a line of a diff."""

import importlib
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import list_exports
import pytest

sys.path.pop(0)


def test_public_names_are_those_of_the_list():
    pinned = list_exports.FILE.read_text(encoding="utf-8")
    assert list_exports.exports() == pinned, "run scripts/list_exports.py, and read the diff"
    for line in pinned.splitlines():
        if not line.startswith(" "):
            package = importlib.import_module(line)
        assert not line.startswith(" ") or hasattr(package, line.strip())


def test_type_checkers_know_the_names_of_rooms_and_a_page_those_of_commands():
    for file, text in {list_exports.NAMES: list_exports.names_page(), **list_exports.stubs()}.items():
        assert file.read_text(encoding="utf-8") == text, "run scripts/list_exports.py"


def test_a_room_is_called_as_its_verb(tmp_path):
    import unshaken

    result = unshaken.attack("demo:standard", "demo", "fgsm", eps="8/255", limit=10, out=tmp_path / "run")
    assert result.summary["conditions"][0]["method"] == "fgsm"


def test_every_room_and_its_verbs_are_there_after_one_import():
    """In a process of its own: here, something has imported them."""
    rooms = ["data", "stress", "report", "models", "measure", "tasks", "run", "core", "store", "callbacks", "testing"]
    verbs = {
        "labels.find_labels": "find_labels",
        "labels.estimate_wrong": "estimate_wrong",
        "generate.fit": "fit_generator",
        "generate.sample": "sample_generator",
        "generate.dataset": "generate_set",
        "generate.measure": "measure_generated",
        "generate.scaling": "measure_scaling",
        "generate.texture": "make_texture",
        "find_labels": "find_labels",
    }
    program = (
        f"import operator, unshaken; [print(operator.attrgetter(n)(unshaken).__name__) for n in {[*rooms, *verbs]}]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*(f"unshaken.{name}" for name in rooms), *verbs.values()]


def test_another_name_of_the_package_is_refused():
    import unshaken

    for name in ("lables", "__main__", "_private"):
        with pytest.raises(AttributeError, match=f"module 'unshaken' has no attribute '{name}'"):
            getattr(unshaken, name)
    assert {"data", "find_labels", "stress"} <= set(dir(unshaken))
