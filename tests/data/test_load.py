"""The door, and the embedded sample."""

from pathlib import Path

import numpy as np
import pytest
import torch

from unshaken.core.consent import call
from unshaken.core.errors import DataError, ModelError
from unshaken.data import load_data
from unshaken.data.load import DEMO
from unshaken.data.viewpoint.object_set import ObjectSet

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def test_the_demo_is_balanced_small_and_named():
    data = load_data("demo")
    assert len(data) == 1000
    assert np.bincount(data.labels).tolist() == [100] * 10
    assert data.classes[:2] == ("T-shirt/top", "Trouser")
    assert DEMO.stat().st_size < 700_000
    assert "MIT License" in (DEMO.parent / "README.md").read_text()
    assert load_data("demo?size=32&mode=RGB").read(0).shape == (32, 32, 3)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is absent")
def test_the_demo_is_the_first_hundred_of_each_class():
    data, whole = load_data("demo"), load_data(f"idx:{DEBIAN}")
    places = [int(i.removeprefix("t10k/")) for i in data.ids]
    assert places == sorted(places)
    assert (whole.labels[places] == data.labels).all()
    for k in range(10):
        assert sorted(np.array(places)[data.labels == k]) == np.flatnonzero(whole.labels == k)[:100].tolist()
    for i in range(0, 1000, 7):
        assert (data.read(i) == whole.read(places[i])).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "neither a named set nor of the form kind:target"),
        ("cifar-10", "did you mean 'cifar10'"),
        ("foldr:x", "unknown kind 'foldr'; did you mean 'folder'"),
        ("folder:", "names no folder"),
        ("demo?split=test", "no split 'test'; known: first, second"),
        ("demo?classes=x", "has no option 'classes'"),
        ("idx:x?classes=y", "has no option 'classes'"),
    ],
)
def test_a_wrong_spec_is_refused(spec, message):
    with pytest.raises(DataError, match=message) as error:
        load_data(spec)
    assert "\n" not in str(error.value)


def test_a_bare_path_is_told_how_to_be_named(tmp_path):
    with pytest.raises(DataError, match=f"is a path; say what it is: folder:{tmp_path}"):
        load_data(str(tmp_path))


OBJECTS = """
import numpy as np
import torch
from unshaken.data.spec import Options
from unshaken.data.viewpoint.object_set import ObjectSet


class Slabs(ObjectSet):
    def render(self, index, views):
        side = self.options.size
        grey = (views[:, 1] + 100 * index).to(torch.uint8)
        return grey[:, None, None, None].expand(-1, side, side, 3).contiguous()

    def content(self):
        return ["slabs"]


def build():
    return Slabs(ids=["a", "b"], labels=np.array([0, 1]), classes=["x", "y"], root="slabs",
                 options=Options(spec="slabs", size=6))


def wrong():
    return [1, 2]
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "slabs.py").write_text(OBJECTS)
    return f"py:{tmp_path}/slabs.py"


def test_objects_with_a_renderer_of_the_users_own(place):
    data = load_data(f"{place}:build")
    assert isinstance(data, ObjectSet)
    assert data.options.spec == f"{place}:build"
    assert data.read(1).shape == (6, 6, 3)
    assert int(data.read(1)[0, 0, 0]) == 130  # seen from 30 degrees
    seen = load_data(f"{place}:build?size=4&mode=L").images(0, torch.tensor([[0.0, 51, 0, 4, 0, 0]]))
    assert seen.shape == (1, 1, 4, 4)
    assert seen[0, 0, 0, 0] == pytest.approx(0.2)


def test_what_is_no_data_set_or_was_not_named_is_refused(place):
    with pytest.raises(DataError, match="the factory returned a list, not an unshaken Dataset"):
        load_data(f"{place}:wrong")
    with pytest.raises(DataError, match="write py:FILE_OR_MODULE:FACTORY"):
        load_data("py:slabs.py")
    with pytest.raises(ModelError, match=r"no callable 'biuld' in .*build"):
        load_data(f"{place}:biuld")
    with call("demo"), pytest.raises(ModelError, match="names the code"):
        load_data(f"{place}:build")
    with call(f"{place}:build?size=4"):
        assert len(load_data(f"{place}:build?size=4")) == 2


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("folder:{0}/phtos", "did you mean '{0}/photos'?"),
        ("folder:{0}/phtos/cat", "did you mean '{0}/photos/cat'?"),
        ("parquet:{0}/tabel.parquet", "did you mean '{0}/table.parquet'?"),
        ("coco:{0}/boxes.jso", "did you mean '{0}/boxes.json'?"),
        ("{0}/phtos", "did you mean 'folder:{0}/photos'?"),
        ("{0}/photos", "say what it is: folder:{0}/photos"),
        ("{0}/boxes.json", "say what it is: coco:{0}/boxes.json"),
        ("{0}/net.py", "say what it is: py:{0}/net.py:FACTORY"),
        ("{0}/words.txt", "is a file of a form that is not read: give folder:DIR, or a file: parquet:FILE.parquet, "),
        ("foldr:{0}/photos", "unknown kind 'foldr'; did you mean 'folder'?"),
        ("https://example.org/photos.zip", "is an address, and data is read from this machine"),
    ],
)
def test_a_path_or_a_kind_that_is_a_little_wrong_is_answered_with_the_right_one(tmp_path, spec, words):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for name in ("table.parquet", "boxes.json", "net.py", "words.txt"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as caught:
        load_data(spec.format(tmp_path))
    assert words.format(tmp_path) in str(caught.value)


def test_a_path_that_resembles_nothing_is_only_absent(tmp_path):
    with pytest.raises(DataError) as caught:
        load_data(f"folder:{tmp_path}/qqq")
    assert str(caught.value).endswith("No such file or directory")
