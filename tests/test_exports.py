"""The public names, pinned: adding one is a line of a diff."""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import list_exports

sys.path.pop(0)


def test_public_names_are_those_of_the_list():
    pinned = list_exports.FILE.read_text(encoding="utf-8")
    assert list_exports.exports() == pinned, "run scripts/list_exports.py, and read the diff"
    for line in pinned.splitlines():
        if not line.startswith(" "):
            package = importlib.import_module(line)
        assert not line.startswith(" ") or hasattr(package, line.strip())


def test_a_room_is_called_as_its_verb(tmp_path):
    import unshaken

    result = unshaken.attack("demo:standard", "demo", "fgsm", eps="8/255", limit=10, out=tmp_path / "run")
    assert result.summary["conditions"][0]["method"] == "fgsm"
