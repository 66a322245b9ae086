"""Recipes on the simulated device: the weights of the CPU, bit for bit, and runs that change devices half way."""

from __future__ import annotations

from tests.battery.test_recipes import RECIPES, TRAINING, cheap, embedded, every, gray, together, train_until_stopped  # noqa: F401
from unshaken.data.resident import Samples
from unshaken.harden.engine._processes import Processes
from unshaken.harden.engine.fit import fresh
from unshaken.harden.engine.loop import Loop
from unshaken.store.run_dir import RunDir


def loop_on(place, recipe, images, labels, run=None, training=TRAINING):
    model = recipe.rebuild(fresh(recipe.first_try.arch, images, classes=10, seed=0)).to(place)
    samples = Samples.of(images, labels, 10)
    return Loop(model, samples, together(recipe), training, processes=Processes(device=str(place)), run=run)


@every(RECIPES)
def test_weights_are_those_of_the_cpu_whatever_device_the_run_began_on(method, gray, device, tmp_path):  # noqa: F811
    recipe, run = cheap(method), RunDir(tmp_path)
    expected = loop_on("cpu", recipe, *gray)
    expected.train()
    train_until_stopped(loop_on(device, recipe, *gray, run))
    again = loop_on("cpu", recipe, *gray, run)
    again.train(resume=True)
    for name, weight in expected.live.net.state_dict().items():
        apart = (again.live.net.state_dict()[name].double() - weight.double()).abs()
        assert float(apart.mean()) <= 1e-5, name
        assert float(apart.max()) <= 1e-3, name
