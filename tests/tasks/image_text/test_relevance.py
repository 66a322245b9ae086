"""Relevance by hand, topics of texts, and a match score that knows mismatched pairs."""

import numpy as np
import pytest
import torch

from tests.tasks.image_text.toy import WORDS, bag, by_tint, channel_means, samples
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.tasks.image_text import ClassCaptionVectors, FusionTraining, MatchScore, Relevance, TopicModel
from unshaken.tasks.image_text.match import draw_mismatches

IMAGES = samples(3).images
NAMES = ["anchor", "saddle", "wing"]


def test_cosines_by_hand():
    side = Relevance(bag, lambda images: np.array([[0, 3.0, 0, 0]] * 3)).image_side(IMAGES)
    assert side[0].tolist() == [0, 1, 0, 0]
    found = Relevance(bag).scores(["sail", "sail mane", "sail"], ["anchor", "sail", " "], side)
    assert found.text[:2].tolist() == pytest.approx([1, 0.5**0.5])
    assert found.image[:2].tolist() == [0, 0]
    assert np.isnan(found.text[2])
    assert np.isnan(found.image[2])
    assert np.isnan(found.topics).all()


def test_captions_of_classes_weighted_by_an_image_model():
    """`v(x) = sum_c q_c(x) e("a photo of a c")`."""
    vectors = ClassCaptionVectors(lambda images: by_tint(images, ()), NAMES, bag, template="{}")
    found = vectors(IMAGES.float() / 255)
    q = by_tint(IMAGES.float() / 255, ())
    assert found[:, :3] == pytest.approx(q)
    sure = Relevance(bag, vectors).scores([""] * 3, ["anchor"] * 3, Relevance(bag, vectors).image_side(IMAGES))
    assert sure.image == pytest.approx(q[:, 0] / np.linalg.norm(q, axis=1), rel=1e-5)


def test_topics_of_texts_that_share_words_are_near():
    texts = [f"{WORDS[k][i % 3]} {WORDS[k][(i + 1) % 3]}" for k in range(3) for i in range(12)]
    model = TopicModel(texts, topics=3)
    shares = model(["anchor harbor", "saddle mane", "unknown"])
    assert shares.sum(1) == pytest.approx(1)
    assert shares[2] == pytest.approx(1 / 3)
    near, far = Relevance(bag, topics=model).scores(["anchor sail"] * 2, ["harbor anchor", "runway wing"], None).topics
    assert near < far
    for given, options in ((["the of"], {}), (["ship"], {"topics": 1})):
        with pytest.raises(ParameterError):
            TopicModel(given, **options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Relevance(bag, lambda x: np.ones(3)).image_side(IMAGES), "N, E"),
        (lambda: Relevance(bag, lambda x: np.full((3, 4), np.inf)).image_side(IMAGES), "finite"),
        (lambda: Relevance(bag).scores(["a"], ["b"], np.ones((1, 7))), "one space"),
        (lambda: ClassCaptionVectors(lambda x: np.ones((3, 2)), NAMES, bag)(IMAGES / 255), "image model gave"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(call, words):
    with pytest.raises(ModelError, match=words):
        call()


def test_mismatched_pairs_are_mismatched():
    given = samples(12)
    rows, partners = draw_mismatches(given, 0)
    assert (rows[:12] == partners[:12]).all()
    assert len(rows) == 48
    assert all(given.texts[a] != given.texts[b] for a, b in zip(rows[12:], partners[12:], strict=True))
    with pytest.raises(DataError, match="too few"):
        draw_mismatches(given[:3], 0)
    with pytest.raises(DataError, match="too few"):
        draw_mismatches(given.with_texts(["a"] * 12), 0)


def test_a_match_score_learns_which_texts_belong_to_which_images():
    """Texts and images are of one class each; mismatched texts are often of another, and never a vector of zeros."""
    train, test = samples(60).with_texts(by_class(samples(60))), samples(30, first=60)
    test = test.with_texts(by_class(test))
    training = FusionTraining(steps=120, hidden=(16,), lr=0.02, dropout=0.0)
    score = MatchScore.fit(train, channel_means, bag, training=training)
    assert score.auroc(test).value > 0.8
    own = Relevance(bag, match=score).scores(test.texts, [*test.texts[:29], ""], None, test.images).match
    other = Relevance(bag, match=score).scores(test.texts, [*test.texts[1:], ""], None, test.images).match
    assert own[:29].mean() > other[:29].mean() + 0.2
    assert np.isnan(own[29])
    chance = MatchScore.fit(train, lambda x: torch.zeros(len(x), 2), bag, training=training)
    assert 0.3 < chance.auroc(test).value < 0.7


def by_class(given):
    return [f"{WORDS[k][i % 3]} {i}" for i, k in enumerate(given.labels)]
