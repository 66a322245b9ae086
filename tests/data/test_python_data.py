"""`py:` as data: objects with a renderer of the user's, and what is refused."""

import pytest
import torch

from unshaken.core.consent import call
from unshaken.core.errors import DataError, ModelError
from unshaken.data import load_data
from unshaken.data.viewpoint.object_set import ObjectSet

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
