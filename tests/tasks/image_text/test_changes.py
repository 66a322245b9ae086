"""Changes of texts and of images: nothing is taken away, nothing else moves, and a sample's draws are its own."""

import numpy as np
import pytest
import torch

from tests.tasks.image_text.toy import by_both, channel_means, samples
from unshaken.core.errors import DataError, ParameterError
from unshaken.stress.corruptions.fog import Fog
from unshaken.tasks.image_text import (
    BASELINES,
    AppendText,
    ChangeBoth,
    ChangeImage,
    PerturbText,
    describe_pictures,
    filler,
    image_keywords,
    keywords,
    nearest_texts,
    tag_keywords,
    text_keywords,
    write_urls,
    written_by,
)
from unshaken.tasks.image_text.words import add_text, split_sentences


def change(one, given=None, seed=0):
    given = samples() if given is None else given
    return one.apply(given, by_both, None, seed)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_what_is_appended_stands_behind_the_whole_text(name):
    given = samples()
    result = change(AppendText(name, BASELINES[name]), given)
    for before, added, after in zip(given.texts, result.added, result.texts, strict=True):
        assert after == f"{before} {added}"
        assert added
    assert result.images is given.images
    assert change(AppendText(name, BASELINES[name]), given[[5, 2]]).added == (result.added[5], result.added[2])


def test_nothing_added_is_nothing_changed():
    given, result = samples(), change(AppendText("none", written_by(lambda texts: [""] * len(texts))))
    assert result.texts == given.texts
    with pytest.raises(ParameterError, match="1 texts were written for 24"):
        change(AppendText("few", written_by(lambda texts: ["x"])))


def test_a_filler_has_the_length_that_is_asked_for_and_other_addresses_are_drawn():
    added = change(AppendText("filler", filler(33))).added
    assert {len(text.split()) for text in added} == {33}
    urls = change(AppendText("url", write_urls)).added
    assert len(set(urls)) == len(urls)
    assert change(AppendText("url", write_urls), seed=1).added != urls
    with pytest.raises(ParameterError, match="1 word"):
        filler(0)


def test_the_places_of_an_added_text():
    assert add_text("One. Two. Three.", "New.", "start") == "New. One. Two. Three."
    assert add_text("One. Two. Three.", "New.", "middle") == "One. Two. New. Three."
    assert add_text("one two three", "new", "middle") == "one two new three"
    assert split_sentences("海。船！ A dog? yes") == ["海。", "船！", "A dog?", "yes"]
    assert split_sentences("...") == ["..."]
    with pytest.raises(ParameterError, match="there is no position"):
        add_text("a", "b", "ende")


def test_the_text_of_the_most_similar_picture_is_never_its_own():
    given = samples(6)
    features = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 1], [0.9, 1]])
    result = change(AppendText("nearest", nearest_texts(lambda images: features)), given)
    assert result.added == tuple(given.texts[i] for i in (1, 0, 3, 2, 5, 4))
    with pytest.raises(DataError, match="two samples"):
        change(AppendText("nearest", nearest_texts(channel_means)), given[[0]])


def test_key_words_of_both_modalities():
    given = samples(2)
    added = change(AppendText("words", keywords([["sea"], ["barn"]], [["sail", "sea"], ["cow"]])), given).added
    assert added == ("sea sail", "barn cow")
    with pytest.raises(DataError, match="1 lists"):
        change(AppendText("words", keywords([["sea"]])), given)


def test_key_words_by_frequency_by_class_and_by_tag():
    texts = ["the ship in the harbor", "a ship at anchor", "a cow and the ship", "the of and"]
    found = text_keywords(texts, count=1)
    assert found == [["harbor"], ["anchor"], ["cow"], []]
    assert text_keywords(["of the"], count=2) == [[]]
    assert image_keywords(np.array([[0.1, 0.6, 0.3]]), ["cat", "dog", "fox"], count=2) == [["dog", "fox"]]
    assert tag_keywords(["a", "b"], {"a": ["man", "man", "hat", "sun"]}, count=2) == [["man", "hat"], []]
    with pytest.raises(ParameterError, match="give one a"):
        image_keywords(np.ones((1, 3)), ["cat"])
    with pytest.raises(ParameterError, match="count"):
        text_keywords(texts, count=0)


def test_pictures_in_words():
    levels = torch.tensor([[[[250]], [[252]], [[248]]], [[[90]], [[20]], [[20]]]], dtype=torch.uint8)
    assert describe_pictures(levels) == [("bright", ""), ("dark", "reddish")]
    assert describe_pictures(torch.full((1, 1, 2, 2), 128, dtype=torch.uint8)) == [("plain", "")]


@pytest.mark.parametrize("stressor", ["fog", Fog()])
def test_a_stressor_changes_the_image_alone(stressor):
    given, result = samples(4), change(ChangeImage(stressor, 5), samples(4))
    assert result.texts == given.texts
    assert (result.images != given.images).flatten(1).any(1).all()
    assert torch.equal(change(ChangeImage(stressor, 5), given[[2]]).images[0], result.images[2])


def test_typos_and_both_together():
    given = samples(6)
    typed = change(PerturbText("swap"), given)
    assert all(sorted(a) == sorted(b) for a, b in zip(typed.texts, given.texts, strict=True))
    assert typed.texts != given.texts
    both = change(ChangeBoth(ChangeImage("fog", 2), AppendText("url", write_urls)), given)
    assert torch.equal(both.images, change(ChangeImage("fog", 2), given).images)
    assert both.texts == change(AppendText("url", write_urls), given).texts
