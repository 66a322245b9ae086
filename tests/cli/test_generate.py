"""`unshaken generate`: a model from a folder of images, and images from it that are data again."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.data import load_data
from unshaken.generate import load

FIT = "generate fit --data 'folder:photos?size=8' --steps 3 --batch-size 4 --width 4"


def test_a_conditional_model_makes_a_folder_that_is_data(unshaken, place):
    fitted = unshaken(f"{FIT} --method edm:std=1.0 --conditional --seed 2 --out model.safetensors --json")
    assert (fitted.code, fitted.err) == (0, "")
    document = json.loads(fitted.out)
    assert (document["method"], document["steps"]) == ("edm", 3)
    model = load(place / "model.safetensors")
    assert (model.settings.std, model.image, model.classes) == (1.0, (3, 8, 8), 2)
    made = unshaken("generate sample --generator model.safetensors --n 5 --steps 3 --seed 1 --out made --json")
    assert (made.code, made.err) == (0, "")
    assert json.loads(made.out) == {"folder": "made", "n": 5, "labels": [0, 1, 0, 1, 0]}
    data = load_data(f"folder:{place / 'made'}")
    assert [len(data), list(data.classes), data.labels.tolist()] == [5, ["0000", "0001"], [0, 0, 0, 1, 1]]
    record = json.loads((place / "made/generated.json").read_text())
    speed = record["speed"]
    assert (speed["steps"], speed["images"], speed["device"]) == (3, 5, "cpu")
    assert speed["images_a_second"] == 5 / speed["seconds"]
    want = model.sample(5, steps=3, seed=1, labels=torch.tensor([0, 1, 0, 1, 0]))
    for image, name in zip(want, record["images"], strict=True):
        kept = np.array(Image.open(place / "made" / name), np.float32).transpose(2, 0, 1)
        assert np.abs(kept - 255 * image.numpy()).max() <= 0.5 + 1e-3
    asked = unshaken("query made 'select label, count(*) as n from generated group by label order by label' --csv")
    assert asked.out == "label,n\n0,3\n1,2\n"
    assert unshaken("report made").code == 0
    text = (place / "made/report.md").read_text()
    assert "Generated images" in text
    assert f"{speed['images_a_second']:.4g}" in text
    again = unshaken("generate sample --generator model.safetensors --n 5 --out made")
    assert (again.code, again.err) == (2, "unshaken: made: holds generated images already; choose another --out\n")
    (place / "made/generated.json").unlink()  # as a run that was killed before its end leaves it
    more = unshaken("generate sample --generator model.safetensors --n 2 --out made")
    assert (more.code, more.err.count("\n")) == (2, 1)
    assert "--out 'made' holds other files, such as '000" in more.err


def test_a_model_without_classes_makes_loose_images(unshaken, place):
    fitted = unshaken(f"{FIT} --method ddpm:timesteps=20 --out model.safetensors")
    assert fitted.out.startswith("model: model.safetensors (mean loss of the last 3 steps: ")
    made = unshaken("generate sample --generator model.safetensors --n 2 --steps 4 --out made")
    assert made.out == "images: made (2 PNG files)\n"
    files = ["000000.png", "000001.png", "generated.json", "report.html", "report.md", "rows"]
    assert sorted(p.name for p in (place / "made").iterdir()) == files


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{FIT} --method gan --out m.safetensors", "no method 'gan' in generate: known: class-gaussian, ddpm"),
        (f"{FIT} --method ddpm:timesteps=1 --out m.safetensors", "ddpm: timesteps=1: Input should be greater than"),
        (f"{FIT} --out m.st".replace("--steps 3", "--steps 0"), "Fitting: steps=0: Input should be greater than 0"),
        (f"{FIT} --out ''", "'' is empty: give a value"),
        ("generate fit --data 'folder:photos?size=9' --out m.safetensors", "must be multiples of 4"),
        ("generate fit --data 'folder:nothing' --out m.safetensors", "nothing"),
        ("generate sample --generator absent.safetensors --out made", "absent.safetensors"),
        ("generate sample --generator absent.safetensors --n 0 --out made", "n=0 must be 1 or more"),
        (
            "generate sample --generator absent.safetensors --classes a --out made",
            "--classes 'a': write 'all', or numbers",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(unshaken, place, line, message):
    result = unshaken(line)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (place / "m.safetensors").exists()
    assert not (place / "made").exists()


def test_a_set_is_made_measured_and_mixed(unshaken, place):
    fitted = unshaken("generate fit --data 'demo?size=8' --method class-gaussian:components=4 --conditional --out g.st")
    assert (fitted.code, fitted.out) == (0, "model: g.st (fitted at once)\n")
    made = unshaken("generate dataset --generator g.st --n 30 --held-out 'demo?size=8' --out set.parquet")
    line = "labelled set: set.parquet (30 images, 30 drawn; refused: flat 0, leakage 0); "
    assert re.fullmatch(re.escape(line) + r"[\d.e+]+ images a second \(30 in [\d.]+ s on cpu\)\n", made.out)
    again = unshaken("generate dataset --generator g.st --n 30 --held-out 'demo?size=8' --out again.parquet --json")
    assert json.loads(again.out)["refused"] == {"flat": 0, "leakage": 0}
    assert (place / "set.parquet").read_bytes() == (place / "again.parquet").read_bytes()
    record, page = (place / f"set.generated.{kind}" for kind in ("json", "html"))
    speed = (about := json.loads(record.read_text()))["speed"]
    assert (speed["steps"], speed["images"], about["by_class"]) == (None, 30, {str(k): 3 for k in range(10)})
    assert speed["images_a_second"] == 30 / speed["seconds"]
    assert f"{speed['images_a_second']:.3g}" in page.read_text()
    mixed = load_data(f"mix:demo?size=8+parquet:{place}/set.parquet@0.02")
    assert len(mixed) == 1020
    figures = unshaken("generate measure --real 'demo?size=8' --generated parquet:set.parquet --model demo:standard")
    assert figures.code == 0, figures.err
    assert "frechet_distance: none (real: 1000 samples of 3136 dimensions: a Frechet distance needs" in figures.out
    assert "precision: " in figures.out
    bad = unshaken("generate dataset --generator g.st --n 3 --condition both --out x.parquet")
    assert (bad.code, bad.err) == (2, "unshaken: condition 'both': give a source to vary\n")


def test_directions_are_found_filtered_and_searched_along(unshaken, place):
    fitted = unshaken("generate fit --data demo --method vae:latents=4,width=4 --steps 40 --limit 200 --out vae.st")
    assert fitted.code == 0, fitted.err
    line = "generate directions --generator vae.st --data demo --model demo:standard --k 3 --limit 60 --out d.st"
    found = unshaken(f"{line} --json --most-changed 0.6")
    assert found.code == 0, found.err
    table = json.loads(found.out)["directions"]
    assert [row["kept"] for row in table] == [row["changed"] <= 0.6 for row in table]
    assert table[0]["eigenvalue"] >= table[1]["eigenvalue"] >= table[2]["eigenvalue"] > 0
    with Image.open(place / "d.png") as grid:
        assert grid.size == (5 * 28, 3 * 3 * 28)
    attacked = "attack --model demo --data demo --limit 20 --save-examples 0 --method"
    done = unshaken(f"{attacked} natra:generator=vae.st,directions=d.st,draws=3 --out run --json")
    assert done.code == 0, done.err
    assert [flag["name"] for flag in json.loads(done.out)["flags"] if "direction" in flag["name"]] == []
    (place / "d.st").write_bytes((place / "vae.st").read_bytes())
    again = unshaken(f"{attacked} natra:generator=vae.st,directions=d.st,draws=3 --out run --resume")
    assert (again.code, "further_models: " in again.err) == (2, True)
    refused = unshaken("generate directions --generator vae.st --data folder:photos --model demo --out x.st")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
