"""Fusion heads: the published size and arithmetic, pooling that is not diluted, and training in a few steps."""

import numpy as np
import pytest
import torch

from tests.tasks.image_text.toy import bag, channel_means, samples
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.tasks.image_text import FusionHead, FusionTraining, ImageFeatureMemory, fit_fusion
from unshaken.tasks.image_text.fusion import MOST_SENTENCES, encode_texts, pool_sentences
from unshaken.tasks.image_text.predict import ask, truncations

SHORT = FusionTraining(steps=60, hidden=(16,), lr=0.02)


def test_the_published_head_has_as_many_parameters():
    head = FusionHead(256, 768, 5, hidden=(512, 256, 128, 64, 32))
    assert sum(p.numel() for p in head.parameters()) == 699_525


def pooled(a, pool):
    """`t = (1, 0)` beside `a` times `d = (0, 1)`, as sentences."""
    vectors = torch.tensor([[[1.0, 0.0]] + [[0.0, 1.0]] * a])
    return pool_sentences(vectors, torch.ones(1, 1 + a, dtype=torch.bool), pool)


@pytest.mark.parametrize(("a", "p"), [(0, 0.924142), (1, 0.622459), (3, 0.377541)])
def test_a_mean_is_diluted_and_a_maximum_is_not(a, p):
    """`z = 2 t' + (.5, 0)` with `t' = (t + a d) / (1 + a)`; it flips at a = 5/3."""
    z = 2 * pooled(a, "mean") + torch.tensor([0.5, 0.0])
    assert z.softmax(1)[0, 0].item() == pytest.approx(p, abs=1e-6)
    z = 2 * pooled(a, "max") + torch.tensor([0.5, 0.0])
    assert z.softmax(1)[0, 0].item() == pytest.approx(0.622459 if a else 0.924142, abs=1e-6)


def test_the_flip_is_at_five_thirds():
    t, d = torch.tensor([1.0, 0.0], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64)

    def margin(a):
        z = 2 * (t + a * d) / (1 + a) + torch.tensor([0.5, 0.0], dtype=torch.float64)
        return float(z[0] - z[1])

    assert margin(5 / 3 - 1e-6) > 0 > margin(5 / 3 + 1e-6)


def test_six_tokens_beside_eighteen_weigh_a_quarter():
    vectors = torch.zeros(1, 24, 1)
    vectors[:, :6] = 1
    assert pool_sentences(vectors, torch.ones(1, 24, dtype=torch.bool), "mean").item() == 0.25


def test_an_encoder_that_cannot_say_whether_it_cuts_texts_says_nothing():
    found = fit_fusion(samples(), channel_means, bag, training=FusionTraining(steps=1))
    assert truncations(found, ["a ship"]) == [None]


def test_attention_finds_the_sentence_it_looks_for():
    direction = torch.tensor([50.0, 0.0])
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    found = pool_sentences(vectors, torch.ones(1, 3, dtype=torch.bool), "attention", direction)
    assert found[0].tolist() == pytest.approx([1, 0], abs=1e-6)


@pytest.mark.parametrize("pool", ["whole", "mean", "max", "attention"])
def test_rows_that_fill_up_count_for_nothing(pool):
    alone = encode_texts(bag, ["an anchor. A sail."], pool)
    beside = encode_texts(bag, ["an anchor. A sail.", "a. b. c. d. e."], pool)
    direction = torch.ones(4)
    one, two = (pool_sentences(v[:1], there[:1], pool, direction) for v, there in (alone, beside))
    assert torch.allclose(one, two, atol=1e-6)


@pytest.mark.parametrize(("uses", "least"), [("both", 0.9), ("text", 0.6), ("image", 0.9)])
def test_heads_learn_what_they_read(uses, least):
    model = fit_fusion(samples(48), channel_means, bag, uses=uses, training=SHORT)
    test = samples(24, first=48)
    found = ask(model, test.images, test.texts, 3)
    assert (found.argmax(1) == test.labels).mean() >= least
    other = ask(model, test.images.flip(0), test.texts, 3) if uses == "text" else None
    if uses == "image":
        other = ask(model, test.images, test.texts[::-1], 3)
    if other is not None:
        assert (other == found).all()  # what is not used moves nothing


def test_the_same_seed_gives_the_same_weights_and_no_other_does():
    weights = [
        fit_fusion(samples(), channel_means, bag, training=FusionTraining(steps=3, seed=s)).head.state_dict()
        for s in (0, 0, 1)
    ]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert any(not torch.equal(weights[0][k], weights[2][k]) for k in weights[0])


def test_diluted_texts_in_training_leave_less_to_dilute():
    train, test = samples(48), samples(24, first=48)
    added = " saddle runway"
    plain = fit_fusion(train, channel_means, bag, uses="text", training=SHORT)
    hard = fit_fusion(
        train, channel_means, bag, uses="text", training=SHORT, diluted=[[t + added for t in train.texts]]
    )  # fmt: skip
    texts = [t + added for t in test.texts]
    accuracy = [(ask(m, test.images, texts, 3).argmax(1) == test.labels).mean() for m in (plain, hard)]
    assert accuracy[1] > accuracy[0]


def test_a_modality_left_out_in_training_may_be_missing_later():
    train, test = samples(48), samples(24, first=48)
    training = FusionTraining(steps=60, hidden=(16,), lr=0.02, modality_dropout=0.6)
    blank = ["something"] * len(test)
    model = fit_fusion(train, channel_means, bag, training=training)
    assert (ask(model, test.images, blank, 3).argmax(1) == test.labels).mean() > 0.8


def test_features_of_a_picture_are_computed_once():
    calls = []

    class Model:
        pass

    memory = ImageFeatureMemory.__new__(ImageFeatureMemory)
    memory.model, memory.layer, memory._known = torch.nn.Identity(), "", {}
    import unshaken.tasks.image_text.fusion as module

    def features(model, batches, layers):
        parts = list(batches)
        calls.append(sum(len(p) for p in parts))
        return {"": torch.cat([channel_means(p) for p in parts])}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "features_of_batches", features)
        images = samples(5).images.float() / 255
        first = memory(images)
        again = memory(torch.cat([images[3:], images[:1] + 0.001]))
    assert calls == [5, 1]
    assert torch.equal(again[:2], first[3:])
    assert torch.equal(first, channel_means(images))


def test_truncation_is_reported_where_it_is_known():
    model = fit_fusion(samples(), channel_means, bag, training=FusionTraining(steps=1), pool="max")
    assert model.truncates(["a."]) == [None]
    assert model.truncates(["a. " * (MOST_SENTENCES + 1)]) == [True]
    whole = fit_fusion(samples(), channel_means, Encoder(), training=FusionTraining(steps=1))
    assert whole.truncates(["short", "long " * 9]) == [False, True]


class Encoder:
    def __call__(self, texts):
        return bag(texts)

    def truncates(self, texts):
        return [len(t) > 20 for t in texts]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: FusionHead(2, 2, 2, uses="all"), ParameterError, "uses"),
        (lambda: FusionHead(2, 2, 2, pool="sum"), ParameterError, "pool"),
        (lambda: FusionTraining(dropout=2), ParameterError, "dropout"),
        (lambda: FusionTraining(steps=0), ParameterError, "steps"),
        (lambda: fit_fusion(samples(9)[[0, 3]], channel_means, bag), DataError, "one class"),
        (lambda: fit_fusion(samples(9), channel_means, bag, diluted=[["a"]]), DataError, "1 diluted"),
        (lambda: fit_fusion(samples(9), lambda x: x, bag), ModelError, "N, D"),
        (lambda: fit_fusion(samples(9), channel_means, lambda t: np.full((len(t), 2), np.nan)), ModelError, "finite"),
        (lambda: ask(lambda i, t: np.ones((len(t), 3)), samples(4).images, samples(4).texts, 3), ModelError, "softmax"),
        (lambda: ask(lambda i, t: np.ones((1, 3)) / 3, samples(4).images, samples(4).texts, 3), ModelError, "shape"),
    ],
)
def test_wrong_use_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
