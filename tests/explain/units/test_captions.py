"""The captioner's parts against formulas, its beam against all texts, and that it learns."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError
from unshaken.explain.units.caption_describer import CaptionDescriber, load_captioner, save_captioner
from unshaken.explain.units.caption_training import CaptionSettings, bleu, learn_captions
from unshaken.explain.units.captioner import (
    END,
    PAD,
    START,
    UNKNOWN,
    Captioner,
    LanguageModel,
    Pyramid,
    Vocabulary,
    attention_penalty,
    beam_search,
    caption_loss,
    masked_mean,
)
from unshaken.explain.units.describer import best_phrase


def test_masked_pooling_by_hand():
    features = torch.tensor([[[[1.0, 2], [3, 4]]]])
    right = torch.tensor([[[0.0, 1], [0, 1]]])
    assert masked_mean(features, right).tolist() == [[3.0]]
    assert masked_mean(features, torch.ones(1, 2, 2)).tolist() == [[2.5]]
    assert masked_mean(features, 7 * right).tolist() == [[3.0]]
    assert masked_mean(features, torch.zeros(1, 2, 2)).tolist() == [[0.0]]


def test_masks_are_brought_to_the_size_of_the_features():
    features = torch.tensor([[[[1.0, 2], [3, 4]]]])
    mask = torch.zeros(1, 4, 4)
    mask[:, :, 2:] = 1
    assert masked_mean(features, mask).tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("name", "layers", "count"),
    [
        ("resnet50", ("conv1", "layer1", "layer2", "layer3", "layer4"), 3904),
        ("resnet18", ("conv1", "layer1", "layer2", "layer3", "layer4"), 1024),
        ("alexnet", ("features.0", "features.3", "features.6", "features.8", "features.10"), 1152),
    ],
)
def test_the_pyramids_of_the_publication_have_their_lengths(name, layers, count):
    from torchvision import models

    with torch.device("meta"):
        net = models.get_model(name).eval()
        keys = Pyramid(Classifier(net), layers).keys(torch.empty(2, 3, 224, 224), torch.ones(2, 224, 224).bool())
    assert keys.shape == (2, count)


def test_an_encoders_layer_without_maps_is_refused():
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval())
    with pytest.raises(ModelError, match=r"layer '1' of the encoder gives \[1, 2\], not maps"):
        Pyramid(model, ["1"]).keys(torch.zeros(1, 3, 2, 2), torch.ones(1, 2, 2).bool())


def test_the_attention_penalty_by_hand():
    assert float(attention_penalty(torch.full((1, 15, 15), 1 / 15))) == pytest.approx(0, abs=1e-12)
    assert float(attention_penalty(torch.full((1, 5, 15), 1 / 15))) == pytest.approx(0.444444, abs=1e-6)
    there = torch.tensor([[True] * 5 + [False] * 10])  # steps behind the end count for nothing
    assert float(attention_penalty(torch.full((1, 15, 15), 1 / 15), there)) == pytest.approx(0.444444, abs=1e-6)


def test_the_loss_is_cross_entropy_and_penalty():
    torch.manual_seed(0)
    captioner = Captioner(7, 3, 4, 5).eval()
    keys, texts = torch.randn(2, 4, 3), torch.tensor([[START, 4, 5, END], [START, 6, END, PAD]])
    with torch.no_grad():
        log_p, attentions = captioner(keys, texts)
        loss = float(caption_loss(captioner, keys, texts))
    words = -sum(float(log_p[i, t, texts[i, t + 1]]) for i, n in ((0, 3), (1, 2)) for t in range(n)) / 5
    looked = torch.stack([attentions[0].sum(0), attentions[1, :2].sum(0)])
    assert loss == pytest.approx(words + float(((1 - looked) ** 2).mean()), abs=1e-6)
    torch.testing.assert_close(attentions.sum(2), torch.ones(2, 3))


def test_a_wide_beam_finds_the_likeliest_of_all_texts():
    torch.manual_seed(1)
    captioner = Captioner(7, 3, 4, 5).eval()
    for p in captioner.parameters():
        p.data.mul_(4)  # far from uniform
    keys = torch.randn(4, 3)
    every = [list(t) for n in range(4) for t in itertools.product([4, 5, 6], repeat=n)]

    def log_p(text):
        """The sum over words and the end; a text of the largest length ends there."""
        whole = torch.tensor([[START, *text, END]])
        with torch.no_grad():
            each = captioner(keys[None], whole)[0]
        return float(each[0].gather(1, whole[0, 1:, None]).sum())

    wanted = sorted(((text, log_p(text)) for text in every), key=lambda one: -one[1])
    found = beam_search(captioner, keys, width=40, length=3)
    assert [t for t, _ in found] == [t for t, _ in wanted]
    assert [v for _, v in found] == pytest.approx([v for _, v in wanted], abs=1e-5)
    narrow = beam_search(captioner, keys, width=2, length=3)
    assert len(narrow) == 2
    assert {UNKNOWN, PAD, START}.isdisjoint(w for t, _ in narrow for w in t)


def test_the_language_models_probabilities_sum_to_one():
    torch.manual_seed(2)
    model = LanguageModel(7, 4, 5).eval()
    texts = torch.tensor([[START, 4, 5, END, PAD], [START, 6, END, PAD, PAD]])
    with torch.no_grad():
        each = model(texts)
        found = model.log_p(texts)
    assert each.exp().sum(2).flatten().tolist() == pytest.approx([1.0] * 8, abs=1e-5)
    assert float(found[1]) == pytest.approx(float(each[1, 0, 6] + each[1, 1, END]), abs=1e-6)


def test_words_are_numbers_and_back():
    words = Vocabulary.of(["a red bar", "A bar!", "once"], least=2)
    assert words.words[4:] == ("a", "bar")
    encoded = words.encode(["A red bar", "bar a bar a"], 3)
    assert encoded.tolist() == [[START, 4, UNKNOWN, 5, END], [START, 5, 4, 5, END]]
    assert words.decode(encoded[1, 1:].tolist()) == "bar a bar"


def test_bleu_by_hand():
    assert bleu(["the cat sat here"], [["the cat sat here"]]) == pytest.approx(1)
    assert bleu(["red"], [["green"]]) == 0
    short = bleu(["a red bar now"], [["a red bar now at the top left"]])  # brevity alone: exp(1 - 8/4)
    assert short == pytest.approx(2.718281828**-1)
    assert bleu(["the the"], [["the cat"]], most=1) == 0.5  # a word counts as often as in a reference


@pytest.fixture(scope="module")
def learned():
    """Two kinds of keys, told apart by their sign, and what is said of them."""
    draw = torch.Generator().manual_seed(0)
    signs = torch.where(torch.arange(24) % 2 == 0, 1.0, -1.0)
    keys = signs[:, None, None] + 0.1 * torch.randn(24, 3, 2, generator=draw)
    texts = [["a red bar"] if sign > 0 else ["some green dots"] for sign in signs.tolist()]
    settings = CaptionSettings(epochs=40, batch=12, hidden=16, embedding=8, dropout=0.0, lr=0.05)
    return keys, learn_captions(keys, texts, settings, seed=0)


def test_it_learns_what_people_say(learned):
    keys, found = learned
    describer = CaptionDescriber(Pyramid(Classifier(nn.Identity()), []), found, width=5)
    said = [best_phrase(describer.phrases(key), 0.0).text for key in keys[:4]]
    assert said == ["a red bar", "some green dots"] * 2
    assert found.bleu == pytest.approx(1)


def test_a_captioner_is_written_and_read(learned, tmp_path):
    keys, found = learned
    save_captioner(found, tmp_path / "words", encoder="demo", layers=["body.0"])
    again = load_captioner(tmp_path / "words", encoder=Classifier(nn.Identity()), width=4)
    first = CaptionDescriber(Pyramid(Classifier(nn.Identity()), []), found, width=4)
    assert again.phrases(keys[0]) == first.phrases(keys[0])
    assert again.pyramid.layers == ("body.0",)
    (tmp_path / "words" / "captioner.json").write_text("{}")
    with pytest.raises(ModelError, match="holds no captioner that can be read"):
        load_captioner(tmp_path / "words")


def test_units_without_descriptions_are_refused():
    with pytest.raises(DataError, match="2 units came with 1 lists"):
        learn_captions(torch.zeros(2, 3, 4), [["a"]])
