"""What recipes name beside model and data belongs to a run: a resumption with other content is refused."""

from __future__ import annotations

import json

import pytest
from PIL import Image

import unshaken
from unshaken.core.errors import RunError
from unshaken.core.registry import find_method, parse_method
from unshaken.data.arrays import InMemory
from unshaken.harden.engine.further import further_content

FEW = {"epochs": 1, "batch_size": 20, "check_images": 8}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (40, 40), (200, 30, 90)).save(folder / "a.png")
    return folder


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ("natra-training:generator=g.st,directions=d.st", (("g.st", "d.st"), (), ())),
        ("natra-training:generator=diffusers:ddpm", (("ddpm",), (), ())),
        ("natra-training:generator=py:gan.py:make", ((), ("py:gan.py:make",), ())),
        ("natra-training", ((), (), ())),
        ("viat:objects=solids:2", ((), (), ("solids:2",))),
        ("viat", ((), (), ())),
        ("pixmix:pictures=fractals", (("fractals",), (), ())),
        ("pixmix", ((), (), ())),
        ("distillation:teacher=demo:robust", ((), ("demo:robust",), ())),
        ("three-heads:teacher=demo:robust", ((), ("demo:robust",), ())),
        ("mae:target=features,teacher=demo,layer=body,features=3", ((), ("demo",), ())),
        ("mixing-network:robust=demo:robust%26x", ((), ("demo:robust&x",), ())),
    ],
)
def test_recipes_say_what_they_name(recipe, named):
    made = parse_method(recipe, "harden")
    assert (made.further_files, made.further_models, made.further_data) == named


def test_each_kind_has_a_fingerprint(pictures):
    recipes = [
        find_method("pixmix", "harden").cls(pictures=str(pictures)),
        find_method("viat", "harden").cls(objects="solids:1"),
        find_method("distillation", "harden").cls(teacher="demo:robust"),
        find_method("natra-training", "harden").cls(generator="absent.st"),
    ]
    found = further_content(recipes)
    assert set(found) == {str(pictures), "solids:1", "demo:robust"}
    assert found["solids:1"] == unshaken.load_data("solids:1").fingerprint


def test_a_resumption_with_other_content_is_refused(photos, pictures, tmp_path):
    data = InMemory(photos[0][:60], photos[1][:60], classes=[str(i) for i in range(10)])
    where = {"out": tmp_path / "run", **FEW}
    unshaken.harden("small", data, f"pixmix:pictures={pictures}", **where)
    unshaken.harden("small", data, f"pixmix:pictures={pictures}", resume=True, **where)
    Image.new("RGB", (40, 40), (20, 130, 90)).save(pictures / "b.png")
    with pytest.raises(RunError, match=r"\(further: the content of '.*pictures' is another one\)"):
        unshaken.harden("small", data, f"pixmix:pictures={pictures}", resume=True, **where)
    record = json.loads((tmp_path / "run" / "harden.json").read_text())
    del record["further"]  # as earlier versions wrote it
    (tmp_path / "run" / "harden.json").write_text(json.dumps(record))
    unshaken.harden("small", data, f"pixmix:pictures={pictures}", resume=True, **where)
