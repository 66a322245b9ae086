"""Prototypes: what adding a class does and does not change, on disk and in a network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.harden.recipes.losses.normalised_softmax import NormalisedSoftmax
from unshaken.tasks.few_shot import PrototypeHead, add_classes, head_of, load_head
from unshaken.tasks.few_shot.extend import embed
from unshaken.tasks.few_shot.head import FORMAT, UNKNOWN


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def head():
    """Three trained classes and two that are added."""
    made = PrototypeHead.of(drawn(3, 8), ["a", "b", "c"])
    made.add_class("d", drawn(5, 8, seed=1))
    made.add_class("e", drawn(2, 8, seed=2))
    return made


def test_unit_vectors_are_averaged_not_features():
    head = PrototypeHead(2)
    head.add_class("x", torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    torch.testing.assert_close(head.prototypes, torch.tensor([[0.5**0.5, 0.5**0.5]]))


def test_adding_a_class_leaves_every_bit_of_the_others(head):
    asked = drawn(33, 8, seed=3)
    before = head.logits(asked)
    for i in range(70):
        head.add_class(f"new{i}", drawn(1, 8, seed=10 + i))
        assert torch.equal(head.logits(asked)[:, :5], before)


def test_one_example_is_at_cosine_one():
    head, x = PrototypeHead(6, scale=12.0), drawn(1, 6)
    head.add_class("one", x)
    assert float(head.logits(5 * x)) == pytest.approx(12.0, abs=1e-5)


def test_equal_examples_count_as_one():
    x, one, many = drawn(1, 6), PrototypeHead(6), PrototypeHead(6)
    one.add_class("x", x)
    many.add_class("x", x.expand(9, 6))
    torch.testing.assert_close(one.prototypes, many.prototypes)
    assert many.counts == (9,)


def test_examples_in_batches_and_in_another_order_give_the_same_prototype():
    x, whole, parts = drawn(7, 6), PrototypeHead(6), PrototypeHead(6)
    whole.add_class("x", x)
    parts.add_class("x", x[4:].flip(0))
    parts.extend_class("x", x[:4])
    assert torch.equal(whole.prototypes, parts.prototypes)


def test_the_order_of_additions_permutes_columns():
    one, other, asked = PrototypeHead(6), PrototypeHead(6), drawn(4, 6, seed=9)
    supports = {name: drawn(3, 6, seed=i) for i, name in enumerate("abc")}
    for name in "abc":
        one.add_class(name, supports[name])
    for name in "cab":
        other.add_class(name, supports[name])
    torch.testing.assert_close(one.logits(asked)[:, [2, 0, 1]], other.logits(asked))
    assert (one.classes, other.classes) == (("a", "b", "c"), ("c", "a", "b"))


def test_joint_restricted_to_new_classes_is_disjoint(head):
    asked, apart = drawn(40, 8, seed=4), PrototypeHead(8)
    apart.add_class("d", drawn(5, 8, seed=1))
    apart.add_class("e", drawn(2, 8, seed=2))
    assert torch.equal(head.predict(asked, among=["d", "e"]), apart.predict(asked) + 3)


def test_removing_a_class_undoes_adding_it(head):
    asked = drawn(6, 8, seed=5)
    before = head.logits(asked)
    head.add_class("f", drawn(2, 8, seed=6))
    head.remove_class("d")
    torch.testing.assert_close(head.logits(asked)[:, :4], before[:, [0, 1, 2, 4]])
    assert head.classes == ("a", "b", "c", "e", "f")


def test_what_is_near_no_class_is_unknown():
    head = PrototypeHead.of(torch.eye(3)[:2], ["x", "y"])
    asked = torch.tensor([[1.0, 0.1, 0.0], [0.0, 0.1, 1.0]])
    assert head.predict(asked, least=0.5).tolist() == [0, UNKNOWN]
    known = F.normalize(drawn(200, 3), dim=1)
    least = head.threshold(known, 0.9)
    accepted = float((head.predict(known, least=least) != UNKNOWN).double().mean())
    assert 0.9 <= accepted < 0.91


def test_a_threshold_accepts_the_share_that_was_asked_for():
    angles = torch.linspace(0, 1, 10)
    shown = torch.stack([angles.cos(), angles.sin()], 1)
    head = PrototypeHead(2)
    head.add_class("x", torch.tensor([[1.0, 0.0]]))
    for accept, kept in ((0.9, 9), (0.95, 10), (0.7, 7), (1, 10), (0.01, 1)):
        assert int((head.predict(shown, least=head.threshold(shown, accept)) == 0).sum()) == kept


def test_trained_classes_may_be_lowered(head):
    asked = drawn(6, 8, seed=5)
    change = head.logits(asked) - head.logits(asked, lowered=["a", "c"], by=1.5)
    torch.testing.assert_close(change, torch.tensor([1.5, 0, 1.5, 0, 0]).expand(6, 5))


def test_a_file_restores_everything(head, tmp_path):
    head.save(tmp_path / "head.safetensors")
    again = load_head(tmp_path / "head.safetensors")
    assert (again.classes, again.counts, again.scale) == (head.classes, head.counts, head.scale)
    assert torch.equal(again.prototypes, head.prototypes)
    again.extend_class("d", drawn(1, 8, seed=8))
    assert again.counts[3] == 6


def test_half_precision_gives_float32_prototypes():
    head = PrototypeHead(8)
    head.add_class("x", drawn(3, 8).bfloat16())
    assert head.prototypes.dtype == head.logits(drawn(2, 8).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda h: h.add_class("a", drawn(1, 8)), ParameterError, "'a' is there already"),
        (lambda h: h.add_class("z", drawn(1, 7)), DataError, r"must be \[N, 8\]"),
        (lambda h: h.add_class("z", drawn(0, 8)), DataError, "N at least 1"),
        (lambda h: h.add_class("z", torch.zeros(2, 8)), DataError, "no mean direction"),
        (lambda h: h.add_class("z", torch.cat([drawn(1, 8), -drawn(1, 8)])), DataError, "no mean direction"),
        (lambda h: h.add_class("z", drawn(1, 8) / 0), DataError, "no finite numbers"),
        (lambda h: h.extend_class("a", drawn(1, 8)), ParameterError, "trained weight"),
        (lambda h: h.remove_class("q"), ParameterError, "no class 'q'"),
        (lambda h: h.predict(drawn(1, 8), among=["q"]), ParameterError, "no class 'q'"),
        (lambda h: h.threshold(drawn(3, 8), 0), ParameterError, "accept"),
        (lambda h: PrototypeHead(8).logits(drawn(1, 8)), ParameterError, "no class: call add_class"),
        (lambda h: PrototypeHead(8, scale=0), ParameterError, "scale must be above 0"),
        (lambda h: PrototypeHead(8, scale=float("inf")), ParameterError, "scale must be above 0 and finite"),
        (lambda h: PrototypeHead.of(torch.zeros(1, 8), ["x"]), ModelError, "no direction"),
        (lambda h: PrototypeHead.of(drawn(2, 8), ["x", "x"]), ParameterError, "different names"),
        (lambda h: add_classes(small_net(), h), ModelError, "features of 8 numbers"),
    ],
)
def test_wrong_use_is_refused_with_the_reason(head, call, error, message):
    before = head.classes
    with pytest.raises(error, match=message):
        call(head)
    assert head.classes == before


@pytest.mark.parametrize("content", [b"", b"<html>", b"nothing of the kind"])
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / "head").write_bytes(content)
    with pytest.raises(ModelError):
        load_head(tmp_path / "head")


GOOD = {"format": FORMAT, "scale": "10", "classes": '["a", "b"]'}


@pytest.mark.parametrize(
    ("about", "tensors"),
    [
        ({"classes": None}, {}),
        ({"classes": '["a"'}, {}),
        ({"classes": "[1, 2]"}, {}),
        ({"classes": '"ab"'}, {}),
        ({"classes": '["a", "a"]'}, {}),
        ({"scale": None}, {}),
        ({"scale": '"x"'}, {}),
        ({"scale": "Infinity"}, {}),
        ({"scale": "-1"}, {}),
        ({}, {"sums": torch.zeros(2, 2)}),
        ({}, {"sums": torch.eye(2).long()}),
        ({}, {"counts": torch.tensor([0.5, -1.0])}),
        ({}, {"counts": torch.tensor([1, -1])}),
        ({}, {"counts": torch.tensor(2)}),
        ({}, {"counts": torch.tensor([1, 1, 1])}),
    ],
)
def test_a_file_of_somebody_else_is_checked(about, tensors, tmp_path):
    file = tmp_path / "head"
    save_file({"sums": torch.eye(2), "counts": torch.tensor([1, 1])}, file, GOOD)
    assert load_head(file).classes == ("a", "b")
    told = {key: value for key, value in {**GOOD, **about}.items() if value is not None}
    save_file({"sums": torch.eye(2), "counts": torch.tensor([1, 1]), **tensors}, file, told)
    with pytest.raises(ModelError, match="is damaged"):
        load_head(file)


def small_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))
    return Classifier(net, mean=[0.4], std=[0.2], classes=["a", "b", "c"], name="small")


@pytest.mark.parametrize("trained", ["normalised", "plain"])
def test_a_network_takes_the_classes_of_a_head(trained):
    model = small_net()
    if trained == "normalised":
        model = NormalisedSoftmax(scale=7).rebuild(model)
    model.train()  # dropout must not reach the prototypes
    images = torch.randint(0, 256, (9, 1, 3, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    head = head_of(model)
    assert (head.classes, head.scale) == (("a", "b", "c"), 7 if trained == "normalised" else 10)
    features = embed(model, images, cache=False)
    head.add_class("d", features[:4])
    wider = add_classes(model, head)
    assert wider.classes == ("a", "b", "c", "d")
    torch.testing.assert_close(wider(images / 255), head.logits(features))
    if trained == "normalised":
        torch.testing.assert_close(wider(images / 255)[:, :3], model.eval()(images / 255))
    assert model(images / 255).shape == (9, 3)
