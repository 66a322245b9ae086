"""Phrases from exemplars: mutual information by hand, concepts, retrieval."""

from __future__ import annotations

import math

import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.explain import Subject
from unshaken.explain.units.describer import (
    ConceptDescriber,
    Phrase,
    RetrievalDescriber,
    best_phrase,
    darkened,
    mean_cosine,
)
from unshaken.explain.units.milan import MILAN, SILENT
from unshaken.models import load_model
from unshaken.models.zero_shot import ZeroShot


def test_mutual_information_prefers_what_is_rare():
    one, two = Phrase("d1", -4, -3), Phrase("d2", -4.5, -9)
    chosen = {strength: best_phrase([one, two], strength) for strength in (0, 0.2, 1)}
    assert [p.text for p in chosen.values()] == ["d1", "d2", "d2"]
    assert (one.pmi(1), two.pmi(1)) == (-1, 4.5)


def test_equal_probabilities_of_phrases_change_no_order():
    phrases = [Phrase(str(i), g, -5.0) for i, g in enumerate((-3.0, -1.0, -2.0))]
    assert {best_phrase(phrases, strength).text for strength in (0, 0.2, 0.5, 1, 10)} == {"1"}


def test_no_phrase_is_no_description():
    assert best_phrase([], 0.2) is None


def test_the_outside_is_a_quarter_as_bright():
    images = torch.full((1, 3, 2, 2), 0.8)
    masks = torch.tensor([[[True, False], [False, True]]])
    assert darkened(images, masks)[0, 0].flatten().tolist() == pytest.approx([0.8, 0.2, 0.2, 0.8])


def test_agreement_is_the_mean_cosine_of_pairs():
    assert mean_cosine(torch.eye(3)) == 0
    assert mean_cosine(torch.ones(4, 2)) == pytest.approx(1)
    assert mean_cosine(torch.ones(1, 2)) is None


def test_shares_of_concepts_by_hand(concepts):
    """Twenty images: 320 pixels red, 320 green, 640 of the mark. A mask on 16 red pixels, all of them marked."""
    describer = ConceptDescriber(concepts)
    torch.testing.assert_close(describer.frequency, torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64))
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :4, :4] = True
    keys = describer.keys(torch.zeros(0), masks, ["0"])
    assert keys.tolist() == [[16, 0, 16]]
    red, green, mark = describer.phrases(keys)
    assert (red.text, red.category, mark.text) == ("red", "colour", "mark")
    assert red.log_p_given == pytest.approx(math.log(16.25 / 33))
    assert green.log_p_given == pytest.approx(math.log(0.25 / 33))
    assert mark.log_p_given == pytest.approx(math.log(16.5 / 33))
    assert mark.log_p == pytest.approx(math.log(0.5))
    assert best_phrase([red, green, mark], 0).text == "mark"
    assert best_phrase([red, green, mark], 0.2).text == "red"


TINY_CLIP = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


class Pair(nn.Module):
    """Embeds a picture as the means of its first two channels."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(10.0).log())

    def encode_image(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))[:, :2]


@pytest.fixture
def scorer():
    """Two phrases: red along the first channel, green along the second."""
    return Classifier(ZeroShot(Pair(), torch.eye(2)), classes=("something red", "something green"), name="pair").eval()


def test_the_bank_is_scored_within_the_masks(scorer):
    images = torch.zeros(2, 3, 4, 4)
    images[:, 0, :2], images[:, 1, 2:] = 0.8, 0.8  # red above, green below
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, :2] = True
    describer = RetrievalDescriber(scorer)
    keys = describer.keys(images, masks, ["a", "b"])
    red, green = torch.tensor([1.0, 0.25]).double() / math.hypot(1, 0.25) * 10  # the outside is darkened
    torch.testing.assert_close(keys[0], torch.stack([red, green]), atol=1e-5, rtol=1e-5)
    phrases = describer.phrases(keys)
    assert phrases[0].log_p_given == pytest.approx(float(torch.stack([red, green]).log_softmax(0)[0]), abs=1e-5)
    assert phrases[0].log_p == pytest.approx(math.log(0.5))
    assert describer.agreement(keys) == pytest.approx(1)


def test_images_of_any_content_say_how_likely_a_phrase_is(scorer):
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    share = 1 / (1 + math.exp(-10))
    assert RetrievalDescriber(scorer, red).log_p.exp().tolist() == pytest.approx([share, 1 - share], abs=1e-5)


def test_a_scorer_without_phrases_is_refused(colours):
    with pytest.raises(ModelError, match="does not name its classes"):
        RetrievalDescriber(colours)


def test_milan_describes_every_unit_and_says_when_there_is_nothing_to_say(colours, concepts, monkeypatch):
    monkeypatch.setattr("unshaken.explain.units.milan.open_concepts", lambda *args, **options: concepts)
    labelled = InMemory(torch.zeros(6, 3, 8, 8, dtype=torch.uint8), torch.tensor([3, 3, 3, 0, 1, 2]))
    subject = Subject({"m": colours}, labelled, range(6))
    found = MILAN(layers="body", k=4, quantile=0.9, ablate=6).find(subject)
    rows = found.rows
    assert rows["description"] == ["red", "green", rows["description"][2], None]
    assert rows["error"][3] == SILENT
    assert rows["score"][0] == pytest.approx(rows["log_p_given"][0] - 0.2 * rows["log_p"][0])
    assert rows["effect"] == [0.0] * 4  # of black images nothing is lost
    assert found.arrays["masks.body"].shape == (4, 4, 8)
    assert {len(column) for column in rows.values()} == {4}
    assert found.figures["agreement"].n == sum(a is not None for a in rows["agreement"])


def test_milan_retrieves_from_the_users_images(subject, scorer, monkeypatch):
    monkeypatch.setattr("unshaken.explain.units.milan.load_model", lambda spec: scorer)
    found = MILAN(layers="body", describer="retrieval", scorer="openclip:any", quantile=0.9).find(subject)
    assert set(found.rows["description"]) <= {"something red", "something green", None}
    assert found.rows["error"][3] == SILENT
    assert found.rows["exemplars"][0][0] in subject.dataset.ids


def test_milan_retrieves_by_an_open_clip_network_of_random_weights(subject, tmp_path, monkeypatch):
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {**open_clip.factory._MODEL_CONFIGS, "Tiny": TINY_CLIP})
    torch.manual_seed(0)
    peer = open_clip.create_model("Tiny").eval()
    save_file(peer.state_dict(), tmp_path / "clip.safetensors")
    (tmp_path / "phrases.txt").write_text("a red spot\nstripes\n")
    spec = f"openclip:Tiny/{tmp_path}/clip.safetensors?classes={tmp_path}/phrases.txt"
    rows = MILAN(layers="body", describer="retrieval", scorer=spec, quantile=0.9, k=3).find(subject).rows

    scorer, place = load_model(spec), {name: i for i, name in enumerate(subject.dataset.ids)}
    photos = torch.cat([batch.images for batch in subject.batches()])
    exemplars = photos[[place[name] for name in rows["exemplars"][0]]]
    inside = (exemplars[:, 0] > rows["threshold"][0])[:, None]
    shown = F.interpolate(exemplars * torch.where(inside, 1.0, 0.25), (32, 32), mode="bicubic", antialias=True)
    with torch.no_grad():
        given = scorer(shown.clamp(0, 1)).double().mean(0).log_softmax(0)
    said = rows["description"][0]
    assert rows["log_p_given"][0] == pytest.approx(float(given[scorer.classes.index(said)]), abs=1e-4)
    assert rows["error"] == [None, None, None, SILENT]


@pytest.mark.parametrize(
    ("options", "data", "error", "message"),
    [
        ({"describer": "retrieval"}, False, DataError, "needs images to probe"),
        ({"describer": "retrieval"}, True, ParameterError, "needs scorer="),
        ({"describer": "captioner"}, True, ParameterError, "needs captioner="),
        ({"describer": "captioner", "captioner": "/absent"}, True, ModelError, "holds no captioner that can be read"),
    ],
)
def test_what_is_missing_is_named(subject, options, data, error, message):
    from dataclasses import replace

    with pytest.raises(error, match=message):
        MILAN(layers="body", **options).find(subject if data else replace(subject, dataset=None))


def test_annotations_of_people_stand_beside(colours, concepts, monkeypatch, tmp_path):
    monkeypatch.setattr("unshaken.explain.units.milan.open_concepts", lambda *args, **options: concepts)
    table = tmp_path / "annotations.csv"
    table.write_text("layer,unit,description\nbody,0,red things\nbody,0,warm colours\nother,1,sky\n")
    found = MILAN(layers="body", annotations=str(table)).find(Subject({"m": colours}))
    assert found.extra["annotations"] == {"body:0": ["red things", "warm colours"]}
