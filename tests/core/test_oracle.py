"""The counted door to the model."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from unshaken.core import Classifier, Gradient, Logits, Oracle, UnshakenError
from unshaken.core.classifier import evaluating
from unshaken.core.errors import ModelError
from unshaken.core.meter import Meter
from unshaken.core.oracle import required
from unshaken.core.query import Objective


class First(Objective):
    def __call__(self, answer):
        return answer.logits[:, 0]


class Greedy(nn.Module):
    """Runs out of memory above a batch size; keeps the sizes that it took."""

    def __init__(self, net, most, error=None):
        super().__init__()
        self.net, self.most, self.sizes = net, most, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")

    def forward(self, x):
        if len(x) > self.most:
            raise self.error
        self.sizes.append(len(x))
        return self.net(x)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["torch", "python", "cpu"])
@pytest.mark.parametrize("kind", ["exact", "logits", "points", "gradient"])
def test_memory_that_runs_out_halves_the_batch(tiny, batch, error, kind):
    model = Classifier(Greedy(tiny.net, 3, error)).eval()
    oracle = Oracle(model, limit=16)
    ask = {
        "exact": lambda o: o.exact(batch.images),
        "logits": lambda o: o.ask(Logits(batch.images)).logits,
        "points": lambda o: o.ask(Logits(batch.images[:, None].expand(-1, 5, -1, -1, -1))).logits,
        "gradient": lambda o: o.ask(Gradient(batch.images, of=First())).gradient,
    }[kind]
    got = ask(oracle)
    assert torch.allclose(got, ask(Oracle(tiny)), atol=1e-5)
    assert oracle.limit == 2
    assert oracle.meter.back_offs == 3  # 16, 8, 4 fail
    assert oracle.meter.largest_batch <= 3
    assert oracle.meter.forwards == (65 if kind == "points" else 13)  # what failed is not counted
    assert oracle.meter.backwards == (13 if kind == "gradient" else 0)


def test_strict_batches_raise(tiny, batch):
    oracle = Oracle(Classifier(Greedy(tiny.net, 3)), limit=16, strict_batch=True)
    with pytest.raises(torch.OutOfMemoryError):
        oracle.exact(batch.images)
    assert oracle.limit == 16


def test_one_image_that_does_not_fit_raises(tiny, batch):
    oracle = Oracle(Classifier(Greedy(tiny.net, 0)), limit=4)
    with pytest.raises(torch.OutOfMemoryError):
        oracle.exact(batch.images)
    assert (oracle.limit, oracle.meter.back_offs) == (1, 2)


def test_other_errors_are_not_taken_for_memory(batch):
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    oracle = Oracle(Classifier(Broken()), limit=4)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        oracle.exact(batch.images)
    assert oracle.meter.back_offs == 0


def test_passes_are_counted_with_their_largest_batch_and_time(tiny, batch):
    class Slow(nn.Module):
        def forward(self, x):
            time.sleep(0.01)
            return tiny.net(x)

    oracle = Oracle(Classifier(Slow()), limit=5)
    with oracle.meter.method():
        time.sleep(0.02)
        oracle.exact(batch.images)
    meter = oracle.meter
    assert (meter.forwards, meter.backwards, meter.largest_batch) == (13, 0, 5)
    assert meter.model_seconds >= 0.03
    assert 0.02 <= meter.method_seconds < 0.02 + meter.model_seconds  # the model's passes inside are left out


def test_exact_is_the_original_model_in_float32(tiny, batch):
    class Zero(nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 3)

    expected = tiny(batch.images).detach()
    for options in ({}, {"precision": "bf16"}, {"search_copy": Zero()}, {"search_copy": nn.Sequential(Zero())}):
        assert torch.equal(Oracle(tiny, **options).exact(batch.images), expected)
    assert bool((Oracle(tiny, search_copy=Zero()).ask(Logits(batch.images)).logits == 0).all())
    half = batch.images.bfloat16()
    got = Oracle(tiny).exact(half)
    assert got.dtype == torch.float32
    assert torch.equal(got, tiny(half.float()).detach())


def test_an_identity_is_a_search_copy_too():
    """An empty Sequential is false in Python, and a module all the same."""
    model = Classifier(nn.Flatten())
    images = torch.rand(2, 1, 1, 3)
    oracle = Oracle(model, search_copy=nn.Sequential())
    assert oracle.forward(images)[0].shape == (2, 1, 1, 3)


def test_bf16_searches_in_bf16_and_answers_in_float32(batch):
    seen = []

    class OneLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 3)

        def forward(self, x):
            z = self.layer(x.flatten(1))
            seen.append(z.dtype)
            return z

    model = Classifier(OneLayer()).eval()
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        answer = Oracle(model, precision=precision).ask(Gradient(batch.images, of=First()))
        assert seen.pop() == dtype
        assert (answer.logits.dtype, answer.gradient.dtype) == (torch.float32, torch.float32)


def test_model_mode_and_gradients_are_put_back_around_a_search(tiny, batch):
    tiny.train()
    with evaluating(tiny):
        Oracle(tiny).ask(Gradient(batch.images, of=First()))
        assert not tiny.training
        assert all(not p.requires_grad for p in tiny.parameters())
    assert tiny.training
    assert all(p.requires_grad and p.grad is None for p in tiny.parameters())


def test_a_black_box_gives_logits_and_no_gradients(tiny, batch):
    box = Classifier(tiny.net, differentiable=False, name="box")
    assert torch.allclose(Oracle(box).ask(Logits(batch.images)).logits, tiny(batch.images).detach(), atol=1e-5)
    with pytest.raises(ModelError, match=r"'box' gives no gradients \(black box\)"):
        Oracle(box).ask(Gradient(batch.images, of=First()))


@pytest.mark.parametrize("draws", [1, 4])
def test_gradients_of_a_random_model_are_averaged(batch, draws):
    class Slopes(nn.Module):
        """Slope 1, 2, 3, ... in successive passes."""

        def __init__(self):
            super().__init__()
            self.count = 0

        def forward(self, x):
            self.count += 1
            total = self.count * x.flatten(1).sum(1)
            return torch.stack([total, -total], 1)

    oracle = Oracle(Classifier(Slopes()), draws=draws)
    answer = oracle.ask(Gradient(batch.images, of=First()))
    mean = sum(range(1, draws + 1)) / draws
    assert torch.allclose(answer.gradient, torch.full_like(batch.images, mean))
    assert (answer.forwards.tolist(), answer.backwards.tolist()) == ([draws] * 13, [draws] * 13)
    assert oracle.meter.forwards == 13 * draws


def test_no_images_no_passes(tiny, batch):
    oracle = Oracle(tiny)
    assert oracle.exact(batch.images[:0]).shape == (0, 3)
    assert oracle.meter == Meter(0, 0, 0.0, 0.0, 0, 0) == Meter()


def test_an_answer_that_lacks_is_named():
    with pytest.raises(UnshakenError, match="no answer of the kind"):
        required(None)


# Doors beside each other.


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return torch.full((len(x), 3), self.value)


def test_a_door_beside_counts_on_the_same_meter(tiny, batch):
    oracle = Oracle(tiny, limit=7, draws=3, precision="bf16", strict_batch=True)
    sharing = oracle.share_meter()
    assert (sharing.model, sharing.limit, sharing.draws, sharing.precision) == (tiny, 7, 3, "bf16")
    assert sharing.strict_batch is True
    sharing.exact(batch.images)
    oracle.exact(batch.images[:2])
    assert oracle.meter is sharing.meter
    assert oracle.meter.forwards == 15
    other = oracle.share_meter(precision="fp32", draws=5)
    assert (other.precision, other.draws, oracle.precision, oracle.draws) == ("fp32", 5, "bf16", 3)


def test_a_door_to_another_model_asks_that_model_once_a_point(tiny, batch):
    oracle = Oracle(tiny, draws=3, search_copy=Constant(1.0))
    other = Classifier(Constant(2.0), name="other")
    sharing = oracle.share_meter(other)
    assert sharing.draws == 1
    assert oracle.share_meter(other, draws=2).draws == 2
    assert bool((sharing.ask(Logits(batch.images)).logits == 2).all())
    assert bool((sharing.exact(batch.images) == 2).all())
    assert oracle.meter.forwards == 26
    for same in (oracle.share_meter(), oracle.share_meter(tiny)):  # the quick copy stays with its own model
        assert bool((same.ask(Logits(batch.images)).logits == 1).all())
        assert torch.equal(same.exact(batch.images), tiny(batch.images).detach())


def test_the_search_copy_is_looked_into_where_only_the_input_of_a_linear_layer_is_wanted(tiny, batch):
    copy = Classifier(tiny.net, name="copy").eval()
    seen = []
    copy.net.register_forward_hook(lambda *_: seen.append("net"))
    oracle = Oracle(tiny, search_copy=copy)
    copied = oracle._eyes(("head:in",))
    assert copied is copy
    assert oracle._eyes(("body",)) is tiny
    assert oracle._eyes(("head:in", "body:in")) is tiny
    logits, found = oracle.forward(batch.images, ("head:in",))
    assert torch.equal(tiny.net.head(found["head:in"]), logits)
    assert len(seen) == 1


def test_rows_of_many_images_share_a_piece_only_where_they_fit(tiny):
    def pieces(limit, width):
        found = []
        Oracle(tiny, limit=limit)._pieces(5, width, lambda rows: found.append((rows.start, rows.stop)))
        return found

    assert pieces(5, 2) == [(0, 2), (2, 4), (4, 5)]
    assert pieces(4, 2) == [(0, 2), (2, 4), (4, 5)]
    assert pieces(3, 7) == [(i, i + 1) for i in range(5)]
    assert pieces(99, 1) == [(0, 5)]
