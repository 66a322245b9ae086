"""The cost of a training, foretold from its first steps."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from unshaken.data.resident import Samples
from unshaken.harden.engine.start import Start
from unshaken.harden.engine.training import Training
from unshaken.run import repair as how


def test_the_time_of_a_training_is_foretold_from_its_first_steps(net, photos, monkeypatch):
    """A clock by hand: the checks take 6 s, the first three of five steps 12 s."""
    clock = iter([0, 6, 10, 22])
    monkeypatch.setattr(how, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    samples, asked = Samples.of(*photos, 10), []
    training = Training(epochs=4, batch_size=32, check_images=8, check_every=2, max_clean_loss=0.1)
    start = Start(net(), "small")
    before = {k: v.clone() for k, v in start.model.net.state_dict().items()}
    found = how.try_out(start, samples, [], training, lambda model, held: asked.append(len(held)) or 0.5)
    assert found.seconds == 4 * (5 * 4 + 6 / 2)
    assert found.passes == 4 * 5 * (32 + 32)
    assert found.held_accuracy.n == 40
    assert asked == [40]
    assert all(torch.equal(v, before[k]) for k, v in start.model.net.state_dict().items())
    clock = iter([0, 6, 10, 22])
    short = how.try_out(start, samples, [], training.model_copy(update={"batch_size": 80}))
    assert short.seconds == 4 * (2 * 6 + 6 / 2)  # of two steps an epoch both
