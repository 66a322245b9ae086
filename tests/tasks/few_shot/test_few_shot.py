"""`unshaken evaluate few-shot`: figures by hand from its rows, trained heads, a resume, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import unshaken
from unshaken.core.classifier import Classifier
from unshaken.core.errors import DataError, ModelError, ParameterError
from unshaken.data.arrays import InMemory
from unshaken.report.gates import Gate
from unshaken.tasks.few_shot.episodes import draw_episodes
from unshaken.tasks.few_shot.few_shot import FewShot

NAMES = tuple("abcdef")
LABELS = torch.arange(60) % 6
IMAGES = torch.randint(0, 60, (60, 1, 6, 6), generator=torch.Generator().manual_seed(0)).byte()
for k in range(6):
    IMAGES[k == LABELS, 0, k] += 190  # a bright row tells the class
DATA = InMemory(IMAGES, LABELS, classes=NAMES)
SMALL = {"ways": 3, "shots": (1, 2), "queries": 3, "episodes": 20}


def net() -> Classifier:
    """Its features are the brightness of the rows; the head is of two other classes."""
    return Classifier(
        nn.Sequential(nn.AdaptiveAvgPool2d((6, 1)), nn.Flatten(), nn.Linear(6, 2)), classes=["cat", "dog"]
    )


def evaluate(out, data=DATA, model=None, **values):
    return unshaken.evaluate(FewShot(**{**SMALL, **values}), model or net(), data, out=out)


def test_bright_rows_are_told_apart(tmp_path):
    found = evaluate(tmp_path / "run")
    assert found.summary["figures"]["accuracy_prototypes_2-shot"]["value"] == 1.0
    rows = found.run.rows("few_shot").to_pylist()
    assert {(r["head"], r["shots"]) for r in rows} == {(h, k) for h in ("prototypes", "knn") for k in (1, 2)}
    assert {r["queries"] for r in rows} == {3}
    drawn = draw_episodes(LABELS, ways=3, shots=1, queries=3, episodes=20, seed=0)
    own = [r for r in rows if r["condition"] == "knn_1-shot"]
    assert [r["label"] for r in own] == drawn.classes.ravel().tolist()
    assert [r["name"] for r in own] == [NAMES[k] for k in drawn.classes.ravel()]


def test_figures_are_means_of_rows_and_heads_are_compared_on_the_same_episodes(tmp_path):
    noise = torch.randint(0, 255, IMAGES.shape, generator=torch.Generator().manual_seed(1)).byte()
    found = evaluate(tmp_path / "run", InMemory(noise // 2 + IMAGES // 2, LABELS, classes=NAMES), k=1)
    figures, rows = found.summary["figures"], found.run.rows("few_shot").to_pylist()
    assert all(Gate.parse(f"{name} >= 0.5").name == name for name in figures)

    def mean(head, k):
        return np.mean([r["correct"] / r["queries"] for r in rows if (r["head"], r["shots"]) == (head, k)])

    for k in (1, 2):
        assert figures[f"accuracy_knn_{k}-shot"]["value"] == pytest.approx(mean("knn", k))
        more = mean("knn", k) - mean("prototypes", k)
        assert figures[f"difference_knn_{k}-shot"]["value"] == pytest.approx(more)
    text = found.run.read("report.md").decode()
    first = figures["accuracy_prototypes_1-shot"]["value"]
    assert f"prototypes tells 3 classes apart in {100 * first:.1f} %" in text.partition("|")[0]
    assert "over classes and episodes" in text
    assert "6 classes are few to draw 3 from" in text


def test_classes_of_the_model_itself_are_said(tmp_path):
    model = Classifier(net().net, classes=["a", "dog"])
    assert "1 of the classes, such as 'a', are among those of the model" in " ".join(
        evaluate(tmp_path / "run", model=model).summary["remarks"]
    )


class Maps(nn.Module):
    """Square maps of eight channels: the image and its shifted copies."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(1, 8, 1, bias=False)
        self.maps.weight.data = torch.linspace(0.5, 1.5, 8).view(8, 1, 1, 1)
        self.mix, self.pool, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.pool(self.mix(self.maps(x))).flatten(1))


TRAINED = {"heads": ("conditional", "unconditional"), "channels": 8, "hidden": 8, "steps": 3,
           "episodes": 4, "ways": 2, "queries": 2}  # fmt: skip


@pytest.fixture
def base(tmp_path):
    """A folder of two other classes, `black` and `white`."""
    for name in ("black", "white"):
        (tmp_path / "base" / name).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (6, 6), 20 * i + 100 * (name == "white")).save(tmp_path / "base" / name / f"{i}.png")
    return f"folder:{tmp_path}/base"


def test_trained_heads_are_kept_and_a_run_without_some_parts_goes_on_to_equal_rows(tmp_path, base):
    torch.manual_seed(0)
    model = Classifier(Maps().eval())
    found = unshaken.evaluate(
        FewShot(**{**SMALL, **TRAINED, "base": base}), model, DATA, limit=40, out=tmp_path / "run"
    )
    whole, head = found.run.rows("few_shot"), tmp_path / "run" / "arrays" / "conditional.safetensors"
    assert set(found.summary["figures"]) == {
        f"{what}_{name}_{k}-shot" for k in (1, 2) for what, name in
        (("accuracy", "conditional"), ("accuracy", "unconditional"), ("difference", "unconditional"))
    }  # fmt: skip
    weights, record = head.read_bytes(), tmp_path / "run" / "evaluate.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    (tmp_path / "run" / "rows" / "few_shot" / "unconditional_1-shot-00000.parquet").unlink()
    again = unshaken.evaluate(
        FewShot(**{**SMALL, **TRAINED, "base": base}), model, DATA, limit=40, out=tmp_path / "run", resume=True
    )
    assert again.run.rows("few_shot").equals(whole)
    assert again.summary["figures"] == found.summary["figures"]
    assert head.read_bytes() == weights


def test_queries_may_come_from_harder_photos(tmp_path):
    for name, k in zip("fedcba", range(5, -1, -1), strict=True):
        (tmp_path / "hard" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(IMAGES[(k + 1) % 6 == LABELS][i, 0].numpy()).save(tmp_path / "hard" / name / f"{i}.png")
    found = evaluate(tmp_path / "run", query_data=f"folder:{tmp_path}/hard", heads=("prototypes",), ways=6)
    assert found.summary["figures"]["accuracy_prototypes_2-shot"]["value"] == 0  # each photo shows the next class
    (tmp_path / "hard" / "a").rename(tmp_path / "hard" / "z")
    with pytest.raises(DataError, match="'z' is no class of the reference images, which have a, b, c, d, e and others"):
        evaluate(tmp_path / "other", query_data=f"folder:{tmp_path}/hard")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"ways": 1}, ParameterError, "ways"),
        ({"shots": (0,)}, ParameterError, "shots must be 1 or more, not 0"),
        ({"shots": (2, 2)}, ParameterError, "shots names one twice"),
        ({"heads": ("knn", "knn")}, ParameterError, "heads names one twice"),
        ({"heads": ("svm",)}, ParameterError, "heads"),
        ({"heads": ("conditional",)}, ParameterError, "name them by base=SPEC"),
        ({"heads": ("conditional",), "base": "folder:absent"}, DataError, "absent"),
        ({"queries": 10}, DataError, "0 classes have 1 examples and 10 queries.*lower ways, shots or queries"),
        ({"ways": 7}, DataError, "6 classes have 1 examples and 3 queries, and an episode needs 7"),
        ({"layer": "nowhere"}, ModelError, "nowhere"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(tmp_path, values, error, message):
    with pytest.raises(error, match=message):
        evaluate(tmp_path / "run", **values)


def test_data_without_labels_and_a_base_of_the_same_classes_are_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"few-shot needs labels, and data .* has none"):
        evaluate(tmp_path / "bare", InMemory(IMAGES, None))
    with pytest.raises(DataError, match=r"are of 2 sizes, such as 6 x 6 and 28 x 28: give images of"):
        evaluate(tmp_path / "size", model=Classifier(Maps()), **{**TRAINED, "base": "demo"})
    with pytest.raises(DataError, match="base 'demo' has classes of the data, such as"):
        unshaken.evaluate(FewShot(heads=("conditional",), base="demo", channels=8, ways=2), "demo", "demo", limit=300,
                          out=tmp_path / "run")  # fmt: skip


def test_samples_without_a_label_are_left_out_and_said(tmp_path):
    labels = LABELS.clone()
    labels[:4] = -1
    found = evaluate(tmp_path / "run", InMemory(IMAGES, labels, classes=NAMES))
    assert "4 samples have no label and were left out" in found.summary["remarks"]
