"""`unshaken evaluate text-dilution`: files of a user's to rows, figures and a page; a run that goes on; bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import unshaken
from tests.tasks.image_text.toy import CLASSES, WORDS, samples
from tests.tasks.zero_shot.toy import colour_encoder
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.data.arrays import InMemory
from unshaken.measure.classification.class_means import macro_f1
from unshaken.store.run_dir import RunDir
from unshaken.tasks.image_text import text_dilution
from unshaken.tasks.image_text.text_files import read_texts

SAMPLES = samples(24)
DATA = InMemory(SAMPLES.images, torch.from_numpy(SAMPLES.labels), ids=SAMPLES.ids, classes=CLASSES)
CODE = f"""
import numpy as np
WORDS = {WORDS!r}

def predict(images, texts):
    found = np.ones((len(texts), 3))
    for row, text in zip(found, texts):
        for word in set(text.lower().replace(".", " ").replace(",", " ").split()):
            for k, own in enumerate(WORDS):
                row[k] *= 8 if word in own else 1
    tint = images.mean((2, 3)).double().mul(5).softmax(1).numpy()
    found = found * tint
    return found / found.sum(1, keepdims=True)

def make():
    return predict

def other():
    return lambda images, texts: predict(images, texts) * 0.5 + 1 / 6

def odd():
    return lambda images, texts: predict(images, texts)[:, :2]

def nothing():
    return 3
"""


def write(place, columns, rows):
    if place.suffix == ".csv":
        with place.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
    elif place.suffix == ".jsonl":
        place.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    else:
        pq.write_table(pa.table({c: [row[i] for row in rows] for i, c in enumerate(columns)}), place)
    return place


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "texts.csv", ["id", "text"], list(zip(SAMPLES.ids, SAMPLES.texts, strict=True)))
    write(tmp_path / "words.csv", ["class", "words"], [(c, " ".join(w)) for c, w in zip(CLASSES, WORDS, strict=True)])
    (tmp_path / "net.py").write_text(CODE)
    return tmp_path


def evaluate(line="", model="py:net.py:make", out="run", data=DATA, **options):
    return unshaken.evaluate(f"text-dilution:texts=texts.csv,candidates=4{line}", model, data, out=out, **options)


def test_words_of_other_classes_mislead_and_neutral_ones_do_not(folder):
    found = evaluate(",words=words.csv", gates="drop_make_worst >= 0.2")
    assert found.held
    rows, figures = found.run.rows("dilutions").to_pylist(), found.summary["figures"]
    by = {}
    for row in rows:
        by.setdefault(row["change"], []).append(row)
    assert list(by) == sorted(["clean", "filler", "first", "neutral", "relevant", "relevant-neutral", "worst"])
    for change, own in by.items():
        value = macro_f1([r["label"] for r in own], [r["changed_prediction"] for r in own], classes=3).value
        if change != "clean":
            assert figures[f"f1_make_{change}"]["value"] == pytest.approx(value)
            drop = 1 - value / figures["f1_make"]["value"]
            assert figures[f"drop_make_{change}"]["value"] == pytest.approx(drop)
    assert figures["drop_make_neutral"]["value"] == 0  # no word of a class is added
    content = figures["content_make_worst"]
    assert content["value"] == pytest.approx(figures["drop_make_worst"]["value"])
    assert content["low"] > 0
    assert all(not {w for own in WORDS for w in own} & {*r["added"].split()} - {*r["text"].split()}
               for r in by["neutral"])  # fmt: skip
    worst = {r["id"]: r["changed_p_label"] for r in by["worst"]}
    assert all(worst[r["id"]] <= r["changed_p_label"] + 1e-12 for r in by["first"])
    assert "their content misleads" in found.summary["answer"][1]
    page = (folder / "run/report.html").read_text()
    assert "Samples to read" in page
    assert page.count("<img") >= 20


def test_given_dilutions_and_similarities_stand_beside_the_drop(folder):
    rng = np.random.default_rng(0)
    wrong = [[w for k, own in enumerate(WORDS) if k != label for w in own] for label in SAMPLES.labels]
    rows = [
        (i, f"with {words[n]} and {words[n + 3]} behind it", round(float(rng.uniform(0, 1)), 3))
        for i, words in zip(SAMPLES.ids, wrong, strict=True) for n in range(2)
    ]  # fmt: skip
    rows = [*rows[:-2], ("absent", "of nobody", 0.5), ("s000", "", 0.5), ("s001", "a yard", "high")]
    write(folder / "dilutions.csv", ["id", "text", "similarity"], rows)
    found = evaluate(",dilutions=dilutions.csv")
    given = {(i, text): rate for i, text, rate in rows}
    shown = [r for r in found.run.rows("dilutions").to_pylist() if r["change"] in ("first", "worst", "relevant")]
    assert len(shown) == 72
    for row in shown:
        if row["added"]:
            assert row["relevance_image"] == given[row["id"], row["added"]]
    assert [r["kept"] for r in shown if r["id"] == SAMPLES.ids[-1]] == [False] * 3
    bad = {one.id: one.reason for one in found.bad_samples}
    assert bad["absent"] == "dilutions.csv has a dilution of it, and the data no such sample"
    assert bad["dilutions.csv row 48"] == "the text is missing"
    assert "the similarity is 'high': give a number from -1 to 1" in bad["dilutions.csv row 49"]
    neutral = [r for r in found.run.rows("dilutions").to_pylist() if r["change"] == "neutral" and r["added"]]
    assert {len(r["added"].split()) for r in neutral} == {6}  # as long as the given ones
    figures = found.summary["figures"]
    mean = np.mean([r["relevance_image"] for r in shown if r["change"] == "worst" and r["added"]])
    assert figures["relevance_image_worst"]["value"] == pytest.approx(mean)
    assert figures["relevance_image_relevant"]["value"] > figures["relevance_image_first"]["value"]
    assert any("1 of 24 samples have no dilution" in one for one in found.summary["remarks"])


def image_net():
    return Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)), classes=list(CLASSES))


def test_a_classifier_of_images_is_fused_and_stands_beside_one_modality_alone(folder, monkeypatch):
    train = samples(48, seed=1, first=24)
    monkeypatch.setattr(
        text_dilution.TextDilution, "further_data", (), raising=True
    )  # data in memory has no SPEC to be opened
    learned = InMemory(train.images, torch.from_numpy(train.labels), ids=train.ids, classes=CLASSES)
    monkeypatch.setattr("unshaken.tasks.evaluation.as_dataset", lambda spec, download: learned)
    write(folder / "more.jsonl", ["id", "text"], list(zip(train.ids, train.texts, strict=True)))
    line = ",words=words.csv,training=parquet:toy,training_texts=more.jsonl,steps=60"
    torch.manual_seed(0)
    net = image_net()
    found = evaluate(line, net)
    figures = found.summary["figures"]
    names = ("Classifier", "Classifier-other", "Classifier-text", "Classifier-image")
    assert {f"f1_{name}" for name in names} <= figures.keys()
    assert figures["drop_Classifier-image_worst"]["value"] == 0  # no text moves it
    assert figures["f1_Classifier"]["value"] >= figures["f1_Classifier-image"]["value"]
    assert "relevance_image_worst" in figures  # judged by the head of images alone
    again = evaluate(line, net, out="again")
    columns = ["seconds", "condition"]
    assert again.run.rows("dilutions").drop_columns(columns).equals(found.run.rows("dilutions").drop_columns(columns))


def test_a_killed_run_goes_on_to_equal_rows(folder, monkeypatch):
    whole = evaluate(out="whole")
    left, real = [3], RunDir.write_rows

    def dying(self, *args):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(RunDir, "write_rows", dying)
    with pytest.raises(KeyboardInterrupt):
        evaluate()
    left[0] = -1
    assert len(RunDir("run").rows("dilutions")) == 2 * 24
    with pytest.raises(RunError):
        evaluate()
    resumed = evaluate(resume=True)
    one, other = (r.run.rows("dilutions").drop_columns(["seconds"]) for r in (whole, resumed))
    assert one.equals(other)
    assert whole.summary["figures"] == resumed.summary["figures"]
    (folder / "texts.csv").write_text((folder / "texts.csv").read_text().replace("road", "lane"))
    with pytest.raises(RunError, match="further"):
        evaluate(resume=True)


def test_a_run_is_not_resumed_with_another_function(folder, monkeypatch):
    monkeypatch.setattr(text_dilution, "dilution_rows", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate()
    (folder / "net.py").write_text(CODE + "\n# changed\n")
    with pytest.raises(RunError, match="was begun with another 'make'"):
        evaluate(resume=True)


def test_both_encoders_of_a_model_judge_the_relevance_and_are_those_of_the_whole_run(folder, monkeypatch):
    turn = 0.0

    def load(spec, *, download):
        assert (spec, download) == ("openclip:toy/one", False)
        return colour_encoder(turn)

    monkeypatch.setattr(text_dilution, "load_dual_encoder", load)
    line = ",words=words.csv,relevance=openclip:toy/one"
    figures = evaluate(line, out="whole").summary["figures"]
    assert -1 <= figures["relevance_image_worst"]["value"] <= 1
    with monkeypatch.context() as broken:
        broken.setattr(text_dilution, "dilution_rows", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate(line)
    turn = 0.5
    with pytest.raises(RunError, match="was begun with another 'relevance=openclip:toy/one'"):
        evaluate(line, resume=True)


@pytest.mark.parametrize(
    ("line", "model", "error", "message"),
    [
        ("", "demo", ParameterError, "'demo' looks at images alone: name images and texts"),
        ("", ["py:net.py:make", "py:net.py:make"], ParameterError, "two models are called 'make'"),
        ("", "py:net.py:nothing", ModelError, "a int, not a function of images and texts"),
        ("", "py:net.py:odd", ModelError, r"shape \(24, 2\) for 24 samples of 3 classes"),
        ("", "py:net.py:mkae", ModelError, "no callable 'mkae'"),
        ("", "py:make", ParameterError, "write py:FILE_OR_MODULE:FACTORY"),
        (",dilutions=texts.csv,words=words.csv", None, ParameterError, "leave one of both out"),
        (",training_texts=texts.csv", None, ParameterError, "name them, too"),
        (",dilutions=absent.csv", None, DataError, "absent.csv"),
        (",dilutions=net.py", None, DataError, r"none of \.parquet, \.csv, \.jsonl"),
        (",dilutions=words.csv", None, DataError, "has no column 'id'"),
        (
            ",dilutions=strangers.csv",
            None,
            DataError,
            "no dilution is of a sample with a text: its ids are",
        ),
        (",words=strangers.csv", None, DataError, "no column 'class'"),
        (",words=few.csv", None, DataError, "the class 'horse' has fewer than two key words"),
        (",words=unknown.csv", None, DataError, "'boat' is no class of the data"),
        (",dilutions=broken.jsonl", None, DataError, "cannot be read as jsonl: "),
        (",dilutions=list.jsonl", None, DataError, "line 1 is no object"),
        (",relevance=py:net.py:make", None, ModelError, "the factory returned a function, not an nn.Module"),
        (",encoder=none", None, Exception, "there is no encoder 'none'"),
        (",position=top", None, ParameterError, "position"),
    ],
)
def test_bad_input_is_one_line(folder, line, model, error, message):
    write(folder / "strangers.csv", ["id", "text"], [("x", "a yard")])
    write(folder / "few.csv", ["class", "words"], [("ship", "anchor sail"), ("plane", "wing pilot")])
    write(folder / "unknown.csv", ["class", "words"], [("boat", "anchor sail")])
    (folder / "broken.jsonl").write_text('{"id": "s000", "text": \n')
    (folder / "list.jsonl").write_text("[1]\n")
    with pytest.raises(error, match=message) as found:
        evaluate(line, model or "py:net.py:make")
    assert "\n" not in str(found.value)


def test_samples_without_a_text_or_a_label_are_named(folder):
    rows = list(zip(SAMPLES.ids, SAMPLES.texts, strict=True))
    write(folder / "texts.csv", ["id", "text"], [*rows[1:], rows[5], ("", "a yard")])
    labels = torch.from_numpy(np.where(np.arange(24) == 3, -1, SAMPLES.labels))
    data = InMemory(SAMPLES.images, labels, ids=SAMPLES.ids, classes=CLASSES)
    found = evaluate(data=data)
    assert {one.id: one.reason for one in found.bad_samples} == {
        "s000": "texts.csv has no text of it",
        "s003": "it has no label",
        "texts.csv row 24": "the id 's005' was met before",
        "texts.csv row 25": "the id is missing",
    }
    assert len(found.run.rows("dilutions", condition="make.clean")) == 22


def test_texts_of_other_samples_alone_are_refused(folder):
    write(folder / "texts.csv", ["id", "text"], [("x", "a yard")])
    with pytest.raises(DataError, match=r"its ids are such as 's000', and those of texts\.csv such as 'x'"):
        evaluate()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_files_of_all_kinds_hold_the_same_texts(tmp_path, ending):
    rows = [("7", 'Grüße, "Welt"\nzwei'), ("8", "船が港に入る。"), ("7", "once more")]
    file = write(tmp_path / f"texts.{ending}", ["id", "text"], rows)
    found = read_texts(str(file), several=True)
    assert found.texts == {"7": [rows[0][1], rows[2][1]], "8": [rows[1][1]]}
    assert found.similarities is None
    assert read_texts(str(file)).bad == {f"texts.{ending} row 3": "the id '7' was met before"}


def test_numbers_in_jsonl_are_ids(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 7, "text": "a"}\n\n{"id": "8", "text": "b"}\n{"id": 9}\n')
    found = read_texts(str(tmp_path / "a.jsonl"))
    assert list(found.texts) == ["7", "8"]
    assert found.bad == {"a.jsonl row 3": "the text is missing"}
