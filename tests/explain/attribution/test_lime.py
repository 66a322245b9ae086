import pytest
import torch
from sklearn.linear_model import Ridge

from unshaken.core.errors import MissingExtra
from unshaken.core.rng import SampleRng
from unshaken.explain.attribution.lime import LIME, grid_segments, linear_fit, segment_means, segments_of
from unshaken.explain.engine.run import attribute

FIRST = torch.tensor([0])


def test_of_an_additive_logit_it_is_each_segments_share(formula):
    """z sums the corner pixel of each of four cells: a cell's share is its corner less its own mean."""
    image = torch.arange(16.0).view(1, 1, 4, 4) / 16
    net = formula(lambda x: x[:, [0, 3, 12, 15]] @ torch.tensor([1.0, 2, -1, 3]))
    found = attribute(net, image, "lime:segmentation=grid,segments=4,samples=64,ridge=0,score=logit", classes=FIRST)
    cells = image[0, 0].unfold(0, 2, 2).unfold(1, 2, 2)
    shares = (image.flatten()[[0, 3, 12, 15]] - cells.mean((2, 3)).flatten()) * torch.tensor([1.0, 2, -1, 3])
    expected = shares.view(2, 2).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.allclose(found.maps[0], expected, atol=1e-5)
    assert (found.forwards.item(), found.backwards.item()) == (64, 0)


def test_the_fit_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    present = torch.rand(60, 7, generator=generator) < 0.5
    present[0] = False
    scores = torch.rand(60, generator=generator)
    distance = 1 - present.double().mean(1).sqrt()
    weights = (-(distance**2) / 0.25**2).exp()
    expected = Ridge(alpha=0.7).fit(present.numpy(), scores.double().numpy(), sample_weight=weights.numpy()).coef_
    assert linear_fit(present, scores, 0.25, 0.7).tolist() == pytest.approx(expected.tolist(), abs=1e-9)


def test_the_first_copy_is_whole_and_draws_do_not_depend_on_the_number_of_segments():
    rng, number = SampleRng.of(0, "lime", ["a", "b"]), torch.arange(400).expand(2, -1)
    few, many = (LIME().present(rng, number, n) for n in (3, 9))
    assert few[:, 0].all()
    assert torch.equal(few, many[:, :, :3])
    assert abs(many.float().mean() - 0.5) < 5 * 0.5 / (2 * 400 * 9) ** 0.5
    assert not torch.equal(few[0], few[1])


def test_cells_and_their_means_by_hand():
    assert grid_segments(3, 5, 4).tolist() == [[0, 0, 0, 1, 1]] * 2 + [[2, 2, 2, 3, 3]]
    assert grid_segments(1, 3, 9).tolist() == [[0, 1, 2]]
    images = torch.tensor([[[[0.0, 1, 0.5]], [[0.2, 0.4, 0]]]])
    means = segment_means(images, torch.tensor([[[0, 0, 1]]]))
    assert means.flatten().tolist() == pytest.approx([0.5, 0.5, 0.5, 0.3, 0.3, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_slic_follows_colours(channels):
    pytest.importorskip("skimage")
    image = torch.zeros(1, channels, 24, 24)
    image[..., 9:] = 1
    found = segments_of(image, "slic", 6, 10.0, 0.0)[0]
    assert not {*found[:, :9].flatten().tolist()} & {*found[:, 9:].flatten().tolist()}


def test_without_scikit_image_the_error_names_the_extra_and_the_way_round(images, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="skimage")

    monkeypatch.setattr("unshaken.core.imports.importlib.import_module", absent)
    with pytest.raises(MissingExtra, match=r"segmentation=grid.*unshaken\[explain\]"):
        segments_of(images, "slic", 50, 30.0, 3.0)
