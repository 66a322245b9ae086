"""Insertion rounds: key words stay, rounds end, gaps stay closed; and a tiny masked language model of a folder."""

import numpy as np
import pytest

from tests.tasks.tiny_bert import make_bert
from unshaken.core.errors import ModelError, ParameterError
from unshaken.tasks.image_text import InsertionWriter, MaskedModel, Material
from unshaken.tasks.image_text.writers import insert_rounds


def rng(seed=0):
    return np.random.default_rng(seed)


def always(p):
    return lambda gaps: [[("very", p), ("old", p / 2)] for _ in gaps]


def is_within(words, text):
    rest = iter(text)
    return all(word in rest for word in words)


def test_key_words_stay_in_their_order_and_length_is_kept():
    found = insert_rounds(["ship", "harbor", "cow"], always(0.5), rng(), longest=9)
    assert len(found) == 9
    assert is_within(["ship", "harbor", "cow"], found)
    assert set(found) == {"ship", "harbor", "cow", "very", "old"}


def test_the_first_round_is_forced_and_later_ones_stop():
    """A best word of probability .04 is below the bound .1 from round 1 (bound .05) on, and above it in round 0."""
    assert len(insert_rounds(["ship"], always(0.04), rng(), decay=2)) == 3
    assert len(insert_rounds(["ship"], always(0.06), rng(), decay=2)) == 7  # rounds 0 and 1; the bound is then .1
    assert len(insert_rounds(["ship"], always(0.2), rng(), rounds=3)) == 15
    assert insert_rounds(["ship"], lambda gaps: [[] for _ in gaps], rng()) == ["ship"]
    assert insert_rounds([], always(0.04), rng()) in (["very"], ["old"])
    with pytest.raises(ParameterError, match="decay"):
        insert_rounds(["ship"], always(1), rng(), decay=0)


def test_gaps_know_both_sides():
    seen = []

    def fill(gaps):
        seen.extend(gaps)
        return [[] for _ in gaps]

    insert_rounds(["a", "b"], fill, rng())
    assert seen == [([], ["a", "b"]), (["a"], ["b"]), (["a", "b"], [])]


def test_a_writer_by_insertion_mixes_both_modalities_and_a_wrong_class():
    material = Material("a ship", "dark", ["road"], ["ship"], [["saddle", "mane"]])
    text = InsertionWriter(always(0.5), longest=8)(material, rng()).split()
    assert {"road", "ship", "saddle", "mane"} < set(text)
    assert len(text) == 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_bert(tmp_path_factory.mktemp("bert"), masked=True)


def test_a_masked_model_gives_whole_words_by_their_probability(folder):
    model = MaskedModel(folder, best=3)
    found = model([([], ["ship"]), (["old", "ship"], []), (["ship"] * 150, ["old"])])
    for options in found[:2]:
        assert {word for word, _ in options} == {"ship", "old", "near"}
        chances = [p for _, p in options]
        assert chances == sorted(chances, reverse=True)
        assert 0 < sum(chances) < 1
    assert found[2] == []  # its mask is beyond what the model reads
    text = insert_rounds(["ship"], model, rng(), rounds=2, least=0.0)
    assert is_within(["ship"], text)
    assert len(text) == 7


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no model"):
        MaskedModel(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="no masked language model"):
        MaskedModel(tmp_path)
