"""Search spaces: a start that changes nothing, and single transformations known by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.semantic._oracle_search import lasso_mask
from unshaken.attack.semantic._search_space import (
    LIMITS,
    DenoisedSpace,
    LatentSpace,
    PixelSpace,
    TransformationSpace,
    find_space,
    space_of,
    total_variation,
    transformed,
)
from unshaken.attack.semantic.oracle_bounded import OracleBound
from unshaken.core import Batch, Oracle
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate import EDM, UNet, UNetSettings, save
from unshaken.generate.latent.adapters import LinearGenerator
from unshaken.generate.latent.vae import VAE, VAESettings

NAMES = list(LIMITS)


def images(n=2, channels=3, height=10, width=14):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def amounts(**values):
    found = torch.zeros(1, len(NAMES))
    for name, value in values.items():
        found[0, NAMES.index(name)] = value
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_no_amount_changes_nothing(channels):
    batch = images(channels=channels)
    space = TransformationSpace()
    codes = space.start(batch, SampleRng.of(0, "t", ["a", "b"]))
    assert torch.allclose(space.render(codes, batch), batch, atol=1e-5)
    assert torch.equal(PixelSpace(1.0).render(batch, batch), batch)


def test_single_amounts_by_hand():
    batch = images(1) * 0.4 + 0.2
    shift = transformed(batch, amounts(right=2 / 7 / 0.3))  # 2 of the 7 pixels of half the width
    assert torch.allclose(shift[..., 2:], batch[..., :-2], atol=1e-4)
    lower = transformed(batch, amounts(down=1 / 5 / 0.3))
    assert torch.allclose(lower[..., 1:, :], batch[..., :-1, :], atol=1e-4)
    assert torch.allclose(transformed(batch, amounts(brightness=0.5)), batch + 0.15, atol=1e-5)
    grey = torch.full((1, 3, 6, 6), 0.5)
    assert torch.allclose(transformed(grey, torch.tensor([[1.0, 1, 1, 1, 0, 1, 1, 1]])), grey, atol=1e-5)
    contrast = transformed(batch, amounts(contrast=-1))
    mean = batch.mean((2, 3), keepdim=True)
    assert torch.allclose(contrast, (batch - mean) * 0.4966 + mean, atol=1e-3)


def test_a_turn_keeps_the_centre_and_its_sense():
    dot = torch.zeros(1, 1, 21, 21)
    dot[..., 10, 17] = 1  # to the right of the centre; a clockwise turn on the screen moves it down
    made = transformed(dot, amounts(angle=1.0))[0, 0]
    row, column = divmod(int(made.argmax()), 21)
    assert abs(row - 10) in (3, 4)
    assert column == 16
    back = transformed(dot, amounts(angle=-1.0))[0, 0]
    assert divmod(int(back.argmax()), 21)[0] - 10 == 10 - row


def test_a_wide_image_is_turned_without_shear():
    line = torch.zeros(1, 1, 11, 41)
    line[..., 5, 12:29] = 1
    made = transformed(line, amounts(angle=0.5))[0, 0]
    rows, columns = (made > 0.5).nonzero().float().unbind(1)
    slope = (rows[-1] - rows[0]) / (columns[-1] - columns[0]) if len(rows) else torch.tensor(0.0)
    assert abs(float(slope)) == pytest.approx(0.268, abs=0.05)  # tan 15 degrees


def test_gradients_reach_every_amount():
    z = (torch.rand(2, len(NAMES), generator=torch.Generator().manual_seed(1)) * 0.4 - 0.2).requires_grad_(True)
    (slope,) = torch.autograd.grad((transformed(images() * 0.5 + 0.2, z) ** 2).sum(), z)
    assert bool((slope.abs() > 1e-4).all())


def test_projection_and_units_of_steps():
    flat = torch.full((1, 1, 4, 4), 0.5)
    assert float(PixelSpace(0).scale(flat)) == pytest.approx(1 / 255)
    assert float(PixelSpace(0).scale(torch.tensor([[0.2, 0.8]]))) == pytest.approx(0.3)
    assert float(PixelSpace(0).project(torch.tensor(1.5))) == 1
    assert TransformationSpace().project(amounts(zoom=3.0)).max() == 1
    assert TransformationSpace().scale(amounts()).tolist() == [1]


def test_total_variation_by_hand():
    checks = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    assert total_variation(checks).tolist() == [2.0]
    assert total_variation(torch.full((1, 3, 4, 4), 0.3)).tolist() == [0.0]
    assert PixelSpace(3.0).penalty(checks).tolist() == [6.0]
    assert PixelSpace(0.0).penalty(checks) is None


def test_the_lasso_keeps_what_tells_classes_apart():
    draw = torch.Generator().manual_seed(0)
    codes = torch.randn(80, 2, 3, generator=draw)
    labels = (codes[:, 1, 2] > 0).long()
    mask = lasso_mask(codes, labels, 0.15, "m")
    assert mask.tolist() == [[False] * 3, [False, False, True]]
    codes[:, 0, 0] = 0.3  # a coordinate without spread tells nothing
    assert torch.equal(lasso_mask(codes, labels, 0.15, "m"), mask)
    assert int(lasso_mask(codes, labels, 1e-4, "m").sum()) > 1
    with pytest.raises(ParameterError, match="keeps none of 6"):
        lasso_mask(codes, labels, 9.0, "m")
    with pytest.raises(ParameterError, match="two classes"):
        lasso_mask(codes, labels * 0, 0.1, "m")


def test_saturation_and_sharpness_by_hand():
    """A ninth tenth of the way to grey, by the luminance of BT.601; and to the mean of three by three pixels."""
    batch = images(1) * 0.4 + 0.3
    grey = (batch * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    pale = transformed(batch, amounts(saturation=-1))
    assert torch.allclose(pale, grey + 0.1 * (batch - grey), atol=1e-5)
    assert torch.equal(transformed(batch[:, :1], amounts(saturation=-1)), transformed(batch[:, :1], amounts()))
    soft = transformed(batch, amounts(sharpness=-1))
    blurred = torch.nn.functional.avg_pool2d(batch, 3, 1)  # the border aside
    inner = batch[..., 1:-1, 1:-1]
    assert torch.allclose(soft[..., 1:-1, 1:-1], blurred + 0.1 * (inner - blurred), atol=1e-5)
    flat = torch.full((1, 1, 5, 5), 0.25)
    flat[..., 2, 2] = 0.5
    sharp = transformed(flat, amounts(sharpness=1 / 9))[..., 2, 2]
    mean = 0.25 + 0.25 / 9
    assert float(sharp) == pytest.approx(mean + 1.1 * (0.5 - mean), abs=1e-5)


def test_zoom_and_turn_by_hand():
    """On a ramp, a place u from the centre shows what was at `u exp(-0.3)`; a turn by 30 degrees mixes both ways."""
    across = torch.linspace(-1, 1, 40).mul(19.5 / 20).view(1, 1, 1, 40).expand(1, 1, 40, 40) * 0.4 + 0.5
    zoomed = transformed(across, amounts(zoom=1.0))
    assert torch.allclose(zoomed - 0.5, (across - 0.5) * 0.740818, atol=1e-4)
    turned = transformed(across, amounts(angle=1.0))
    expected = (across - 0.5) * 0.866025 + (across.transpose(2, 3) - 0.5) * 0.5
    middle = slice(10, 30)
    assert torch.allclose(turned[..., middle, middle] - 0.5, expected[..., middle, middle], atol=1e-4)


def test_variation_of_a_line_counts_its_own_neighbours():
    line = torch.tensor([0.0, 1.0, 0.5]).view(1, 1, 1, 3)
    assert total_variation(line).tolist() == [0.75]
    assert total_variation(line.transpose(2, 3)).tolist() == [0.75]


SHAPE = (1, 8, 8)


def linear(missing=0):
    """All images of 64 pixels, or those of the first of them."""
    return LinearGenerator(torch.eye(64)[:, : 64 - missing], torch.zeros(64), SHAPE).eval()


def made_images(n=3):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


def rng(n=3):
    return SampleRng.of(0, "t", [f"s{i}" for i in range(n)])


def test_codes_of_a_lossless_generator_give_the_images_back():
    space = space_of(linear(), "linear", 0.1)
    codes = space.start(made_images(), rng())
    assert torch.allclose(space.render(codes, made_images()), made_images(), atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        VAE(VAESettings(latents=4, width=4), SHAPE),
        EDM(UNet(UNetSettings(image=SHAPE, width=4))),
    ],
    ids=["vae", "edm"],
)
def test_gradients_reach_codes_and_samples_stand_alone(model):
    space = space_of(model, "m", 0.2)
    codes = space.start(made_images(), rng())
    alone = space.start(made_images()[1:2], rng()[torch.tensor([1])])
    assert torch.allclose(alone, codes[1:2], atol=1e-5)
    z = codes.detach().requires_grad_(True)
    made = space.render(z, made_images())
    assert made.shape == (3, *SHAPE)
    low, high = (float(v) for v in torch.aminmax(made.detach()))
    assert 0 <= low <= high <= 1
    (slope,) = torch.autograd.grad((made * (torch.arange(64.0).view(SHAPE) - 20)).sum(), z)
    assert bool((slope.flatten(1).abs().amax(1) > 0).all())


def test_a_saved_model_is_found_by_its_file(tmp_path):
    save(EDM(UNet(UNetSettings(image=SHAPE, width=4))), tmp_path / "edm.safetensors")
    save(VAE(VAESettings(latents=4, width=4), SHAPE), tmp_path / "vae.safetensors")
    found = [find_space(str(tmp_path / f"{n}.safetensors"), tv=0, noise=0.1) for n in ("edm", "vae")]
    assert [type(f) for f in found] == [DenoisedSpace, LatentSpace]
    with pytest.raises(ParameterError, match="sigma"):
        find_space(str(tmp_path / "edm.safetensors"), tv=0, noise=1e4)


def attack(generator, net, n=3, **options):
    batch = Batch(made_images(n), net(made_images(n)).argmax(1), tuple(f"s{i}" for i in range(n)))
    return OracleBound(**options).using(generator=generator).attack(Oracle(net), batch)[0][0], batch


def test_a_search_in_codes_leaves_what_they_cannot_show(make):
    """The last 16 pixels are none of the generator's: they are black from the start."""
    found, batch = attack(linear(16), make.net(), steps=4, step_size=0.5)
    flat = found.images.flatten(1)
    searched = found.notes["stop"] >= 0
    assert bool(searched.all())
    assert not flat[:, 48:].any()
    assert not torch.allclose(flat[:, :48], batch.images.flatten(1)[:, :48], atol=0.05)


def test_the_lasso_freezes_codes(make):
    net = make.net(classes=2)
    x = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(1))
    batch = Batch(x, (x[:, 0, 2, 3] > 0.5).long(), tuple(map(str, range(40))))
    options = {"steps": 2, "step_size": 1.0, "latent_mask": "lasso", "penalty": 0.1}
    (found,), _ = OracleBound(**options).using(generator=linear()).attack(Oracle(net), batch)
    moved = ((found.images - x).abs() > 2 / 255).any(0)[0]
    assert moved.nonzero().tolist() == [[2, 3]]


def test_what_does_not_fit_is_told(make):
    net = make.net()
    with pytest.raises(ModelError, match="for images of 1x4x4"):
        attack(VAE(VAESettings(latents=4, width=4), (1, 4, 4)), net)
    with pytest.raises(ModelError, match="for images of 3x8x8"):
        attack(EDM(UNet(UNetSettings(image=(3, 8, 8), width=4))), net)
    broken = VAE(VAESettings(latents=4, width=4), SHAPE)
    broken.first.bias.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN or infinite images"):
        attack(broken, net)
    without = linear()
    without.encode = lambda made_images: None
    with pytest.raises(ModelError, match="no encoder"):
        attack(without, net)
    with pytest.raises(ModelError, match="no codes to search in"):
        attack(torch.nn.Identity(), net)


def test_files_that_are_named_belong_to_the_run():
    assert OracleBound(generator="vae.st", map="a.txt+b.txt").further_files == ("a.txt", "b.txt", "vae.st")
    assert OracleBound(generator="diffusers:ddpm").further_files == ("ddpm",)
    assert OracleBound(generator="transform").further_files == OracleBound(generator="py:a.py:make").further_files == ()
