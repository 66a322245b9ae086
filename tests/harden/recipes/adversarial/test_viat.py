"""VIAT: which object a viewpoint comes from, what is searched when, and what cannot be rendered."""

import numpy as np
import pytest
import torch

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.data import load_data
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.training import Training
from unshaken.harden.recipes.adversarial import viat
from unshaken.harden.recipes.adversarial.viat import VIAT, open_objects

TINY = {"objects": "solids:2", "batch_size": 8, "components": 2, "pairs": 3, "steps": 1, "warm_steps": 1}
CONTROL = TINY | {"views": "random"}
TRAINING = Training(epochs=2, batch_size=8, lr=0.01, held_out=1, check_every=2, select="last", warmup=0)


def images(channels=3, side=16, n=16):
    draws = SampleRng.of(0, "images", [str(i) for i in range(n)])
    return draws.integers(0, 256, channels, side, side).to(torch.uint8), torch.arange(n) % 8


class Remembering(VIAT):
    """It keeps its memory for the test."""

    def after_epoch(self, epoch):
        seen.append({name: value.clone() for name, value in epoch.memory.items()})


seen = []


def test_all_objects_are_searched_first_and_then_one_of_each_class():
    seen.clear()
    Remembering.info = VIAT.info
    pictures, labels = images()
    recipe = Remembering(**TINY)
    made = fit(fresh("small-cnn", pictures, classes=8, seed=0), pictures, labels, [recipe], TRAINING)
    first, second = seen
    assert first["mu"].shape == (16, 2, 6)
    assert bool((first["sigma"] > 0).all())
    changed = (first["mu"] != second["mu"]).flatten(1).any(1)
    assert first["labels"][changed].tolist() == list(range(8))
    curves = made.progress.curves
    assert 0 <= curves[0]["viat.accuracy"] <= 1
    assert curves[0]["viat.fitness"] > 0
    plain = fit(fresh("small-cnn", pictures, classes=8, seed=0), pictures, labels, [VIAT(**CONTROL)], TRAINING)
    searched = 16 * (2 + 2 * 3) + 8 * (2 + 2 * 3)
    assert made.progress.forwards - plain.progress.forwards == searched


@pytest.mark.parametrize(("sharing", "own"), [(0.0, 1.0), (1.0, 0.5)])
def test_the_share_of_viewpoints_of_another_object(sharing, own):
    recipe = VIAT(**TINY | {"sharing": sharing})
    n = len(open_objects("solids:2"))
    mark = torch.linspace(-1, 1, n)[:, None, None].expand(n, 2, 6)  # tells whose a viewpoint is
    memory = {"labels": torch.arange(8).repeat_interleave(2), "mu": mark, "sigma": torch.full_like(mark, 1e-6)}
    numbers = np.tile(np.arange(n), 40)
    views = recipe._draw_views(memory, numbers, np.random.default_rng(0))
    u = ((views[:, 1] - 0) / 180).atanh()
    whose = ((u + 1) * (n - 1) / 2).round().long()
    assert bool((memory["labels"][whose] == memory["labels"][numbers]).all())
    assert float((whose == torch.from_numpy(numbers)).float().mean()) == pytest.approx(own, abs=0.06)


@pytest.mark.parametrize(("views", "most"), [("natural", 45), ("random", 180)])
def test_controls_draw_from_their_box(views, most):
    recipe = VIAT(**TINY | {"views": views})
    drawn = recipe._draw_views({}, np.zeros(400, np.int64), np.random.default_rng(0))
    assert most * 0.95 < float(drawn[:, 1].abs().max()) < most


def test_what_cannot_be_rendered_is_refused():
    def begin(recipe, pictures, classes=8):
        labels = torch.arange(len(pictures)) % classes
        fit(fresh("small-cnn", pictures, classes=classes, seed=0), pictures, labels, [recipe], TRAINING)

    with pytest.raises(ParameterError, match="name objects to render, as in viat:objects=meshes:DIR"):
        begin(VIAT(), images()[0])
    with pytest.raises(DataError, match="viat needs objects"):
        begin(VIAT(objects="demo"), images()[0])
    with pytest.raises(DataError, match=r"has 4 outputs, and data .* 8 classes"):
        begin(VIAT(**TINY), images()[0], classes=4)
    with pytest.raises(ParameterError, match="objects have size=20, the training images 16 pixels"):
        begin(VIAT(**TINY | {"objects": "solids:2?size=20"}), images()[0])
    with pytest.raises(ParameterError, match="it renders squares of 1 or 3 channels, not 3 x 16 x 12"):
        begin(VIAT(**TINY), images()[0][..., :12].contiguous())


def test_each_training_opens_the_objects_anew_and_once(monkeypatch):
    """Meshes may have changed since an earlier training of this process."""
    opened = []
    monkeypatch.setattr(viat, "load_data", lambda spec: opened.append(spec) or load_data(spec))
    pictures, labels = images()
    for count in (1, 2):
        fit(fresh("small-cnn", pictures, classes=8, seed=0), pictures, labels, [VIAT(**CONTROL)], TRAINING)
        assert len(opened) == count
