"""A net that reads outlines, a net that reads textures, files of the user's, and what does not fit."""

import json

import pytest
import torch

from tests.explain.biases.conftest import discs, one_hot
from unshaken.core.errors import DataError, ParameterError
from unshaken.explain.biases.cue_conflict import CueConflict
from unshaken.explain.biases.cue_sets import gratings
from unshaken.stress.cues.silhouette import foreground


def by_outline(x):
    """The class by the area of what differs from the ground."""
    area = (x.mean(1) != 0.5).sum((1, 2)).float()
    radius = (area / torch.pi).sqrt()
    return one_hot(((radius - 2) / 2).round().clamp(0, 2).long())


def by_grating(x):
    """The class of the grating that fits best."""
    waves = gratings(3, *x.shape[2:])[:, 0]
    inside = x.mean(1) - 0.5
    inside = torch.where(inside > 0, inside - 0.25, inside)
    return one_hot(torch.einsum("nhw,khw->nk", inside, waves).argmax(1))


def test_nets_that_read_one_cue_have_a_bias_of_one_and_of_none(reads, subject):
    models = {"shape": reads(by_outline), "texture": reads(by_grating)}
    found = CueConflict(recipe="gratings", amplitude=0.2).find(subject(models))
    assert found.figures["bias.shape"].value == 1
    assert found.figures["bias.texture"].value == 0
    assert found.figures["cue_share.texture"].value == 1
    assert found.figures["difference.texture"].value == -1
    assert found.extra["counts"]["shape"] == [12, 0, 0]
    assert found.extra["by_class"]["texture"]["b"] == [0, 4, 0]
    assert found.forwards == 24
    assert len(found.rows["id"]) == 24
    assert all(a != b for a, b in zip(found.rows["first_cue"], found.rows["second_cue"], strict=True))
    assert found.arrays["examples.cue-conflict"].shape == (6, 3, 16, 16)


@pytest.mark.parametrize("recipe", ["filled", "phase-amplitude", "gratings"])
def test_rows_do_not_depend_on_the_size_of_batches(reads, subject, recipe):
    net = reads(lambda x: torch.stack([x.mean((1, 2, 3)), x[:, 0, 8, 8], x[:, 0, 4].mean(1)], 1))
    one, other = (CueConflict(recipe=recipe).find(subject({"m": net}, batch=batch)).rows for batch in (1, 7))
    for name in ("id", "first_cue", "second_cue", "prediction"):
        assert one[name] == other[name]
    assert one["confidence"] == pytest.approx(other["confidence"])


def test_an_outline_filled_with_another_image_keeps_its_outline(reads, subject):
    seen = []
    net = reads(lambda x: (seen.append(x), by_outline(x))[1])
    images, labels = discs()
    found = CueConflict(recipe="filled").find(subject({"m": net}, images, labels))
    assert torch.equal(torch.cat(seen)[:, :1] != 0.5, foreground(images.mul(255).round() / 255))
    assert found.figures["bias.m"].value == 1


def named(subject, net, ids):
    return subject({"m": net}, *discs(len(ids)), ids=ids)


def test_files_named_after_their_cues(reads, subject, tmp_path):
    ids = ["cat/cat1-dog2.png", "cat/cat3-cat4.png", "dog/dog1-cat1.png", "dog/dog2-bird9.png", "dog/odd.png"]
    (tmp_path / "map.json").write_text(json.dumps({"cat": ["tabby", "lynx"], "dog": ["beagle"]}))
    net = reads(lambda x: torch.tensor([[0.3, 0.3, 0.35]]).log().expand(len(x), -1), ("tabby", "lynx", "beagle"))
    found = CueConflict(recipe="named", categories=str(tmp_path / "map.json")).find(named(subject, net, ids))
    assert found.rows["id"] == ids[:1] + ids[2:3]  # one class twice, a name of no category, a name of another form
    assert (found.rows["first_cue"], found.rows["second_cue"]) == ([0, 1], [1, 0])
    assert found.rows["prediction"] == [1, 1]  # the mean of tabby and lynx is .3, their sum would win
    assert found.figures["bias.m"].value == 0.5
    assert "3 images were left out" in found.remarks[0]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["x.png", "y.png"], "no file is named SHAPE-TEXTURE, such as cat1-dog3.png: 'x.png'"),
        (
            ["cow1-pig2.png", "pig1-cow2.png"],
            "has two cues among the categories a, b, c: its names are cow, pig",
        ),
        (["a1-a2.png", "b1-b2.png"], "none of 2 images has two cues of different categories"),
    ],
)
def test_names_that_do_not_fit_are_one_line(reads, subject, ids, message):
    with pytest.raises(DataError, match=message) as caught:
        CueConflict(recipe="named").find(named(subject, reads(by_outline), ids))
    assert "\n" not in str(caught.value)


def test_one_class_and_images_smaller_than_the_tiles(reads, subject):
    images, labels = discs()
    with pytest.raises(DataError, match="all images are of one class"):
        CueConflict().find(subject({"m": reads(by_outline)}, images, torch.zeros_like(labels)))
    with pytest.raises(ParameterError, match="cannot be cut into 17 x 17 tiles"):
        CueConflict(tiles=17).find(subject({"m": reads(by_outline)}))
    with pytest.raises(DataError, match="no class for each image"):
        CueConflict().find(subject({"m": reads(by_outline)}, images))
    models = {"m": reads(by_outline), "n": reads(by_outline, ("x", "y", "z"))}
    with pytest.raises(DataError, match="the models have other classes"):
        CueConflict().find(subject(models))
