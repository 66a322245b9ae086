import numpy as np
import pytest
import torch
from platformdirs import user_cache_dir

from unshaken.papers._training import cache_dir, cached, cached_weights, train_classifier


def bars(n, seed=0):
    """Images with a bright upper (0) or lower (1) half, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 100, (n, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        image[0, 4 * label : 4 * label + 4] += 100
    return torch.from_numpy(images).to(torch.uint8), torch.from_numpy(labels)


def trained(seed=0, n=256):
    images, labels = bars(n)
    return train_classifier(
        images, labels, arch="small", side=8, augment=lambda x, _: x, epochs=2, seed=seed, batch_size=32
    )


def same(one, other):
    there = other.state_dict()
    return all(torch.equal(v, there[k]) for k, v in one.state_dict().items())


def test_it_learns_and_normalises_inside():
    model, (images, labels) = trained(), bars(200, seed=1)
    assert (model(images.float() / 255).argmax(1) == labels).float().mean() > 0.95
    assert model.mean.item() == pytest.approx(bars(256)[0].float().mean().item() / 255, abs=1e-4)
    assert not model.training


def test_the_seed_alone_decides_and_the_callers_random_state_stays():
    torch.rand(1)
    before = torch.get_rng_state()
    one, again = trained(seed=3), trained(seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(one, again)
    assert not same(one, trained(seed=4))


def test_the_augmentation_draws_from_the_seed():
    images, labels = bars(64)
    drawn = []

    def augment(x, rng):
        drawn.append(rng.random())
        return x

    for _ in range(2):
        train_classifier(images, labels, arch="small", side=8, augment=augment, epochs=1, seed=5, batch_size=32)
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_training_stops_where_it_is_told_to():
    images, labels = bars(96)
    asked = []

    def stop(model, epochs):
        asked.append(epochs)
        assert not model.training
        return len(asked) == 3

    options = {"arch": "small", "side": 8, "augment": lambda x, _: x, "seed": 0, "batch_size": 16, "optimizer": "adamw"}
    model = train_classifier(images, labels, epochs=9, rate=1e-3, stop=stop, asks=2, **options)
    assert asked == [0.5, 1.0, 1.5]  # six steps an epoch
    assert int(model.net.body[0][1].num_batches_tracked) == 9
    assert not model.training


def test_the_first_step_of_adamw_is_the_rate_in_size():
    images, labels = bars(32)
    options = {"arch": "small", "side": 8, "augment": lambda x, _: x, "epochs": 1, "seed": 0, "batch_size": 32}
    start = train_classifier(images, labels, rate=1e-12, optimizer="adamw", weight_decay=0.0, **options)
    for decay in (0.0, 0.5):
        made = train_classifier(images, labels, rate=1e-3, optimizer="adamw", weight_decay=decay, **options)
        before, after = (m.net.head.weight.detach() for m in (start, made))
        step = (after - before * (1 - 1e-3 * decay)).abs()
        moved = step > 1e-6  # weights of dead features have no gradient
        assert float(moved.float().mean()) > 0.5
        assert float((step[moved] - 1e-3).abs().max()) < 2e-5


def test_smoothing_keeps_the_network_less_sure():
    images, labels = bars(256)
    options = {"arch": "small", "side": 8, "augment": lambda x, _: x, "epochs": 4, "seed": 0, "batch_size": 32}
    sure, unsure = (
        train_classifier(images, labels, smoothing=s, **options)(images.float() / 255).softmax(1).amax(1).mean().item()
        for s in (0.0, 0.3)
    )
    assert 0.85 < unsure < sure - 0.02  # the targets are 0.85 and 1


def test_the_cache_gives_back_what_was_made_for_the_same_key_only(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path / "cache"))
    model, made = trained(n=64), []

    def make():
        made.append(1)
        return model

    assert cached({"seed": 0, "data": "x"}, "small", make)[1] is False
    again, found = cached({"data": "x", "seed": 0}, "small", make)
    assert found is True
    assert len(made) == 1
    assert same(model, again)
    assert cached({"seed": 1, "data": "x"}, "small", make)[1] is False
    assert len(made) == 2


def test_the_cache_is_the_users_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("UNSHAKEN_CACHE", raising=False)
    assert str(cache_dir()) == user_cache_dir("unshaken")
    monkeypatch.setenv("UNSHAKEN_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path


def test_a_key_that_the_cache_fills_in_is_refused():
    """Two networks that differ in it alone would be one."""
    with pytest.raises(ValueError, match="cache key recipe is filled in by the cache"):
        cached_weights({"recipe": "mine"}, dict)
    with pytest.raises(ValueError, match="cache key arch is filled in by the cache"):
        cached({"arch": "small"}, "small-cnn", trained)
