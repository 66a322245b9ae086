"""The door, and the embedded sample."""

from pathlib import Path

import numpy as np
import pytest

from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.load import DEMO

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
        ("demo?split=test", "has no option 'split'"),
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
