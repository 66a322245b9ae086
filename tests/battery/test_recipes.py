"""What holds for every registered recipe. A new recipe is in here without an edit."""

from __future__ import annotations

import pytest
import torch

import unshaken
from tests.covering import covering
from unshaken.core import list_methods
from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.registry import parse_method
from unshaken.data import load_data
from unshaken.data.arrays import InMemory
from unshaken.data.resident import Samples
from unshaken.harden.engine.compose import Composition
from unshaken.harden.engine.fit import fit, fresh
from unshaken.harden.engine.loop import Loop
from unshaken.harden.engine.recipe import CLASSES, Recipe
from unshaken.harden.engine.run import recipe_text
from unshaken.harden.engine.training import Training
from unshaken.store.run_dir import RunDir

RECIPES = [m for m in list_methods("harden") if issubclass(m.cls, Recipe)]
TRAINING = Training(epochs=2, batch_size=10, lr=0.01, held_out=8, check_images=8, check_steps=2, save_every=1)


def every(methods):
    return pytest.mark.parametrize("method", methods, ids=[m.name for m in methods])


def cheap(method):
    """An instance with its large counts (steps) cut to 2, so that the battery stays quick."""
    values = dict(method.cls.first_try.parameters)
    for name, about in method.parameters().items():
        if about.get("type") == "integer" and about.get("default", 0) > 2:
            try:
                method.cls(**values, **{name: 2})
            except ParameterError:
                continue
            values[name] = 2
    return method.cls(**values)


def together(recipe):
    """The recipe, and those that it cannot do without."""
    return [recipe, *(parse_method(text, "harden") for text in recipe.first_try.companions)]


@pytest.fixture(scope="session")
def embedded():
    """40 embedded images of ten classes: three batches and eight held out."""
    samples = Samples(load_data("demo"), None, 10, limit=40)
    return samples.resident, samples.labels[torch.from_numpy(samples.good)]


@pytest.fixture
def gray(method, embedded):
    """Images for a recipe: every second pixel, `[N, 1, 14, 14]`, unless an embedded network is to see them, too."""
    images, labels = embedded
    whole = "demo" in str(method.cls.first_try)
    images = images if whole else images[..., ::2, ::2].contiguous()
    return images, labels_for(method, images, labels)


def labels_for(method, images, labels):
    """The labels; for a recipe that learns from masks alone, the class of each pixel that is bright."""
    if CLASSES in method.cls.learns_from:
        return labels
    return torch.where(images[:, 0] > 60, labels[:, None, None], 0).to(torch.uint8)


def outputs_of(method, images):
    """The shape of the logits: one row an image, or a map of rows where it learns from masks."""
    return (len(images), 10) if CLASSES in method.cls.learns_from else (len(images), 10, *images.shape[2:])


def loop_of(recipe, images, labels, run):
    model = fresh(recipe.first_try.arch, images, classes=10, seed=0)
    return Loop(recipe.rebuild(model), Samples.of(images, labels, 10), together(recipe), TRAINING, run=run)


def train_until_stopped(loop):
    """Train, stopped in the second epoch of three steps each."""
    steps = []

    def renew():
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt

    loop.renew = renew
    with pytest.raises(KeyboardInterrupt):
        loop.train()


@every(RECIPES)
def test_the_run_of_it_loads(method, gray, tmp_path):
    recipe = cheap(method)
    data = InMemory(*gray, classes=[str(i) for i in range(10)])
    settings = TRAINING.model_dump() | {"epochs": 1}
    made = unshaken.harden(recipe.first_try.arch, data, together(recipe), out=tmp_path / "run", **settings)
    images = gray[0][:4].float() / 255
    for file, model in (("model", made.model), ("last", None)):
        loaded = unshaken.load_model(f"run:{tmp_path / 'run'}?file={file}.safetensors")
        assert loaded(images).shape == outputs_of(method, images)
        if model is not None:
            assert torch.allclose(loaded(images), model(images), atol=1e-3)


@every(RECIPES)
def test_it_trains_and_stopped_and_resumed_the_weights_are_equal(method, gray, tmp_path):
    recipe, run, before = cheap(method), RunDir(tmp_path), torch.get_rng_state()
    start = fresh(recipe.first_try.arch, gray[0], classes=10, seed=0)
    first = {k: v.clone() for k, v in start.net.state_dict().items()}
    made = fit(start, *gray, together(recipe), TRAINING)
    assert torch.equal(torch.get_rng_state(), before)
    assert made.progress.epoch == 2
    assert all(torch.isfinite(v).all() for v in made.last.state_dict().values() if v.is_floating_point())
    assert any(not torch.equal(v, first.get(k, torch.zeros(0))) for k, v in made.last.net.state_dict().items())
    some = gray[0][:3].float() / 255
    assert made.model(some).shape == outputs_of(method, some)
    assert not made.model.training

    train_until_stopped(loop_of(recipe, *gray, run))
    again = loop_of(recipe, *gray, run)
    again.train(resume=True)
    weights = again.kept().net.state_dict()
    for name, weight in made.last.net.state_dict().items():
        assert torch.equal(weights[name], weight), name


def certain(model):
    """The model with logits so far apart that all other classes have the probability 0 in float32."""
    last = [module for module in model.net.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= 1e5
    return model


@covering("method, sure", [m for m in RECIPES if m.cls.first_try.arch == "small-cnn"], [[False], [True]])
def test_colour_images_that_are_not_square_and_two_classes(method, sure):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (48, 3, 16, 12), generator=generator, dtype=torch.uint8)
    labels = torch.arange(48) % 2
    recipe, start = cheap(method), fresh("small-cnn", images, classes=2, seed=0)
    brief = TRAINING.model_copy(update={"epochs": 1, "lr": 1e-6} if sure else {"epochs": 1})
    try:
        made = fit(certain(start) if sure else start, images, labels, together(recipe), brief)
    except UnshakenError as error:  # what cannot be done so says so in one line
        message = str(error)
    else:
        assert made.model(images[:3].float() / 255).shape == (3, 2)
        return
    assert "\n" not in message
    assert "nan" not in message


@every(RECIPES)
def test_its_text_makes_it_again(method):
    recipe = cheap(method)
    name, _, rest = recipe_text(recipe).partition(":")
    assert name == method.name
    values = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
    assert method.cls.from_text(values) == recipe


@every(RECIPES)
def test_it_is_refused_beside_itself(method):
    with pytest.raises(ParameterError, match="given 2 times"):
        Composition([cheap(method), cheap(method)])


@every(RECIPES)
def test_every_parameter_is_described(method):
    assert all(about.get("description") for about in method.parameters().values())
