import pytest
import torch
import torch.nn.functional as F

from unshaken.core.errors import ModelError
from unshaken.explain.attribution.scorecam import score_cam, stretched
from unshaken.explain.engine.run import attribute


def test_two_maps_by_hand():
    """Scores of log 3 and 0 weigh 3/4 and 1/4; a constant map weighs nothing, whatever its score."""
    outputs = torch.tensor([[[[4.0, 0]], [[-8, 4]], [[5, 5]]]])
    scores = torch.tensor([[3.0, 1, 1e9]]).log()
    assert score_cam(outputs, scores).flatten().tolist() == pytest.approx([1, 1])
    assert score_cam(outputs[:, 2:], scores[:, 2:]).tolist() == [[[0, 0]]]


def test_maps_are_stretched_to_one():
    outputs = torch.tensor([[[[1.0, 3]], [[2, 2]]]])
    found = stretched(outputs, torch.tensor([[1, 0]]), torch.Size((1, 2)))
    assert found.tolist() == [[[[0, 0]], [[0, 1]]]]


def test_it_is_the_papers_loop(conv, images):
    """A plain loop over the twelve maps, one image at a time."""
    image, outputs = images[:1], conv.features(images[:1], ["4"])[1]["4"].detach()
    scores = []
    for channel in range(12):
        mask = F.interpolate(outputs[:, channel : channel + 1], (20, 16), mode="bilinear")
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        scores.append(conv(image * mask)[0, 2])
    weights = torch.stack(scores).softmax(0).view(1, 12, 1, 1)
    expected = F.interpolate((weights * outputs).sum(1, keepdim=True).relu(), (20, 16), mode="bilinear")
    found = attribute(conv, image, "scorecam", classes=torch.tensor([2]))
    assert torch.allclose(found.maps, expected[:, 0], atol=1e-5)
    assert (found.forwards.item(), found.backwards.item()) == (13, 0)


def test_a_layer_of_many_maps_is_asked_about_in_pieces(conv, images, monkeypatch):
    whole = attribute(conv, images[:2], "scorecam")
    monkeypatch.setattr("unshaken.explain.attribution.scorecam.CHUNK", 5)
    pieces = attribute(conv, images[:2], "scorecam", limit=3)
    assert torch.allclose(whole.maps, pieces.maps, atol=1e-5)


def test_layers_that_are_absent_or_without_places_are_told(conv, images):
    with pytest.raises(ModelError, match="no layer '44'; did you mean '4'"):
        attribute(conv, images, "scorecam:layer=44")
    with pytest.raises(ModelError, match="not maps"):
        attribute(conv, images, "scorecam:layer=7")
