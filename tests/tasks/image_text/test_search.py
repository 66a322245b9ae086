"""The search for a dilution: nested candidates, floors, key words of both modalities, and what is refused."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.tasks.image_text.toy import WORDS, bag, by_both, by_tint, by_words, samples
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.tasks.image_text import (
    ClassCaptionVectors,
    Dilution,
    Floors,
    ModelWriter,
    Relevance,
    TemplateWriter,
    describe_pictures,
    gather_material,
    mislead_loss,
    soft_words,
    text_keywords,
)
from unshaken.tasks.image_text.predict import ask, true_probability

GIVEN = samples()
MATERIAL = gather_material(
    GIVEN, WORDS, by_tint(GIVEN.images.float() / 255, GIVEN.texts), text_words=text_keywords(GIVEN.texts),
    looks=describe_pictures(GIVEN.images), image_words=[["road"]] * len(GIVEN),
)  # fmt: skip
RELEVANCE = Relevance(bag, ClassCaptionVectors(lambda images: by_tint(images, ()), ["anchor", "mane", "wing"], bag))


def search(relevance=None, given=GIVEN, seed=0, predict=by_both, **options):
    dilution = Dilution(TemplateWriter(), MATERIAL[: len(given)], **options)
    return dilution.apply(given, predict, relevance, seed)


def chance(result, given=GIVEN):
    found = ask(by_both, result.images, result.texts, 3)
    return true_probability(found, given.labels)


def test_more_candidates_never_mislead_less():
    worst = [chance(search(count=m)) for m in (1, 2, 5, 10)]
    for fewer, more in pairwise(worst):
        assert (more <= fewer).all()
    assert worst[-1].mean() < worst[0].mean()
    assert worst[0].mean() < chance(search(count=1, predict=by_tint)).mean() + 1e-12  # a plain change asks nobody


def test_the_chosen_candidate_is_the_worst_of_all():
    """By hand: every candidate of a sample is shown to the classifier."""
    dilution = Dilution(TemplateWriter(), MATERIAL, count=4)
    result = dilution.apply(GIVEN, by_both, None, 0)
    for i, own in enumerate(dilution.candidates(GIVEN, 0)):
        texts = [f"{GIVEN.texts[i]} {d}" for d in own]
        found = ask(by_both, GIVEN.images[[i] * len(own)], texts, 3)[:, GIVEN.labels[i]]
        assert result.added[i] == own[int(np.argmin(found))]
        assert result.queries[i] == (len(own) if len(own) > 1 else 0)


def test_one_candidate_asks_nothing():
    def refuse(images, texts):
        raise AssertionError("it was asked")

    result = search(count=1, predict=refuse)
    assert set(result.queries) == {0}
    assert all(result.kept)


def test_higher_floors_never_mislead_more():
    worst = [
        chance(search(RELEVANCE, floors=Floors(text=t, image=t))) for t in (None, -1.0, 0.2, 0.5, 0.8, 1.1)
    ]  # fmt: skip
    assert (worst[0] == worst[1]).all()
    for lower, higher in pairwise(worst):
        assert (higher >= lower).all()
    refused = search(RELEVANCE, floors=Floors(text=1.1), count=3)
    assert refused.texts == GIVEN.texts
    assert not any(refused.kept)
    assert all(re.fullmatch(r"\d relevance to the text below 1.1", reason) for reason in refused.reasons)


def test_a_sample_has_the_same_candidates_whatever_is_beside_it():
    dilution = Dilution(TemplateWriter(), MATERIAL, count=3).candidates(GIVEN, 0)
    alone = Dilution(TemplateWriter(), [MATERIAL[7]], count=3).candidates(GIVEN[[7]], 0)
    assert alone == [dilution[7]]
    assert Dilution(TemplateWriter(), MATERIAL, count=3).candidates(GIVEN, 1) != dilution


def test_key_words_of_picture_text_and_a_wrong_class_are_in_it():
    for material, label, own in zip(
        MATERIAL, GIVEN.labels, Dilution(TemplateWriter(own=9), MATERIAL).candidates(GIVEN, 0), strict=True
    ):  # fmt: skip
        assert "road" in material.image_words
        for text in own:
            assert all(word in text for word in [*material.image_words, *material.text_words, material.look])
            found = [k for k, words in enumerate(WORDS) if sum(w in text for w in words if w not in material.text)]
            assert set(found) != {label}


def test_the_first_stage_alone_names_nothing_of_other_classes():
    for k, own in zip(
        GIVEN.labels, Dilution(TemplateWriter(misleads=False), MATERIAL).candidates(GIVEN, 0), strict=True
    ):  # fmt: skip
        assert not any(w in text for text in own for j, words in enumerate(WORDS) if j != k for w in words)


@pytest.mark.parametrize("position", ["end", "start", "middle"])
def test_the_place_is_a_parameter(position):
    result = search(position=position, count=2)
    for before, after, added in zip(GIVEN.texts, result.texts, result.added, strict=True):
        assert after.replace(added, "").split() == before.split()
        assert (after.startswith(before), after.endswith(before)) == (position == "end", position == "start")


def test_a_language_model_writes_and_class_names_are_refused():
    prompts = []

    def model(prompt, seed):
        prompts.append(prompt)
        return "A saddle\n lies there." if seed % 2 else "A horse lies there."

    result = Dilution(ModelWriter(model), MATERIAL, count=6).apply(GIVEN, by_both, None, 0)
    assert "near the road 0" in prompts[0]
    assert "horse" in prompts[0]  # as a forbidden word
    assert set(result.added) <= {"A saddle lies there.", ""}
    assert any("names a class" in reason for reason in result.reasons)
    with pytest.raises(ModelError, match="NoneType"):
        Dilution(ModelWriter(lambda prompt, seed: None), MATERIAL).apply(GIVEN, by_both, None, 0)
    empty = Dilution(ModelWriter(lambda prompt, seed: " "), MATERIAL).apply(GIVEN, by_both, None, 0)
    assert set(empty.reasons) == {"1 nothing was written"}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: search(count=0), ParameterError, "1 candidate"),
        (lambda: search(floors=Floors(text=0.5)), ParameterError, "relevance that is measured"),
        (lambda: search(Relevance(bag), floors=Floors(image=0.5)), ParameterError, "image_vectors"),
        (lambda: search(RELEVANCE, floors=Floors(topics=1)), ParameterError, "topics"),
        (lambda: search(position="side"), ParameterError, "position"),
        (lambda: Dilution(TemplateWriter(), MATERIAL).apply(samples(3), by_both, None, 0), DataError, "gather it"),
        (lambda: TemplateWriter(templates=()), ParameterError, "no template"),
        (lambda: TemplateWriter(templates=("{c}",)), ParameterError, "cannot be filled"),
        (lambda: gather_material(GIVEN, WORDS[:2], np.ones((24, 3))), DataError, "key words of each of the 3"),
        (lambda: gather_material(GIVEN, (*WORDS[:2], ()), np.ones((24, 3))), DataError, "one at least"),
        (lambda: gather_material(GIVEN, WORDS, np.ones((3, 24))), DataError, "not .24, 3."),
        (lambda: gather_material(GIVEN, WORDS, np.ones((24, 3)), text_words=[["a"]]), DataError, "text_words"),
    ],
)
def test_wrong_use_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_text_only_classifier_is_misled_most():
    result = search(count=5, predict=by_words)
    lost = []
    for predict in (by_words, by_both, by_tint):
        before, after = (ask(predict, GIVEN.images, t, 3).argmax(1) for t in (GIVEN.texts, result.texts))
        lost.append(int(((before == GIVEN.labels) & (after != GIVEN.labels)).sum()))
    assert lost[0] > lost[1] >= lost[2] == 0


P = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)


@pytest.mark.parametrize(("form", "value"), [("sum", 1.203973), ("largest", 1.609438), ("margin", 1.252763)])
def test_values_by_hand(form, value):
    assert mislead_loss(P.log(), torch.tensor([0]), form=form).item() == pytest.approx(value, abs=1e-6)
    assert mislead_loss(P.log() + 5, torch.tensor([0]), form=form).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("form", ["sum", "largest", "margin"])
def test_who_is_misled_already_costs_nothing(form):
    tie = torch.tensor([[0.4, 0.4, 0.2]]).log()
    assert mislead_loss(P.log(), torch.tensor([1]), form=form).item() == 0
    assert mislead_loss(tie, torch.tensor([0]), form=form).item() == 0


def test_the_gradient_reaches_the_generator_through_soft_words_and_not_through_the_largest():
    torch.manual_seed(0)
    generator = torch.randn(2, 4, 6, requires_grad=True)
    table, weights = torch.randn(6, 5), torch.randn(5, 3)
    labels = (soft_words(generator, table).mean(1) @ weights).argmax(1)
    mislead_loss(soft_words(generator, table).mean(1) @ weights, labels).sum().backward()
    assert generator.grad.abs().amax((1, 2)).min() > 0
    hard = table[generator.argmax(-1)].mean(1) @ weights
    assert not mislead_loss(hard, labels).requires_grad


def test_a_step_along_the_gradient_misleads():
    torch.manual_seed(1)
    generator, table, weights = torch.randn(1, 3, 6), torch.randn(6, 5), torch.randn(5, 3)

    def logits(x):
        return soft_words(x, table).mean(1) @ weights

    labels, x = logits(generator).argmax(1), generator.clone().requires_grad_()
    for _ in range(300):
        loss = mislead_loss(logits(x), labels).sum()
        if loss == 0:
            break
        (gradient,) = torch.autograd.grad(loss, x)
        x = (x - 2 * gradient).detach().requires_grad_()
    assert logits(x).softmax(1)[0, labels[0]] < logits(generator).softmax(1)[0, labels[0]]


def test_a_low_temperature_is_nearly_the_largest_word():
    torch.manual_seed(0)
    generator, table = torch.randn(1, 3, 6), torch.randn(6, 5)
    assert torch.allclose(soft_words(generator, table, temperature=1e-3), table[generator.argmax(-1)], atol=1e-4)


def test_wrong_use_of_the_misleading_loss_is_refused():
    with pytest.raises(ParameterError, match="form"):
        mislead_loss(P, torch.tensor([0]), form="best")
    with pytest.raises(ParameterError, match="temperature"):
        soft_words(P[None], P.T, temperature=0)
