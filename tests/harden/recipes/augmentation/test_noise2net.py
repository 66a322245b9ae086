"""Noise2Net: against a network of torch modules for each image alone, and the recipe in the loop."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation.noise2net import Noise2Net, multi_scale, noise2net

QUICK = Training(epochs=1, batch_size=32, lr=0.01, held_out=20, check_images=20, select="last")
STRUCTURE = torch.tensor([[[1, 3, 3], [3, 3, 1], [3, 1, 3], [3, 3, 3]], [[1, 2, 3], [1, 1, 2], [3, 2, 2], [1, 2, 1]]])


def pictures(n=5, channels=3, height=14, width=17):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(n))


def streams(n, seed=0):
    return SampleRng.of(seed, "harden", [str(i) for i in range(n)])


def alone(image, block, i, width):
    """The block of one image, of torch's modules: batch norm over a batch of one."""

    def convolved(x, weight, dilation=1):
        kernel = weight.shape[-1]
        layer = nn.Conv2d(
            *weight.shape[1::-1], kernel, padding=(kernel - 1) // 2 * dilation, dilation=dilation, bias=True
        )
        layer.weight.data = weight
        return nn.BatchNorm2d(len(weight)).train()(layer(x))  # the bias, drawn by torch, makes no difference

    hidden = convolved(image[None], block.enter[i][..., None, None]).relu()
    parts, carried, joined = hidden.split(width, 1), None, []
    for g in range(3):
        carried = parts[g] if carried is None else carried + parts[g]
        carried = convolved(carried, block.middle[g][i], block.dilation[g]).relu()
        joined.append(carried)
    return convolved(torch.cat([*joined, parts[3]], 1), block.leave[i][..., None, None])[0].detach()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_block_is_that_of_each_image_alone(channels):
    images, recipe = pictures(4, channels), Noise2Net(hidden=5)
    for block in recipe.weights(streams(4), channels, STRUCTURE):
        found = multi_scale(images, block)
        for i in range(4):
            assert torch.allclose(found[i], alone(images[i], block, i, 5), atol=2e-4)
        assert found.mean((2, 3)).abs().max() < 1e-5


def test_four_residual_blocks_in_normalised_units():
    images, deviation = pictures(3), torch.tensor([0.2, 0.3, 0.25])
    mean = torch.tensor([0.5, 0.4, 0.45])
    blocks = Noise2Net(hidden=4).weights(streams(3), 3, STRUCTURE)
    strength = torch.tensor([0.4, 0.1, 0.7])
    found = noise2net(images, blocks, strength, deviation)
    for i in range(3):
        x = (images[i] - mean[:, None, None]) / deviation[:, None, None]
        for block in blocks:
            x = x + strength[i] * alone(x, block, i, 4)
        wanted = (x * deviation[:, None, None] + mean[:, None, None]).clamp(0, 1)
        assert torch.allclose(found[i], wanted, atol=1e-3)


def test_a_strength_of_nothing_changes_nothing():
    images = pictures()
    blocks = Noise2Net().weights(streams(5), 3, STRUCTURE)
    assert torch.equal(noise2net(images, blocks, torch.zeros(5), torch.ones(3)), images)


def test_weights_start_as_torchs_convolutions_do():
    for block in Noise2Net().weights(streams(4), 3, STRUCTURE):
        for weight, inputs in [(block.enter, 3), (block.leave, 64), *((m, m[0, 0].numel()) for m in block.middle)]:
            bound = inputs**-0.5
            assert 0.97 * bound < weight.abs().max() <= bound
            assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def shown(recipe, rows, step_of, net, seed=0, fold=0):
    images = pictures(40, height=8, width=8)
    step = step_of(net(channels=3), images[rows], torch.zeros(len(rows), dtype=torch.int64))
    step.rng = streams(40)[torch.tensor(rows)].fold(fold)
    step.memory = {"noise2net": {"structure": STRUCTURE.roll(seed, 1)}}
    recipe.augment(step)
    assert (step.images >= 0).all()
    assert (step.images <= 1).all()
    return step.images, images


def test_half_of_the_images_change_and_in_any_batch_alike(step_of, net):
    recipe, rows = Noise2Net(hidden=4), list(range(40))
    whole, images = shown(recipe, rows, step_of, net)
    changed = (whole != images).flatten(1).any(1)
    assert 12 <= changed.sum() <= 28
    part = changed.nonzero().flatten()[[2, 0]].tolist()
    assert torch.allclose(shown(recipe, part, step_of, net)[0], whole[part], atol=1e-4)
    assert torch.equal(shown(recipe, [5], step_of, net)[0] != images[[5]], whole[[5]] != images[[5]])
    assert not torch.equal(shown(recipe, rows, step_of, net, fold=1)[0], whole)
    all_of_them, _ = shown(Noise2Net(hidden=4, share=1), rows, step_of, net)
    assert (all_of_them != images).flatten(1).any(1).all()


def test_the_run_seed_decides_the_structure(photos):
    images, labels = photos

    def weights(seed):
        model = fresh("small-cnn", images, classes=10, seed=0)
        training = QUICK.model_copy(update={"seed": seed})
        done = fit(model, images, labels, [Noise2Net(hidden=2)], training)
        return torch.cat([p.flatten() for p in done.last.net.parameters()])

    first = weights(0)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


@pytest.mark.parametrize(
    "wrong", [{"share": 0}, {"least": 0}, {"most": -1}, {"least": 0.9, "most": 0.5}, {"hidden": 0}], ids=str
)
def test_bad_parameters_are_told(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Noise2Net(**wrong)
