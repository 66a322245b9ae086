"""The rule by hand, captions without class names, and figures against rows."""

import numpy as np
import pytest

from tests.papers.tiny import Tiny, make_tints
from unshaken.measure.classification.class_means import macro_f1
from unshaken.papers.claim import judge_parts
from unshaken.store.run_dir import RunDir
from unshaken.tasks.image_text.changes import NEUTRAL_WORDS
from unshaken.tasks.image_text.words import content_words
from unshaken_papers.cross_modal_dilution import CHANGES, CLASSIFIERS, CrossModalDilutionPaper
from unshaken_papers.cross_modal_dilution.captions import (
    DISTRACTORS,
    KEY_WORDS,
    OTHER_WORDS,
    SCENES,
    WITHOUT,
    caption,
)

TINY = Tiny(
    make=make_tints,
    model=lambda folder: "hashed-pieces",
)
"""How the battery runs the row, beside its tiny sizes."""

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def figure(low, high):
    return {"value": (low + high) / 2, "low": low, "high": high, "n": 9, "interval": "by hand"}


def outcomes(
    drop=(0.2, 0.4), beyond=(0.1, 0.3), less=(-0.3, -0.1), neutral=(0.1, 0.3), relevant=(0.1, 0.2), other=None
):  # fmt: skip
    content = {"beyond_filler": figure(*beyond), "less_than_filler": figure(*less), "beyond_neutral": figure(*neutral)}
    measured = {
        "drop": {"fused": {"relevant": figure(*drop)}}, "more_relevant": figure(*relevant),
        "content": {"fused": content, "other": other or content},
    }  # fmt: skip
    paper = CrossModalDilutionPaper()
    return {j.name: str(j.outcome) for j in judge_parts(paper.claim_parts(), paper.judge(measured)) if not j.untried}


def test_all_parts_are_shown_where_the_intervals_say_so():
    assert set(outcomes().values()) == {"shown"}


@pytest.mark.parametrize(
    ("given", "part", "outcome"),
    [
        ({"drop": (0.05, 0.4)}, "drop", "not visible at this scale"),
        ({"drop": (-0.2, -0.1)}, "drop", "contradicted"),
        ({"beyond": (-0.1, 0.3)}, "content", "not visible at this scale"),
        ({"beyond": (-0.9, -0.3), "less": (-0.1, 0.2)}, "content", "short of its rule"),
        ({"beyond": (-0.9, -0.3), "less": (0.1, 0.2)}, "content", "contradicted"),
        ({"neutral": (-0.1, 0.3)}, "content", "not visible at this scale"),
        ({"neutral": (-0.3, -0.1)}, "content", "contradicted"),
        ({"relevant": (-0.1, 0.1)}, "relevant", "not visible at this scale"),
        ({"relevant": (-0.2, -0.1)}, "relevant", "contradicted"),
        ({"other": {"beyond_filler": figure(-0.1, 0.1), "less_than_filler": figure(-0.1, 0.1)}}, "brittle",
         "not visible at this scale"),
    ],
)  # fmt: skip
def test_each_part_has_its_own_rule(given, part, outcome):
    found = outcomes(**given)
    assert found[part] == outcome


def test_captions_name_no_class_and_some_have_no_key_word():
    rng = np.random.default_rng(0)
    words = {w for own in KEY_WORDS for w in own}
    assert len(words) == 60
    without = 0
    for k, own in enumerate(KEY_WORDS):
        for _ in range(100):
            found = set(content_words(caption(k, rng)))
            assert not found & set(CIFAR)
            assert found & words <= set(own)
            without += not found & words
    assert without / 1000 == pytest.approx(WITHOUT, abs=0.05)
    assert not {w for t in DISTRACTORS for w in content_words(t)} & set(CIFAR)


def test_words_of_candidates_stand_in_no_caption():
    others = [w for own in OTHER_WORDS for w in own]
    captions = {w for own in KEY_WORDS for w in own} | {w for s in SCENES for w in content_words(s)} | {"moment", "saw"}
    assert len({*others, *NEUTRAL_WORDS}) == 60 + len(NEUTRAL_WORDS)
    assert not {*others, *NEUTRAL_WORDS} & (captions | set(CIFAR))
    assert [len(own) for own in OTHER_WORDS] == [6] * 10


def test_every_change_has_the_words_that_it_is_called_by(finished):
    rows = RunDir(finished("cross-modal-dilution").out).rows("dilutions").to_pylist()
    words = {
        "neutral": {*NEUTRAL_WORDS}, "own-words": {w for own in KEY_WORDS for w in own},
        "worst": {w for own in OTHER_WORDS for w in own},
    }  # fmt: skip
    for change, own in words.items():
        rest = set().union(*words.values()) - own
        added = [
            set(content_words(r["changed_text"].removeprefix(r["text"])))
            for r in rows if r["condition"].endswith(f"fused.{change}") and r["changed_text"] != r["text"]
        ]  # fmt: skip
        assert added
        assert all(len(found & own) == 2 and not found & rest for found in added)


def test_neutral_sentences_are_as_many_as_those_above_the_floors(finished):
    rows = RunDir(finished("cross-modal-dilution").out).rows("dilutions").to_pylist()
    by = {(r["condition"], r["id"]): r["queries"] for r in rows}
    relevant, neutral = (
        [by[c, i] for c, i in sorted(by) if c.endswith(f"fused.{name}")] for name in ("relevant", "neutral")
    )
    assert neutral == relevant
    assert len(set(relevant)) > 1


def test_figures_are_those_of_the_rows(finished):
    run = finished("cross-modal-dilution")
    rows = RunDir(run.out).rows("dilutions").to_pylist()
    measured = run.result.measured

    def f1(classifier, change):
        seeds = []
        for seed in ("seed0", "seed1"):
            own = [r for r in rows if r["condition"] == f"{seed}.{classifier}.{change}"]
            assert len(own) == 30
            seeds.append(macro_f1([r["label"] for r in own], [r["changed_prediction"] for r in own]).value)
        return np.mean(seeds)

    for name in CLASSIFIERS:
        assert measured[f"f1.{name}"]["value"] == pytest.approx(f1(name, "clean"))
        for change in CHANGES:
            drop = 1 - f1(name, change) / f1(name, "clean")
            assert measured[f"drop.{name}.{change}"]["value"] == pytest.approx(drop)
    beyond = measured["content.fused.beyond_filler"]["value"]
    assert beyond == pytest.approx(
        measured["drop.fused.relevant"]["value"] - 2 * measured["drop.fused.filler"]["value"]
    )
    over = measured["content.fused.beyond_neutral"]["value"]
    assert over == pytest.approx(measured["drop.fused.relevant"]["value"] - measured["drop.fused.neutral"]["value"])
    assert measured["drop.image.worst"]["value"] == 0  # no text moves it


def test_what_is_searched_is_worst_on_the_searched_classifier(finished):
    rows = RunDir(finished("cross-modal-dilution").out).rows("dilutions").to_pylist()
    by = {(r["condition"], r["id"]): r for r in rows}
    for (condition, i), row in by.items():
        if condition.endswith("fused.worst"):
            one = by[condition.replace("worst", "random"), i]
            relevant = by[condition.replace("worst", "relevant"), i]
            assert row["changed_p_label"] <= one["changed_p_label"]
            assert not relevant["kept"] or row["changed_p_label"] <= relevant["changed_p_label"]
            assert row["changed_text"].startswith(row["text"])
