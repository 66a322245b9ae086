"""The verb: probabilities found in each way, rows, record, page, resumption and wrong use."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from unshaken.api import label_evidence
from unshaken.api.label_evidence import choose_epochs, choose_model
from unshaken.api.label_record import estimate_wrong
from unshaken.api.labels import find_labels
from unshaken.cli import main
from unshaken.core.errors import DataError, ModelError, ParameterError, RunError
from unshaken.data import load_data
from unshaken.data.arrays import InMemory
from unshaken.harden.engine import cross_validation
from unshaken.measure import auroc
from unshaken.report.pages.labels import share_sentence
from unshaken.store.run_dir import RunDir

QUICK = {"folds": 3, "epochs": 6, "lr": 0.05, "batch_size": 32, "check_images": 8, "review_size": 30}
NAMES = ("left", "right", "below")


@pytest.fixture(scope="module")
def noisy():
    """Images with a bright stripe for each of three classes, of which 36 of 240 have a wrong label."""
    rng = np.random.default_rng(0)
    true = np.arange(240) % 3
    images = torch.from_numpy(rng.integers(0, 140, (240, 1, 12, 12)).astype(np.uint8))
    places = (slice(None), slice(0, 3)), (slice(None), slice(9, 12)), (slice(9, 12), slice(None))
    for image, c in zip(images, true.tolist(), strict=True):
        image[0][places[c]] += 110
    wrong = np.zeros(240, bool)
    wrong[rng.choice(240, 36, replace=False)] = True
    labels = np.where(wrong, (true + rng.integers(1, 3, 240)) % 3, true)
    data = InMemory(images, torch.from_numpy(labels), ids=[f"s{i:03}" for i in range(240)], classes=NAMES)
    return data, wrong


@pytest.fixture(scope="module")
def trained(noisy, tmp_path_factory):
    """A search by cross-validation."""
    out = tmp_path_factory.mktemp("find") / "run"
    return find_labels(noisy[0], ["confident-learning", "small-loss"], model="small-cnn", out=out, **QUICK)


def test_cross_validation_finds_what_was_planted(noisy, trained):
    wrong = noisy[1]
    found = trained.found["confident-learning"]
    assert auroc(-found.score[~wrong], -found.score[wrong]).value > 0.95
    assert np.mean(wrong[found.flagged]) > 0.8
    assert np.mean(found.flagged[wrong]) > 0.7
    estimate = trained.summary["estimate"]
    assert estimate["low"] <= 0.15 <= estimate["high"]
    expected = trained.summary["found"]["confident-learning"]["expected_wrong"]
    assert expected["low"] <= np.mean(wrong[found.flagged]) <= expected["high"]
    assert "noise_rate" not in trained.summary["found"]["confident-learning"]  # a share without an interval
    assert trained.summary["agreement"]["predicted"]["value"] > 0.7


def test_rows_record_and_page_say_the_same(trained):
    rows = trained.run.rows("labels").to_pylist()
    first = [r for r in rows if r["condition"] == "confident-learning"]
    assert [r["id"] for r in first] == list(trained.ids)
    assert [r["score"] for r in first] == trained.found["confident-learning"].score.tolist()
    flagged = sum(r["flagged"] for r in first)
    record = json.loads(trained.run.read("labels.json"))
    assert record["found"]["confident-learning"]["flagged"] == flagged
    assert sum(n for *_, n in record["found"]["confident-learning"]["pairs"]) == flagged
    page = trained.run.read("report.html").decode()
    assert f"takes {flagged} of 240 labels for wrong" in page
    assert page.count("probably ") >= 20
    text = trained.run.read("report.md").decode()
    assert "confident-learning" in text
    assert "small-loss" in text


def test_the_review_sample_estimates_the_share(noisy, trained):
    review = trained.summary["review"]
    assert len(set(review["ids"])) == 30 == len(review["strata"])
    assert sum(review["sizes"]) == 240
    assert set(review["ids"]) <= set(trained.ids)


def test_finished_folds_are_not_trained_again(noisy, trained, monkeypatch):
    monkeypatch.setattr(cross_validation, "fit", lambda *a, **k: pytest.fail("a fold was trained"))
    again = find_labels(
        noisy[0], ["confident-learning", "small-loss"], model="small-cnn", out=trained.run.path, resume=True, **QUICK
    )
    assert np.array_equal(again.found["small-loss"].score, trained.found["small-loss"].score)
    with pytest.raises(RunError, match="already holds a search for wrong labels; add --resume"):
        find_labels(noisy[0], out=trained.run.path, **QUICK)
    with pytest.raises(RunError, match=r"begun with other settings \(methods, folds differ\)"):
        find_labels(noisy[0], "self-confidence", out=trained.run.path, resume=True, **{**QUICK, "folds": 4})


def test_what_was_interrupted_goes_on(noisy, trained, tmp_path, monkeypatch):
    left = [2]
    write = RunDir.write

    def cut(run, data, *parts):
        if parts[0] == "folds":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return write(run, data, *parts)

    given = {"model": "small-cnn", "out": tmp_path / "run", **QUICK}
    methods = ["confident-learning", "small-loss"]
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write", cut)
        with pytest.raises(KeyboardInterrupt):
            find_labels(noisy[0], methods, **given)
    resumed = find_labels(noisy[0], methods, resume=True, **given)
    assert np.array_equal(resumed.found["small-loss"].score, trained.found["small-loss"].score)


def probabilities(noisy):
    """As of a model that is right about every image."""
    true = np.arange(len(noisy[0])) % 3
    return (np.eye(3)[true] * 0.9 + 1 / 30).astype(np.float32)


@pytest.mark.parametrize("how", ["array", "npy", "parquet", "by number"])
def test_probabilities_of_ones_own(noisy, tmp_path, how):
    data, wrong = noisy
    p = probabilities(noisy)
    given = p
    if how == "npy":
        given = tmp_path / "p.npy"
        np.save(given, p)
    elif how != "array":
        given = tmp_path / "p.parquet"
        names = NAMES if how == "parquet" else range(3)
        order = np.random.default_rng(1).permutation(len(p))
        ids = [data.ids[i] for i in order]
        pq.write_table(pa.table({"id": ids} | {f"p_{n}": p[order, c] for c, n in enumerate(names)}), given)
    result = find_labels(data, "confident-learning", pred_probs=given, out=tmp_path / "run", review_size=0)
    assert np.array_equal(result.found["confident-learning"].flagged, wrong)
    assert result.summary["review"] is None


def test_a_trained_model_gives_features(tmp_path):
    result = find_labels(
        "demo",
        ["knn-agreement", "self-confidence"],
        model="demo:standard",
        limit=200,
        out=tmp_path / "run",
        review_size=0,
    )
    scores = [found.score for found in result.found.values()]
    assert np.corrcoef(*scores)[0, 1] > 0.4
    assert len(np.load(tmp_path / "run" / "features.npy")) == 200  # for the reference pictures of a review
    assert result.summary["agreement"]["predicted"]["value"] > 0.6


@pytest.fixture(scope="module")
def watched(noisy, tmp_path_factory):
    """A search whose trainings were watched."""
    out = tmp_path_factory.mktemp("watch") / "run"
    return find_labels(noisy[0], ["early-learning", "aum", "self-confidence"], out=out, **QUICK)


@pytest.mark.parametrize("name", ["early-learning", "aum"])
def test_training_dynamics_find_what_was_planted(noisy, watched, name):
    wrong, found = noisy[1], watched.found[name]
    assert auroc(-found.score[~wrong], -found.score[wrong]).value > 0.9
    assert np.array_equal(found.suggested, watched.found["self-confidence"].suggested)


def test_watching_changes_no_network_and_is_resumed(noisy, trained, watched, monkeypatch):
    one = trained.run.read("folds", "fold-1.npy")
    assert watched.run.read("folds", "fold-1.npy") == one
    monkeypatch.setattr(cross_validation, "fit", lambda *a, **k: pytest.fail("a fold was trained"))
    again = find_labels(
        noisy[0], ["early-learning", "aum", "self-confidence"], out=watched.run.path, resume=True, **QUICK
    )
    assert np.array_equal(again.found["aum"].score, watched.found["aum"].score)


def test_true_labels_judge_the_finders(tmp_path):
    """The figures of `labels.json` against scikit-learn's, on noise that is known."""
    data = load_data("demo?noise=symmetric:0.3")
    p = np.random.default_rng(0).dirichlet(np.ones(10), len(data)) + 0.3 * np.eye(10)[data.true_labels]
    p /= p.sum(1, keepdims=True)
    result = find_labels(data, ["self-confidence", "confident-learning"], pred_probs=p, out=tmp_path / "run")
    wrong, record = data.labels != data.true_labels, result.summary
    assert record["realised_noise"] == record["known_wrong"]["value"] == wrong.mean()
    score = result.found["self-confidence"].score
    judged = record["found"]["self-confidence"]["judged"]
    assert judged["auroc"]["value"] == pytest.approx(roc_auc_score(wrong, -score))
    assert judged["average_precision"]["value"] == pytest.approx(average_precision_score(wrong, -score))
    assert judged["precision_at_wrong"]["value"] == wrong[np.argsort(score)[: wrong.sum()]].mean()
    assert "recall" not in judged
    flagged = result.found["confident-learning"].flagged
    judged = record["found"]["confident-learning"]["judged"]
    assert judged["precision"]["value"] == wrong[flagged].mean()
    assert judged["recall"]["value"] == flagged[wrong].mean()
    page = result.run.read("report.md").decode()
    assert "Against the true labels" in page
    assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in judged.values())


def test_labels_that_are_all_right_judge_nothing(tmp_path):
    result = find_labels(
        "demo?noise=symmetric:0", model="demo:standard", limit=100, out=tmp_path / "run", review_size=0
    )
    assert "judged" not in result.summary["found"]["confident-learning"]
    assert "Against the true labels" not in result.run.read("report.md").decode()


def test_two_of_a_method_have_two_names(noisy, tmp_path):
    methods = ["confident-learning", "confident-learning:filter=both"]
    result = find_labels(noisy[0], methods, pred_probs=probabilities(noisy), out=tmp_path / "run")
    assert list(result.found) == ["confident-learning", "confident-learning-2"]


def test_wrong_use(noisy, tmp_path):
    data = noisy[0]
    p = probabilities(noisy)
    few = InMemory(data.images[:4], torch.tensor([0, 0, 1, 2]), classes=NAMES)
    for given, error, message in (
        (
            {"methods": "confident"},
            ParameterError,
            "no method 'confident' in labels: did you mean",
        ),
        ({"review_size": 3}, ParameterError, "review_size=3 must be 6 or more"),
        ({"methods": []}, ParameterError, "no method: name one"),
        ({"folds": 1}, ParameterError, "folds 1 must be from 2 to 100"),
        ({"data": few, "folds": 5}, ParameterError, "folds=5 must be 4 or less, the number of samples"),
        ({"methods": ["aum", "small-loss", "aum"]}, ParameterError, "'aum' is given twice with the same parameters"),
        ({"pred_probs": p, "model": "small"}, ParameterError, "so is the model 'small', which would make others"),
        ({"pred_probs": p[:7]}, DataError, "7 rows, and the data has 240 samples"),
        ({"pred_probs": tmp_path / "none.npy"}, DataError, "none.npy: cannot be read"),
        ({"pred_probs": tmp_path / "p.csv"}, DataError, r"read from .npy or .parquet"),
        (
            {"methods": "knn-agreement", "pred_probs": p},
            ParameterError,
            "needs features, which a trained",
        ),
        (
            {"methods": "aum", "pred_probs": p},
            ParameterError,
            "needs margins, which are recorded",
        ),
        ({"model": "smal-cnn"}, ParameterError, "smal-cnn"),
        ({"data": few}, DataError, "class 1 has a single sample"),
        ({"data": InMemory(data.images)}, DataError, "has no labels to examine"),
    ):
        with pytest.raises(error, match=message):
            find_labels(**{"data": data, "out": tmp_path / "wrong", "resume": True, **QUICK, **given})
        RunDir(tmp_path / "wrong").remove("labels.json")


def test_a_file_of_probabilities_must_fit(noisy, tmp_path):
    data, p = noisy[0], probabilities(noisy)
    place = tmp_path / "p.parquet"

    def written(columns):
        pq.write_table(pa.table(columns), place)
        return {"data": data, "pred_probs": place, "out": tmp_path / "run", "resume": True}

    columns = {"id": list(data.ids)} | {f"p_{n}": p[:, c] for c, n in enumerate(NAMES)}
    with pytest.raises(DataError, match="has no row for 239 of 240 samples, such as 's001'"):
        find_labels(**written({k: v[:1] for k, v in columns.items()}))
    with pytest.raises(DataError, match="lacks the column 'p_below'"):
        find_labels(**written({k: v for k, v in columns.items() if k != "p_below"}))
    with pytest.raises(DataError, match=r"row 0 has .* \(are these logits\?\)"):
        find_labels(**written({**columns, "p_below": p[:, 2] * 9}))
    np.save(tmp_path / "p.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"p.npy: cannot be read"):
        find_labels(data, pred_probs=tmp_path / "p.npy", out=tmp_path / "other")


def test_the_command(tmp_path, capsys):
    out = tmp_path / "run"
    command = ["labels", "find", "--data", "demo", "--limit", "120", "--model", "demo:standard", "--out", str(out)]
    assert main([*command, "--folds", "3", "--review-size", "12", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["review"]["ids"]) == 12
    assert main([*command, "--folds", "3", "--review-size", "12", "--resume", "--method", "confident-learning"]) == 0
    told = capsys.readouterr().out
    assert "confident-learning: " in told
    assert "to review: 12 samples, listed in" in told
    assert main([*command, "--folds", "1"]) == 2
    assert "--folds" in capsys.readouterr().err


def test_verdicts_of_people_tell_how_many_are_wrong(noisy, trained, tmp_path, capsys):
    wrong = {name for name, bad in zip(noisy[0].ids, noisy[1], strict=True) if bad}
    ids, file = trained.summary["review"]["ids"], tmp_path / "verdicts.csv"
    rows = [f"{name},{'wrong' if name in wrong else 'right'}" for name in ids]
    file.write_text("\n".join(["id,verdict", *rows]))
    assert main(["labels", "estimate", trained.run.path, "--verdicts", str(file), "--json"]) == 0
    figure = json.loads(capsys.readouterr().out)
    assert figure["low"] <= 36 / 240 <= figure["high"]
    assert main(["labels", "estimate", trained.run.path, "--verdicts", str(file)]) == 0
    assert "of 240, " in capsys.readouterr().out
    file.write_text("\n".join(["id,verdict", f"{ids[0]},unclear", *rows[1:]]))
    assert main(["labels", "estimate", trained.run.path, "--verdicts", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["low"] <= figure["low"]
    for text, message in (
        ("id,verdict\nother,right", f"none of the 30 drawn samples has a verdict, such as '{ids[0]}'"),
        ("id,verdict\n" + "\n".join(rows[20:]), "10 of 30 drawn samples have verdicts, and most of the first ones"),
        ("id,verdict\n" + f"{ids[0]},wrng", "line 2: no verdict 'wrng'; did you mean 'wrong'"),
        ("id,verdict\n" + "\n".join([rows[0], rows[0]]), "line 3: sample"),
        ("name,said\na,b", "needs a first line with the columns id and verdict"),
        ("", "needs a first line"),
    ):
        file.write_text(text)
        assert main(["labels", "estimate", trained.run.path, "--verdicts", str(file)]) == 2
        assert message in capsys.readouterr().err
    assert main(["labels", "estimate", str(tmp_path), "--verdicts", str(file)]) == 2
    assert "holds no samples to review" in capsys.readouterr().err


def test_the_first_verdicts_of_a_review_are_enough(noisy, trained, tmp_path, capsys):
    """A random sample's beginning is one; what was passed over in it is unclear; what comes after it is not counted."""
    wrong = {name for name, bad in zip(noisy[0].ids, noisy[1], strict=True) if bad}
    ids = trained.summary["review"]["ids"]
    words = {name: "wrong" if name in wrong else "right" for name in ids}
    ten = {name: words[name] for name in ids[:10]}
    early = estimate_wrong(trained.run, ten)
    assert (early.n, early.low <= 36 / 240 <= early.high) == (10, True)
    whole = estimate_wrong(trained.run, words)
    assert whole.high - whole.low < early.high - early.low
    assert estimate_wrong(trained.run, {**ten, ids[-1]: "wrong"}) == early
    gap = {name: word for name, word in ten.items() if name != ids[4]}
    assert estimate_wrong(trained.run, gap) == estimate_wrong(trained.run, {**ten, ids[4]: "unclear"})
    file = tmp_path / "ten.csv"
    file.write_text("\n".join(["id,verdict", *(f"{name},{word}" for name, word in ten.items())]))
    assert main(["labels", "estimate", trained.run.path, "--verdicts", str(file)]) == 0
    assert "from the first 10 of 30 drawn samples" in capsys.readouterr().out


def poor(noisy, skill=0.0):
    """Probabilities of a model that knows next to nothing."""
    p = np.random.default_rng(0).dirichlet(np.ones(3), len(noisy[0])) + skill * np.eye(3)[np.arange(len(noisy[0])) % 3]
    return p / p.sum(1, keepdims=True)


def test_a_poor_model_gives_no_estimate_and_says_what_would(noisy, tmp_path):
    """The confident counts of this model say that most labels are wrong, where 15 % are."""
    result = find_labels(noisy[0], pred_probs=poor(noisy), out=tmp_path / "run")
    assert result.found["confident-learning"].figures["noise_rate"] > 0.5
    estimate = result.summary["estimate"]
    assert not estimate["usable"]
    assert estimate["low"] <= 0.15 <= estimate["high"]
    assert result.summary["found"]["confident-learning"]["expected_wrong"] is None
    assert "labels for wrong; how many are is not known" in result.run.read("report.md").decode()
    for text in (share_sentence(result.summary, "DIR"), result.run.read("report.md").decode()):
        assert "no estimate: the model agrees with" in text
        assert "review 60 images for one: unshaken labels review DIR" in text
    assert "--review-size 200" in share_sentence({**result.summary, "review": None}, "DIR")


def test_a_share_is_never_told_without_an_interval(noisy, tmp_path, capsys):
    np.save(tmp_path / "p.npy", probabilities(noisy))
    result = find_labels(noisy[0], pred_probs=tmp_path / "p.npy", out=tmp_path / "run")
    page = result.run.read("report.md").decode()
    low, high = (100 * result.summary["estimate"][end] for end in ("low", "high"))
    assert f"Wrong labels: {low:.1f} to {high:.1f} % of all" in page
    assert "of these are expected to be wrong" in page
    assert "confident counts" not in page


def test_a_record_of_an_earlier_version_has_a_page(trained, tmp_path):
    record = {key: value for key, value in trained.summary.items() if key != "estimate"}
    for one in record["found"].values():
        one.pop("expected_wrong", None)
    assert "search again for one" in share_sentence(record, "DIR")


def test_a_sample_without_numbers_is_recorded_and_left_out(noisy, tmp_path, capsys):
    p = probabilities(noisy)
    p[[3, 7]] = np.nan
    np.save(tmp_path / "p.npy", p)
    for name, given in (("array", p), ("file", tmp_path / "p.npy")):
        result = find_labels(noisy[0], pred_probs=given, out=tmp_path / name)
        bad = {one["id"]: one["reason"] for one in result.summary["bad_samples"]}
        assert bad.keys() == {"s003", "s007"}
        assert all("NaN" in reason for reason in bad.values())
        assert len(result.ids) == 238
        assert np.array_equal(result.found["confident-learning"].flagged, np.delete(noisy[1], [3, 7]))
    with pytest.raises(DataError, match=r"no sample of .* can be examined"):
        find_labels(noisy[0], pred_probs=np.full((240, 3), np.nan), out=tmp_path / "none")


NETS = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(144, 3)
    def forward(self, x):
        flat = x.flatten(1)
        return self.head(torch.where(flat.mean(1, keepdim=True) > 0.9, torch.nan, flat))
class Raises(Net):
    def forward(self, x):
        raise KeyError("oops")
"""


def test_a_model_that_raises_is_one_line(noisy, tmp_path):
    (tmp_path / "net.py").write_text(NETS)
    with pytest.raises(ModelError, match=r"fails on images of shape .*: KeyError: 'oops'"):
        find_labels(noisy[0], model=f"py:{tmp_path}/net.py:Raises", out=tmp_path / "run")


def test_a_model_without_an_answer_for_one_image_goes_on(noisy, tmp_path):
    (tmp_path / "net.py").write_text(NETS)
    images = noisy[0].images.clone()
    images[5] = 255
    data = InMemory(images, torch.from_numpy(noisy[0].labels), ids=noisy[0].ids, classes=NAMES)
    result = find_labels(data, model=f"py:{tmp_path}/net.py:Net", out=tmp_path / "run")
    assert [one["id"] for one in result.summary["bad_samples"]] == ["s005"]
    assert len(result.ids) == 239
    assert np.isfinite(result.found["confident-learning"].score).all()
    assert "1 sample could not be examined; labels.json says why" in result.run.read("report.md").decode()


@pytest.mark.parametrize(
    ("side", "colour", "needs", "trained", "model"),
    [
        (32, True, "probabilities", False, "imagenet:efficientnet-lite0?size=128"),
        (200, True, "features", False, "imagenet:efficientnet-lite0"),
        (32, False, "probabilities", False, "small-cnn"),
        (16, True, "probabilities", False, "small-cnn"),
        (32, True, "margins", False, "small-cnn"),
        (32, True, "probabilities", True, "small-cnn"),
    ],
)
def test_the_model_is_chosen_by_the_images(side, colour, needs, trained, model, monkeypatch):
    monkeypatch.setattr(label_evidence, "PACKAGES", ("torch",))
    pixels = torch.randint(0, 255, (3, 3 if colour else 1, side, side), dtype=torch.uint8)
    data = InMemory(pixels, torch.tensor([0, 1, 0]))
    assert choose_model(data, frozenset({needs}), trained=trained) == model
    monkeypatch.setattr(label_evidence, "PACKAGES", ("no_such_package",))
    assert choose_model(data, frozenset({needs}), trained=trained) == "small-cnn"


def test_small_sets_are_trained_for_more_epochs():
    """400 steps of 128 images on 4/5 of the samples."""
    assert [choose_epochs(n, 5, None) for n in (500, 2560, 50_000)] == [25, 25, 12]
    assert choose_epochs(2560, 5, 64) == 13


@pytest.mark.parametrize("review", [[1], "x", {"ids": ["a"], "strata": [9], "sizes": [1]}, {"ids": [], "strata": []}])
def test_a_damaged_record_is_one_line(review, tmp_path, capsys):
    (tmp_path / "labels.json").write_text(json.dumps({"review": review}))
    (tmp_path / "v.csv").write_text("id,verdict\na,wrong\n")
    assert main(["labels", "estimate", str(tmp_path), "--verdicts", str(tmp_path / "v.csv")]) == 2
    message = capsys.readouterr().err
    assert "labels.json" in message
    assert "bug" not in message


@pytest.mark.parametrize("verb", [["labels", "estimate", "DIR", "--verdicts", "v.csv"], ["report", "DIR"],
                                  ["labels", "find", "--data", "demo", "--out", "DIR"]])  # fmt: skip
def test_a_record_that_is_a_list_is_one_line(verb, tmp_path, capsys):
    (tmp_path / "labels.json").write_text("[]")
    assert main([str(tmp_path) if word == "DIR" else word for word in verb]) == 2
    message = capsys.readouterr().err
    assert "labels.json is damaged (a list, not a table)" in message


def test_what_has_no_end_is_refused_at_once(trained, capsys):
    assert main(["labels", "estimate", trained.run.path, "--verdicts", "/dev/zero"]) == 2
    assert "/dev/zero: is no regular file" in capsys.readouterr().err


def test_rows_of_all_samples_serve_where_some_are_left_out(noisy, tmp_path):
    """A row a sample, in the order of the data, though an image is bad or a subset is taken."""
    data, p = InMemory(noisy[0].images, torch.from_numpy(noisy[0].labels), bad={3: "no"}), probabilities(noisy)
    np.save(tmp_path / "p.npy", p)
    for name, given, limit, n in (("a", p, None, 239), ("b", tmp_path / "p.npy", None, 239), ("c", p, 60, None)):
        result = find_labels(data, "self-confidence", pred_probs=given, limit=limit, out=tmp_path / name, review_size=0)
        places = np.array([int(i) for i in result.ids])
        assert len(places) == n or (n is None and len(places) <= 60)
        want = p[places, noisy[0].labels[places]]
        assert result.found["self-confidence"].score == pytest.approx(want, abs=1e-6)
    with pytest.raises(DataError, match="11 rows, and the data has 240 samples, of which 239 are examined"):
        find_labels(data, pred_probs=p[:11], out=tmp_path / "d")


def test_classes_without_names_have_numbers(noisy, tmp_path):
    data, p = InMemory(noisy[0].images, torch.from_numpy(noisy[0].labels)), probabilities(noisy)
    columns = {"id": list(data.ids)} | {f"p_{c}": p[:, c] for c in range(3)}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    result = find_labels(data, pred_probs=tmp_path / "p.parquet", out=tmp_path / "run", review_size=0)
    assert np.array_equal(result.found["confident-learning"].flagged, noisy[1])


def test_a_sample_of_two_rows_and_an_archive_are_refused(noisy, tmp_path):
    data, p = noisy[0], probabilities(noisy)
    columns = {"id": [*data.ids, "s007"]} | {f"p_{c}": np.append(p[:, i], 1 / 3) for i, c in enumerate(NAMES)}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    with pytest.raises(DataError, match="more than one row of the sample 's007'"):
        find_labels(data, pred_probs=tmp_path / "p.parquet", out=tmp_path / "run")
    np.savez(tmp_path / "p.npz", p)
    (tmp_path / "p.npz").rename(tmp_path / "p.npy")
    with pytest.raises(DataError, match=r"is an \.npz archive"):
        find_labels(data, pred_probs=tmp_path / "p.npy", out=tmp_path / "run")


def test_a_search_that_computed_nothing_does_not_block_its_directory(noisy, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        find_labels(noisy[0], pred_probs=tmp_path / "absent.npy", out=tmp_path / "run")
    find_labels(noisy[0], pred_probs=probabilities(noisy), out=tmp_path / "run")
    with pytest.raises(RunError, match="already holds a search"):
        find_labels(noisy[0], pred_probs=probabilities(noisy), out=tmp_path / "run")


def test_few_samples_are_all_reviewed_and_one_class_is_refused(noisy, tmp_path):
    images, labels = noisy[0].images[:5], torch.tensor([0, 1, 0, 1, 1])
    result = find_labels(InMemory(images, labels), pred_probs=np.full((5, 2), 0.5), out=tmp_path / "run")
    assert sorted(result.summary["review"]["ids"]) == ["0", "1", "2", "3", "4"]
    with pytest.raises(DataError, match="has one class"):
        find_labels(InMemory(images, labels * 0), out=tmp_path / "one")
