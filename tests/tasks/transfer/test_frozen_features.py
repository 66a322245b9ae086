"""`unshaken evaluate frozen-features`: figures against scikit-learn from its rows, a resume, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import unshaken
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.report.gates import Gate
from unshaken.tasks.transfer.frozen_features import FrozenFeatures, class_accuracy, class_precision

NAMES = ("low", "mid", "high")
LABELS = torch.arange(90) % 3
NOISE = torch.randint(0, 200, (90, 1, 6, 6), generator=torch.Generator().manual_seed(0))
IMAGES = (NOISE + 25 * LABELS.view(-1, 1, 1, 1)).byte()
DATA = InMemory(IMAGES, LABELS, classes=NAMES)


def net() -> Classifier:
    """Its features are the means of the image's quarters."""
    return Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 2)), classes=["cat", "dog"])


MODEL = net()


def evaluate(out, data=DATA, *, resume=False, **values):
    return unshaken.evaluate(FrozenFeatures(**{"c": 1.0, **values}), MODEL, data, out=out, resume=resume)


def quarters(ids):
    images = IMAGES[[int(i) for i in ids]].float() / 255
    return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1).numpy()


def test_average_precision_is_that_of_scikit_learn_also_of_equal_similarities():
    rng = np.random.default_rng(0)
    similar = rng.integers(0, 6, (30, 20)) / 5
    relevant = rng.random((30, 20)) < 0.3
    relevant[:, 0] = True
    expected = [average_precision_score(r, s) for r, s in zip(relevant, similar, strict=True)]
    np.testing.assert_allclose(class_precision(similar, relevant), expected, rtol=1e-12)


def test_class_accuracy_is_the_balanced_one_and_certain_of_nothing():
    labels, predictions = np.array([0] * 9 + [1] * 3), np.array([0] * 8 + [1] + [1, 1, 0])
    figure = class_accuracy(labels, labels == predictions)
    assert figure.value == pytest.approx(balanced_accuracy_score(labels, predictions))
    assert figure.low < figure.value < figure.high
    perfect = class_accuracy(labels, labels == labels)
    assert perfect.value == 1
    assert perfect.low < 1


def test_figures_follow_from_rows_and_the_classifier_is_that_of_scikit_learn(tmp_path):
    found = evaluate(tmp_path / "run")
    figures = found.summary["figures"]
    assert all(Gate.parse(f"{name} >= 0.5").name == name for name in figures)
    rows = [r for r in found.run.rows("frozen_features").to_pylist() if r["condition"] == "2-in_logistic"]
    judged = {r["id"] for r in rows}
    learned = [str(i) for i in range(90) if str(i) not in judged]
    assert [len([i for i in learned if int(i) % 3 == k]) for k in range(3)] == [15, 15, 15]
    assert figures["accuracy_2-in_logistic"]["value"] == pytest.approx(np.mean([r["correct"] for r in rows]))
    own = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    own.fit(quarters(learned).astype(np.float64), LABELS[[int(i) for i in learned]])
    expected = own.predict(quarters(r["id"] for r in rows).astype(np.float64))
    assert [r["prediction"] for r in rows] == expected.tolist()
    assert [r["name"] for r in rows] == [NAMES[int(r["id"]) % 3] for r in rows]
    ranks = [r for r in found.run.rows("frozen_retrieval").to_pylist() if r["condition"] == "2-in"]
    assert figures["map_2-in"]["value"] == pytest.approx(np.mean([r["average_precision"] for r in ranks]))
    assert {r["relevant"] for r in ranks} == {15}
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (quarters(r["id"] for r in ranks), quarters(learned))]
    similar = unit[0].astype(np.float64) @ unit[1].T
    for row, line in zip(ranks, similar, strict=True):
        relevant = LABELS[[int(i) for i in learned]].numpy() == row["label"]
        assert row["average_precision"] == pytest.approx(average_precision_score(relevant, line), rel=1e-3)


def test_the_page_begins_with_the_answer_and_has_pixels_beside_it(tmp_path):
    found = evaluate(tmp_path / "run", classifiers=("svm", "knn"))
    accuracy = found.summary["figures"]["accuracy_2-in_svm"]
    text = found.run.read("report.md").decode().replace("\\", "")
    assert f"{100 * accuracy['value']:.1f} % (" in text.partition("|")[0]
    assert "the pixels (" in text.partition("|")[0]
    assert {f["layer"] for f in found.run.rows("frozen_features").to_pylist()} == {"2:in", "pixels"}
    without = evaluate(tmp_path / "without", pixels=False, retrieval=False, classifiers=("knn",))
    assert list(without.summary["figures"]) == ["accuracy_2-in_knn", "class_accuracy_2-in_knn"]


def write_folder(place, names, images):
    for name, own in zip(names, images, strict=True):
        (place / name).mkdir(parents=True)
        for i, image in enumerate(own):
            Image.fromarray(image[0].numpy()).save(place / name / f"{i}.png")
    return f"folder:{place}"


def test_classes_of_training_images_are_matched_by_name(tmp_path):
    own = [IMAGES[k == LABELS] for k in range(3)]
    names = ("a", "high", "low", "mid")
    train = write_folder(tmp_path / "train", names, [own[k][:15] for k in (0, 2, 0, 1)])
    test = write_folder(tmp_path / "test", ("high", "mid"), [own[k][15:] for k in (2, 1)])
    found = evaluate(tmp_path / "run", test, train=train)
    rows = found.run.rows("frozen_features").to_pylist()
    assert {(r["name"], r["label"]) for r in rows} == {("high", 1), ("mid", 3)}
    assert {r["id"].partition("/")[0] for r in rows} == {"high", "mid"}
    assert all(r["id"].startswith(r["name"]) for r in rows)
    with pytest.raises(DataError, match="'a' is no class of the reference images, which have high, mid: take it out"):
        evaluate(tmp_path / "other", train, train=test)


def test_a_run_without_some_parts_goes_on_to_equal_rows(tmp_path):
    found, out = evaluate(tmp_path / "run", whiten=3), tmp_path / "run"
    before = [found.run.rows(name) for name in ("frozen_features", "frozen_retrieval")]
    record = out / "evaluate.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    (out / "rows" / "frozen_features" / "pixels_svm-00000.parquet").unlink()
    (out / "rows" / "frozen_retrieval" / "2-in-00000.parquet").unlink()
    again = evaluate(out, whiten=3, resume=True)
    assert [again.run.rows(name) for name in ("frozen_features", "frozen_retrieval")] == before
    assert again.summary["figures"] == found.summary["figures"]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"layers": ("nowhere",)}, ModelError, "nowhere"),
        ({"layers": ("2:in", "2:in")}, ParameterError, "layers names one twice"),
        ({"layers": ("0", "0:")}, ParameterError, "are not told apart"),
        ({"classifiers": ("tree",)}, ParameterError, "classifiers"),
        ({"classifiers": (), "retrieval": False}, ParameterError, "neither classifiers nor retrieval"),
        ({"pool": "maps"}, ParameterError, "pool=maps gives no vectors"),
        ({"share": 1.0}, ParameterError, "share"),
        ({"c": 0.0}, ParameterError, "c"),
        ({"train": "folder:absent"}, DataError, "absent"),
        ({"train": "demo"}, DataError, "is no class of the reference images"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(tmp_path, values, error, message):
    with pytest.raises(error, match=message):
        evaluate(tmp_path / "run", **values)


def test_too_few_images_of_a_class_are_named(tmp_path):
    rows = [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="class 'high' has 1 image: it needs two to be divided; give train=SPEC"):
        evaluate(tmp_path / "run", InMemory(IMAGES[rows], LABELS[rows], classes=NAMES))
    with pytest.raises(ParameterError, match=r"frozen-features needs labels, and data .* has none"):
        evaluate(tmp_path / "bare", InMemory(IMAGES, None))
