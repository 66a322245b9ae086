"""Prompts and their mean by hand; names, templates and embeddings that cannot be used."""

import sys

import numpy as np
import pytest
import torch

from tests.tasks.zero_shot.toy import COLOURS, colour_encoder, encode, tinted
from unshaken.core.errors import DataError, MissingExtra, ModelError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.models.zero_shot import DualEncoder, ImageTower, class_weights, with_classes
from unshaken.tasks.ranking import image_vectors
from unshaken.tasks.zero_shot import embed_images, load_templates, prompt_figures, prompt_hits

HALF = 0.5**0.5


def test_the_mean_of_prompts_by_hand():
    two = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    assert class_weights(two)[0].tolist() == pytest.approx([HALF, HALF])
    assert class_weights(two * torch.tensor([[[7.0], [0.2]]]))[0].tolist() == pytest.approx([HALF, HALF])
    one = torch.tensor([[[0.6, 0.8]]])
    assert class_weights(one)[0].tolist() == pytest.approx([0.6, 0.8])


def test_logits_are_scaled_cosines():
    encoder = colour_encoder(turn=0.3, noise=0.2, scale=20.0)
    model = encoder.classifier(COLOURS, ["a {} thing", "{}"])
    images = tinted(6)[0].float() / 255
    with torch.no_grad():
        seen = encoder.model.net(images)
        said = [encode([f"a {c} thing", c]) for c in COLOURS]
    centres = [sum(row / row.norm() for row in rows) for rows in said]
    expected = torch.stack([20 * torch.cosine_similarity(seen, c[None]) for c in centres], 1)
    assert torch.allclose(model(images), expected, atol=1e-5)
    vectors = image_vectors(model, images, "encoder")
    assert torch.allclose(vectors, seen / seen.norm(dim=1, keepdim=True), atol=1e-6)
    other = with_classes(model, torch.eye(3)[:2], ["one", "other"])
    assert torch.allclose(other(images), 20 * vectors[:, :2], atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "templates", "message"),
    [
        (("cat", ""), ["{}"], "class 1 has an empty name"),
        (("cat", "dog", "Cat"), ["{}"], r"2 classes are called 'cat' \(numbers 0, 2\)"),
        (("cat",), ["{}"], "needs 2 classes at least, not 1"),
        (("cat", "dog"), ["a photo"], r"template 'a photo' has no \{\}"),
        (("cat", "dog"), [], r"template None has no \{\}"),
        (("cat", "dog"), "a {}", "must be a list of sentences"),
    ],
)
def test_names_and_templates_that_cannot_be_used(classes, templates, message):
    with pytest.raises(ParameterError, match=message):
        colour_encoder().classifier(classes, templates)


def test_embeddings_that_cannot_be_used():
    def made(encode_text):
        return DualEncoder(ImageTower(torch.nn.Flatten()), encode_text).classifier(("a", "b"))

    with pytest.raises(ModelError, match="1 of 2 text embeddings are not finite"):
        made(lambda texts: torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))
    with pytest.raises(ModelError, match="2 of 2 text embeddings are 0"):
        made(lambda texts: np.zeros((len(texts), 3)))
    with pytest.raises(ModelError, match=r"2 texts gave embeddings of shape \(1, 3\)"):
        made(lambda texts: torch.ones(1, 3))
    with pytest.raises(ModelError, match="1 of 2 image embeddings are not finite"):
        prompt_hits(torch.tensor([[1.0, 0], [float("inf"), 0]]), torch.eye(2)[:, None], torch.tensor([0, 1]))


def test_prompts_alone_and_together_by_hand():
    """The first template mixes the classes up; the mean of three has the right ones again."""
    prompts = torch.stack([torch.eye(2).flip(0), torch.eye(2), torch.eye(2)], 1)
    images, labels = torch.tensor([[1.0, 0.1], [0.2, 1.0], [1.0, 0.5], [0.6, 0.5]]), torch.tensor([0, 1, 0, 1])
    alone, together = prompt_hits(images, prompts, labels)
    assert alone.tolist() == [[False, True, True]] * 3 + [[True, False, False]]
    assert together.tolist() == [True, True, True, False]
    found = prompt_figures(alone, together)
    assert [f.value for f in found.alone] == [0.25, 0.75, 0.75]
    assert found.spread == pytest.approx(np.std([0.25, 0.75, 0.75], ddof=1))
    assert (found.range, found.together.value) == (0.5, 0.75)
    assert found.gain.value == pytest.approx(0.75 - 7 / 12)
    with pytest.raises(DataError, match="do not fit"):
        prompt_hits(images[:, :1], prompts, labels)
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.1"):
        prompt_hits(images, prompts, labels + 1)


def test_templates_by_name(tmp_path):
    assert load_templates("plain") == ("a photo of a {}.",)
    seven, eighty = load_templates("openai-7"), load_templates("openai-80")
    assert (len(seven), len(set(eighty))) == (7, 80)
    assert "itap of a {}." in seven
    assert all("{}" in t for t in eighty)
    (tmp_path / "own.txt").write_text("one {}\n\ntwo {} three\n")
    assert load_templates(str(tmp_path / "own.txt")) == ("one {}", "two {} three")
    with pytest.raises(ParameterError, match="no templates 'openai-8'; did you mean"):
        load_templates("openai-8")


def test_published_templates_need_open_clip(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtra, match=r"unshaken\[models\]"):
        load_templates("openai-80")


def test_images_are_embedded_in_order_at_any_batch_size():
    images, labels = tinted(9)
    data = InMemory(images, labels, bad={4: "torn"})
    model = colour_encoder(0.2).classifier(COLOURS)
    found = embed_images(model, data, range(9), batch=4)
    whole = image_vectors(model, images.float() / 255, "encoder")
    assert found.ids == tuple(str(i) for i in range(9) if i != 4)
    assert torch.allclose(found.vectors, whole[[i for i in range(9) if i != 4]], atol=1e-6)
    with pytest.raises(DataError, match="none of the samples"):
        embed_images(model, InMemory(images[:1], labels[:1], bad={0: "torn"}), [0])
