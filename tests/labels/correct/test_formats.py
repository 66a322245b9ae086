"""Exports of a review, and their way back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.labels.correct.cleanlab import from_cleanlab, to_cleanlab
from unshaken.labels.correct.fiftyone import from_fiftyone, to_fiftyone
from unshaken.labels.correct.label_studio import from_label_studio, to_label_studio
from unshaken.labels.correct.outcome import Outcome, final_label, parse_answer, verdict_for
from unshaken.labels.correct.table import from_csv, to_csv
from unshaken.labels.review.protocol import ItemState, ReviewedLabel
from unshaken.labels.review.verdict import answer_of

CLASSES = ("=ant", "bee;: cat", "<i>", "d,'\"")


def reviewed(sample, given, answer, state="agreed", **answers):
    answers = {name.replace("_", " "): parse_answer(text, "") for name, text in answers.items()}
    return ReviewedLabel(
        sample, given, ItemState(state), parse_answer(answer, "") if answer else None, answers, answers, 1, 0.25
    )


OUTCOME = Outcome(
    CLASSES,
    [
        reviewed("a/1.png", 0, "0", ann="0", bob="0"),
        reviewed("=cmd()", 0, "2", ann="2", bob="2"),
        reviewed("'quoted", 1, "1 3", ann="1 3", bob="1 3"),
        reviewed("-x\ny", 1, "2 3", "settled", ann="2 3", Zoë_B="1"),
        reviewed('é,"', 2, "not-in-classes", ann="not-in-classes", bob="not-in-classes"),
        reviewed("u", 3, "unclear", ann="unclear", bob="unclear"),
        reviewed("w", 3, "", "waiting", ann="1"),
        reviewed("d", 3, "", "disputed", ann="1", bob="2"),
    ],
    "first",
)
FINAL = [0, 2, 1, None, None, 3, 3, 3]


def answers_of(outcome):
    return {(one.sample, reader): answer for one in outcome.labels for reader, answer in one.answers.items()}


def read(found):
    return {(one.sample, one.reader): one.answer for one in found}


def test_one_label_to_train_with():
    assert [final_label(one) for one in OUTCOME.labels] == FINAL


def test_answers_become_verdicts_that_give_them():
    for one in OUTCOME.labels:
        for answer in one.answers.values():
            assert answer_of(verdict_for(answer, one.given), one.given) == answer


def test_csv_round_trip(tmp_path):
    (tmp_path / "x.csv").write_bytes(to_csv(OUTCOME).encode())
    assert read(from_csv(tmp_path / "x.csv")) == answers_of(OUTCOME)
    assert "\n=" not in to_csv(OUTCOME)
    assert ",=ant" not in to_csv(OUTCOME)


def test_csv_of_others_with_an_answer_a_row(tmp_path):
    (tmp_path / "x.csv").write_text("id,answer\na,1\nb,\nc,unclear\n")
    assert [(one.sample, one.reader, str(one.answer)) for one in from_csv(tmp_path / "x.csv")] == [
        ("a", None, "1"),
        ("c", None, "unclear"),
    ]


def test_cleanlab_round_trip_of_single_answers(tmp_path):
    arrays = to_cleanlab(OUTCOME)
    np.savez(tmp_path / "x.npz", **arrays)
    single = {k: v for k, v in answers_of(OUTCOME).items() if len(v.classes) == 1}
    assert read(from_cleanlab(tmp_path / "x.npz")) == single
    assert arrays["corrected"].tolist() == [-1 if final is None else final for final in FINAL]
    assert arrays["is_label_issue"].tolist() == [False, True, False, True, True, False, False, False]


def test_cleanlab_takes_the_arrays():
    from cleanlab.multiannotator import get_majority_vote_label

    arrays = to_cleanlab(Outcome(CLASSES, OUTCOME.labels[:2], "v"))
    assert get_majority_vote_label(arrays["labels_multiannotator"]).tolist() == [0, 2]


def test_label_studio_round_trip(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(to_label_studio(OUTCOME)))
    assert read(from_label_studio(tmp_path / "x.json", CLASSES)) == answers_of(OUTCOME)


def test_label_studio_exports_by_itself_are_read(tmp_path):
    task = {
        "id": 7, "data": {"image": "/data/a.png"}, "project": 1,
        "annotations": [
            {"id": 1, "completed_by": 3, "lead_time": 2.5, "was_cancelled": False,
             "result": [{"id": "x", "type": "choices", "from_name": "choice", "to_name": "image",
                         "value": {"choices": ["<i>"]}, "origin": "manual"}]},
            {"id": 2, "completed_by": {"id": 4, "email": "ann@x.org"}, "was_cancelled": True, "result": []},
        ],
    }  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps([task]))
    found = from_label_studio(tmp_path / "x.json", CLASSES)
    assert [(one.sample, one.reader, str(one.answer)) for one in found] == [("/data/a.png", "3", "2")]


def test_fiftyone_round_trip(tmp_path):
    value = to_fiftyone(OUTCOME)
    (tmp_path / "labels.json").write_text(json.dumps(value))
    assert read(from_fiftyone(tmp_path / "labels.json", CLASSES)) == {
        (one.sample, None): one.answer for one in OUTCOME.labels if one.answer is not None
    }
    names = [None if label["label"] is None else CLASSES.index(label["label"]) for label in value["labels"].values()]
    assert names == FINAL


@pytest.mark.parametrize("label", [1, "bee;: cat", ["bee;: cat"], {"label": 1}])
def test_fiftyone_labels_of_other_forms(tmp_path, label):
    (tmp_path / "x.json").write_text(json.dumps({"classes": list(CLASSES), "labels": {"a": label, "b": None}}))
    assert [(one.sample, str(one.answer)) for one in from_fiftyone(tmp_path / "x.json", CLASSES)] == [("a", "1")]


@pytest.mark.parametrize(
    "reader", [from_csv, from_cleanlab, lambda p: from_label_studio(p, CLASSES), lambda p: from_fiftyone(p, CLASSES)]
)
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0", b"[1]", b"{}", b"id,answer\na,maybe\n", b"id,answer\na,2;3\n", b"PK\3\4"]
)
def test_what_is_no_export_is_refused(tmp_path, reader, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\b"):
        reader(path)
    with pytest.raises(DataError, match="absent"):
        reader(tmp_path / "absent")


def test_classes_of_one_name_are_refused_where_names_must_tell_them_apart():
    twice = Outcome(("a", "a"), [], "v")
    for export in (to_label_studio, to_fiftyone):
        with pytest.raises(ParameterError, match="'a' stands for several"):
            export(twice)
