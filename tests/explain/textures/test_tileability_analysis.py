"""The analysis of textures: rows against the functions, networks, its page, and textures that say nothing."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image
from torch import nn

import unshaken
from unshaken.core import Classifier
from unshaken.core.classifier import View
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.textures.seams import border_energy, seam_fault, seam_ratios
from unshaken.explain.textures.tileability import Tileability, tile_score

WAVE = ((torch.arange(16) * 2 * math.pi / 16 + 1.07).sin() * 100 + 128).round()
RAMP = torch.linspace(0, 240, 16).round()
IMAGES = torch.stack([WAVE.expand(1, 16, 16), RAMP.expand(1, 16, 16), torch.full((1, 16, 16), 77.0)]).byte()
NAMES = ("wave", "ramp", "flat")


def subject(images=IMAGES, names=NAMES, **options):
    return Subject(dataset=InMemory(images, None, ids=names), indices=range(len(images)), **options)


class SeamJudge(nn.Module):
    """It says "tileable" where the smooth part has little energy."""

    def forward(self, images):
        z = 10 - 40 * border_energy(images)
        return torch.stack([torch.zeros_like(z), z], 1)


def folder(place, **sizes):
    place.mkdir()
    for name, (height, width) in sizes.items():
        pixels = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(height))
        Image.fromarray(pixels.byte().numpy()).save(place / f"{name}.png")
    return f"folder:{place}"


def test_rows_are_what_the_functions_say():
    found, pixels = Tileability().find(subject()), IMAGES.float() / 255
    assert found.rows["id"] == list(NAMES)
    seams = torch.tensor([found.rows["horizontal_seam"], found.rows["vertical_seam"]]).T
    assert torch.allclose(seams, seam_ratios(pixels))
    assert found.rows["seam_fault"] == pytest.approx(seam_fault(pixels).tolist())
    assert found.rows["border_energy"] == pytest.approx(border_energy(pixels).tolist())
    assert found.rows["tile_score"] == [None] * 3
    assert found.rows["contrast"][2] == 0
    assert found.forwards == 0


def test_the_share_that_tiles_and_textures_of_one_colour():
    found = Tileability().find(subject())
    assert found.figures["tiles_by_seam_ratio"].value == pytest.approx(2 / 3)
    assert found.remarks == ("1 of 3 textures are of one colour: they tile, whatever they show.",)
    assert Tileability(ratio=100).find(subject()).figures["tiles_by_seam_ratio"].value == 1
    assert Tileability(ratio=0.5).find(subject()).figures["tiles_by_seam_ratio"].value == 0


def test_a_border_that_stands_twice_is_told():
    board = ((torch.arange(9)[:, None] + torch.arange(9)) % 2 * 255).byte().expand(1, 1, 9, 9)
    found = Tileability().find(subject(board, ("board",)))
    assert (found.rows["horizontal_seam"], found.rows["seam_fault"]) == ([0], [math.inf])
    assert found.remarks == ("1 of 1 textures have hardly a step over a seam: a border that stands twice looks so.",)


def test_worst_and_best_are_kept_once_each():
    found = Tileability().find(subject())
    assert found.extra["kept"][0] == "ramp"
    assert sorted(found.extra["kept"]) == sorted(NAMES)
    for name, image in zip(found.extra["kept"], found.arrays.values(), strict=True):
        assert torch.equal(image, IMAGES[NAMES.index(name)].float() / 255)


def test_of_many_textures_a_few_are_kept(monkeypatch):
    """By their worst seam: the ramp first; of one colour last."""
    monkeypatch.setattr("unshaken.explain.textures.tileability.SHOWN", 1)
    every = Tileability().find(subject())
    rated = {
        name: max(every.rows["horizontal_seam"][i], every.rows["vertical_seam"][i]) for i, name in enumerate(NAMES)
    }
    assert every.extra["kept"] == [max(rated, key=rated.get), min(rated, key=rated.get)]


@pytest.mark.parametrize("view", [None, View(32, 32, channels=1), View(16, 16, channels=3)])
def test_the_model_scores_the_whole_texture(view):
    judge = Classifier(SeamJudge(), view=view, name="judge").eval()
    found = Tileability(score=True, tiles=2).find(subject(models={"judge": judge}))
    pixels = IMAGES.float() / 255
    wanted = tile_score(judge, pixels, tiles=2, side=view and view.height)
    assert found.rows["tile_score"] == pytest.approx(wanted.tolist(), abs=1e-6)
    assert found.figures["tile_score"].value == pytest.approx(float(wanted.mean()), abs=1e-6)
    assert found.forwards == 3


def test_a_model_of_other_classes_or_channels_is_refused():
    ten = Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 10)))
    with pytest.raises(ParameterError, match=r"the network gives logits \(1, 10\); give one of two classes"):
        Tileability(score=True).find(subject(models={"ten": ten}))
    colour = Classifier(nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), name="colour")
    with pytest.raises(ModelError, match=r"model 'colour' does not take a texture of 1 x 16 x 16"):
        Tileability(score=True).find(subject(models={"colour": colour}))


def test_a_folder_of_textures_of_several_sizes_ends_as_rows_and_a_page(tmp_path):
    spec = folder(tmp_path / "textures", small=(5, 20), wide=(12, 40), large=(64, 64))
    result = unshaken.explain("demo", spec, "tileability", out=tmp_path / "run")
    rows = {row["id"]: row for row in result.run.rows("textures").to_pylist()}
    assert rows["small.png"]["error"] == "5 x 20 pixels: the minimum is 8 x 8"
    assert (rows["wide.png"]["height"], rows["wide.png"]["width"]) == (12, 40)
    assert result.summary.found["tileability"].remarks == ["1 of 3 textures are too small to be measured."]
    page = result.run.read("report.html").decode()
    assert "seams cross in the middle" in page
    assert page.count("two by two") >= 3
    assert "How well textures tile." in page
    judge = Classifier(SeamJudge(), view=View(16, 16), name="judge").eval()
    scored = unshaken.explain(judge, spec, "tileability:score=true", out=tmp_path / "scored")
    score = {row["id"]: row["tile_score"] for row in scored.run.rows("textures").to_pylist()}
    assert score["small.png"] is None
    assert 0 < score["wide.png"] < 1


def test_textures_none_of_which_can_be_measured_are_refused():
    with pytest.raises(DataError, match="none of 1 textures has 8 x 8 pixels or more"):
        Tileability().find(subject(IMAGES[:1, :, :4], ("strip",)))
