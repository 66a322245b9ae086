"""PixMix: sums and products by hand, the rounds written out one image at a time, and the recipe in the loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.recipe import Setup
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.augmentation import pixmix as pixmix_file
from unshaken.harden.recipes.augmentation._operations import OPERATIONS, operate, to_levels
from unshaken.harden.recipes.augmentation.pixmix import (
    PixMix,
    drawn_pictures,
    fractal_layers,
    iterated_functions,
    mix_add,
    mix_multiply,
    mix_weights,
    pixmix,
    textures,
)

QUICK = Training(epochs=1, batch_size=32, lr=0.01, held_out=20, check_images=20, select="last")


def pictures(n=6, channels=3, height=16, width=20, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, height, width), generator=g).float() / 255


def streams(n, seed=0):
    return SampleRng.of(seed, "harden", [str(i) for i in range(n)])


@pytest.mark.parametrize("mix", [mix_add, mix_multiply])
def test_weights_of_one_and_nothing_leave_the_image(mix):
    m, other = pictures(5), pictures(5, seed=1)
    assert torch.allclose(mix(m, other, torch.ones(5), torch.zeros(5)), m, atol=1e-7)


def test_sums_and_products_by_hand():
    m, other = torch.tensor([0.8, 0.25]).view(2, 1, 1, 1), torch.tensor([0.6, 0.5]).view(2, 1, 1, 1)
    a, b = torch.tensor([0.5, 1.5]), torch.tensor([0.25, -0.5])
    # (0.5 * 0.6 + 0.25 * 0.2 + 1) / 2; (1.5 * -0.5 + 0 + 1) / 2
    assert mix_add(m, other, a, b).flatten().tolist() == pytest.approx([0.675, 0.125], abs=1e-6)
    # 1.6^0.5 * 1.2^0.25 / 2; 0.5^1.5 * 1^-0.5 / 2
    assert mix_multiply(m, other, a, b).flatten().tolist() == pytest.approx([0.661950, 0.176777], abs=1e-6)


def test_black_under_a_negative_power_stays_finite():
    m, black = torch.tensor([0.0, 0.3]).view(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)
    a, b = torch.full((2,), 1.2), torch.full((2,), -0.9)
    assert mix_multiply(m, black, a, b).flatten().tolist() == [0, 1]


def test_weights_have_their_moments_and_tend_to_one_and_nothing():
    drawn = PixMix(beta=3).draw(streams(5000))
    first = drawn.a < 1
    assert abs(first.float().mean() - 0.5) < 0.02
    assert abs(drawn.a[first].mean() - 0.75) < 0.01  # Beta(3, 1)
    assert abs(drawn.b[first].mean() - 0.25) < 0.01  # Beta(1, 3)
    assert abs(drawn.a[~first].mean() - 1.25) < 0.01
    assert abs(drawn.b[~first].mean() + 0.25) < 0.01
    assert abs(drawn.b[first].var() - 3 / 80) < 0.003
    u = torch.linspace(0.01, 0.99, 50)
    for kind in (0.2, 0.8):
        a, b = mix_weights(torch.full((50,), kind), u, u, 1e8)
        assert torch.allclose(a, torch.ones(50), atol=1e-6)
        assert torch.allclose(b, torch.zeros(50), atol=1e-6)


def test_rounds_and_choices_are_drawn_evenly():
    drawn = PixMix(k=4).draw(streams(5000))
    assert (torch.bincount(drawn.rounds, minlength=5) / 5000 - 0.2).abs().max() < 0.02
    assert drawn.which.unique().tolist() == list(range(13))
    for half in (drawn.augmented, drawn.multiply):
        assert abs(half.float().mean() - 0.5) < 0.01
    assert PixMix(all_ops=False).draw(streams(500)).which.max() == 8


@pytest.mark.parametrize("channels", [1, 3])
def test_the_rounds_are_those_of_one_image_at_a_time(channels):
    images, others = pictures(40, channels), pictures(40, channels, seed=1)
    drawn = PixMix(k=3).draw(streams(40))
    found = pixmix(images, others, drawn)

    def augmented(i, slot):
        one = slice(i, i + 1)
        return (
            operate(to_levels(images[one]), drawn.which[one, slot], drawn.level[one, slot], drawn.sign[one, slot])[0]
            / 255
        )

    for i in range(40):
        m = augmented(i, 0) if drawn.augmented[i, 0] else images[i]
        for r in range(int(drawn.rounds[i])):
            o = augmented(i, 1 + r) if drawn.augmented[i, 1 + r] else others[i]
            a, b = drawn.a[i, r], drawn.b[i, r]
            if drawn.multiply[i, r]:
                m = (2 * m) ** a * (2 * o).clamp(min=1e-37) ** b / 2
            else:
                m = (a * (2 * m - 1) + b * (2 * o - 1) + 1) / 2
            m = m.clamp(0, 1)
        assert torch.allclose(found[i], m, atol=2e-6)


def test_without_rounds_only_the_start_is_left():
    images = pictures(64)
    drawn = PixMix(k=0).draw(streams(64))
    found = pixmix(images, pictures(64, seed=1), drawn)
    same = (found == images).flatten(1).all(1)
    assert same[~drawn.augmented[:, 0]].all()
    assert not same[drawn.augmented[:, 0]].all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_gets_the_same_in_any_batch(channels, step_of, net):
    images, recipe = pictures(8, channels), PixMix(count=8)

    def shown(rows, seed=0):
        step = step_of(net(channels=channels), images[rows], torch.zeros(len(rows), dtype=torch.int64))
        step.rng, step.memory = streams(8)[torch.tensor(rows)], {"pixmix": {"seed": torch.tensor(seed)}}
        recipe.augment(step)
        return step.images

    whole = shown(list(range(8)))
    assert whole.shape == images.shape
    assert torch.allclose(shown([5, 2]), whole[[5, 2]], atol=1e-6)
    assert torch.allclose(shown([7]), whole[[7]], atol=1e-6)
    assert (whole >= 0).all()
    assert (whole <= 1).all()
    assert not torch.equal(shown(list(range(8)), seed=1), whole)  # other fractals


def test_cuts_are_windows_of_the_pictures():
    recipe, like = PixMix(count=3), torch.zeros(20, 3, 16, 12)
    every = recipe.mixing_set(16, 4).float() / 255
    assert every.shape == (3, 3, 18, 18)
    found = recipe.cut(streams(20), like, 4)
    windows = every.unfold(2, 16, 1).unfold(3, 12, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 16, 12)
    hits = (found[:, None] == windows[None]).flatten(2).all(2)
    assert hits.any(1).all()
    assert hits.any(0).sum() > 10


def test_a_folder_of_ones_own_pictures(tmp_path, photos):
    for i, colour in enumerate(((255, 0, 0), (0, 0, 255))):
        Image.fromarray(np.full((40, 60, 3), colour, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = PixMix(pictures=str(tmp_path), count=9).mixing_set(16, 0)
    assert sorted(found[:, :, 0, 0].tolist()) == [[0, 0, 255], [255, 0, 0]]
    assert found.shape == (2, 3, 18, 18)
    images, labels = photos
    model = fresh("small-cnn", images, classes=10, seed=0)
    fit(model, images, labels, [PixMix(pictures=str(tmp_path), count=9)], QUICK)
    Image.fromarray(np.full((40, 60, 3), (0, 255, 0), np.uint8)).save(tmp_path / "2.png")
    recipe, memory = PixMix(pictures=str(tmp_path), count=9), {}
    recipe.begin(Setup(model, images[:2].float() / 255, 10, 0, 1, 1, memory, lambda n: (images[:n], labels[:n])))
    assert len(recipe.mixing_set(28, 0)) == 3  # an earlier training of this process saw two


def test_a_folder_without_pictures_is_told(tmp_path):
    with pytest.raises(DataError, match="absent"):
        PixMix(pictures=str(tmp_path / "absent")).mixing_set(16, 0)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="pixmix: none of the pictures"):
        PixMix(pictures=str(tmp_path)).mixing_set(16, 0)


def test_it_trains_and_repeats(photos):
    images, labels = photos

    def weights(seed):
        model = fresh("small-cnn", images, classes=10, seed=0)
        done = fit(model, images, labels, [PixMix(count=16)], QUICK.model_copy(update={"seed": seed}))
        return torch.cat([p.flatten() for p in done.last.net.parameters()])

    first = weights(0)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


@pytest.mark.parametrize("wrong", [{"beta": 0}, {"k": -1}, {"severity": 0.05}, {"count": 0}], ids=str)
def test_bad_parameters_are_told(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        PixMix(**wrong)


def test_levels_stay_within_the_severity():
    level = PixMix(severity=1).draw(streams(500)).level
    assert (level.min() >= 0.1) & (level.max() <= 1)
    assert len(OPERATIONS) == 13


def test_the_chaos_game_draws_sierpinskis_triangle(monkeypatch):
    halves = np.array([[[0.5, 0, x], [0, 0.5, y]] for x, y in ((0, 0), (0.5, 0), (0, 0.5))])
    monkeypatch.setattr(pixmix_file, "iterated_functions", lambda rng, count, maps: halves[None].repeat(count, 0))
    rng = np.random.default_rng(0)
    cover = fractal_layers(rng, 1, 3, 64, 4000)[0, 3]
    rows, columns = (cover > 0).nonzero(as_tuple=True)
    x, y = ((t.double() + 0.5) / 64 * 1.12 - 0.06 for t in (columns, rows))  # the frame around the attractor, roughly
    assert (x + y).max() < 1.1  # nothing above the long side
    hole = (x > 0.32) & (y > 0.32) & (x + y < 0.9) & (x < 0.45) & (y < 0.45)
    assert not hole.any()  # the middle triangle is empty
    assert 0.1 < (cover > 0).float().mean() < 0.35  # 3^n of 4^n cells at n = 5: 0.24


@pytest.mark.parametrize("maps", [2, 4, 6])
def test_maps_contract_and_their_sum_is_in_range(maps):
    system = iterated_functions(np.random.default_rng(0), 200, maps)
    values = np.linalg.svd(system[..., :2], compute_uv=False)
    assert values.max() < 0.96
    sums = values @ (1.0, 2.0)
    assert (sums.sum(1) > (5 + maps) / 2 - 0.3).all()
    assert (sums.sum(1) < (6 + maps) / 2 + 1e-6).all()


def test_pictures_have_structure_and_differ():
    found = drawn_pictures(24, 36, 0)
    assert found.shape == (24, 3, 36, 36)
    assert found.dtype == torch.uint8
    planes = found.float()
    assert planes.flatten(1).std(1).min() > 8
    assert len({tuple(p.flatten().tolist()) for p in found}) == 24
    rough = (planes[..., 1:] - planes[..., :-1]).abs().mean((1, 2, 3))
    shaped = torch.arange(24) % 4 != 3
    assert rough[shaped].mean() > 1.3 * rough[~shaped].mean()  # edges that textures have not


def test_the_seed_decides():
    again = drawn_pictures.__wrapped__(8, 20, 5)
    assert torch.equal(drawn_pictures(8, 20, 5), again)
    assert not torch.equal(drawn_pictures(8, 20, 6), again)


def test_textures_reach_from_black_to_full():
    found = textures(np.random.default_rng(0), 10, 33)
    assert torch.equal(found.amin((1, 2, 3)), torch.zeros(10))
    assert torch.equal(found.amax((1, 2, 3)), torch.ones(10))


def test_fourier_textures_fall_with_frequency():
    fields = np.concatenate([pixmix_file._fourier(np.random.default_rng(i), 64) for i in range(20)])
    power = np.abs(np.fft.fft2(fields)).mean(0)
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    near, far = power[(radius > 0.03) & (radius < 0.06)].mean(), power[radius > 0.3].mean()
    assert near > 8**0.8 * far  # about 8 times the frequency at an exponent of at least 0.8


@pytest.mark.parametrize("size", [(1, 8), (3, 9), (5, 40)])
def test_any_count_and_side(size):
    count, side = size
    assert drawn_pictures(count, side, 0).shape == (count, 3, side, side)
