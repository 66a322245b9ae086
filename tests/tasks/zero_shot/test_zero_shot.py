"""`unshaken evaluate zero-shot` on files: a tiny CLIP beside a model with a head, gates, resume, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import unshaken
from tests.tasks.zero_shot.toy import COLOURS, tinted
from unshaken.cli.app import main
from unshaken.core.errors import DataError, ParameterError, RunError, UnshakenError
from unshaken.report.gates import Gate
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot import Candidate

CONFIG = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
HEAD = """
import torch
from torch import nn
from unshaken.core.classifier import Classifier


def build():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    net[2].weight.data, net[2].bias.data = 8 * torch.eye(3), torch.zeros(3)
    return Classifier(net, classes=["blue", "green", "red"][::-1])
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photos, other photos, captions, factors, a CLIP of random weights, and a net with a head."""
    folder = tmp_path_factory.mktemp("zero-shot")
    (folder / "arch").mkdir()
    (folder / "arch" / "Tiny-Colours.json").write_text(json.dumps(CONFIG))
    before = list(open_clip.factory._MODEL_CONFIG_PATHS)
    open_clip.add_model_config(folder / "arch")
    torch.manual_seed(0)
    save_file(open_clip.create_model("Tiny-Colours").state_dict(), folder / "clip.safetensors")
    images, labels = tinted(24, side=32)
    for i, (image, k) in enumerate(zip(images, labels.tolist(), strict=True)):
        for root in ("photos", "noise") if i < 6 else ("photos",):
            (folder / root / COLOURS[k]).mkdir(parents=True, exist_ok=True)
            pixels = image.permute(1, 2, 0) if root == "photos" else torch.randint(0, 255, (32, 32, 3)).byte()
            Image.fromarray(pixels.numpy()).save(folder / root / COLOURS[k] / f"{i:02}.png")
    lines = [f"{COLOURS[i % 3]}/{i:02}.png,a {COLOURS[i % 3]} thing" for i in range(6)]
    (folder / "captions.csv").write_text("\n".join(["image,caption", *lines]))
    (folder / "hard.csv").write_text("id,factor\nred/00.png,faint\ngreen/01.png,faint\n")
    (folder / "net.py").write_text(HEAD)
    yield folder
    open_clip.factory._MODEL_CONFIG_PATHS[:] = before
    del open_clip.factory._MODEL_CONFIGS["Tiny-Colours"]


CLIP, NET = "openclip:Tiny-Colours/clip.safetensors", "py:net.py:build"


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.chdir(place)


def words(out, parameters="", *more):
    named = ["--model", CLIP, "--model", NET, "--data", "folder:photos", "--out", str(out), "--quiet"]
    return ["evaluate", f"zero-shot:plan=none{parameters}", *named, *more]


@pytest.fixture(scope="module")
def finished(place, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        (place / "design.yaml").write_text(f"{CLIP}: {{architecture: ViT, family: zero-shot}}\n")
        parameters = (
            ",captions=captions.csv,hard=hard.csv,design=design.yaml,against=far=folder:noise,shifts=other=folder:noise"
        )
        assert main(words(out, parameters)) == 0
    return RunDir(out), parameters


def test_every_aspect_is_on_the_page_and_gates_take_its_figures(finished):
    run, parameters = finished
    record = json.loads(run.read("evaluate.json"))
    assert record["finished"]
    clip, net = "0-openclip-Tiny-Colours-clip-safetensors", "1-py-net-py-build"
    assert set(record["figures"]) >= {
        f"accuracy_{clip}", f"accuracy_{net}", f"shape_bias_{net}", f"auroc_{net}_far-folder-noise",
        f"recall_1_{clip}_image-to-text", f"prompts_{clip}", f"hard_{net}_faint", f"ece_{net}",
    }  # fmt: skip
    assert all(Gate.parse(f"{name} >= 0.5").name == name for name in record["figures"])
    accuracy = record["figures"]["accuracy_1-py-net-py-build"]["value"]
    rows = RunDir(f"{run}/1-py-net.py-build/audit").rows("outcomes").to_pylist()
    assert accuracy == sum(r["correct"] for r in rows) / 24
    text = run.read("report.md").decode().replace("\\", "")
    head = text.partition("|")[0]
    assert f"{NET}: {100 * accuracy:.1f} % accuracy" in head
    assert head.index(NET) < head.index(CLIP)  # the more accurate one is named first
    for part in ("Visual factors", "Shape bias", "Abnormal images", "Calibration", "Retrieval", "zero-shot"):
        assert part in text
    gates = [f"--gate=accuracy_1-py-net-py-build >= {accuracy - 0.01}", "--gate=ece_1-py-net-py-build <= 0"]
    assert main(words(run.path, parameters, "--resume", *gates[:1])) == 0
    assert main(words(run.path, parameters, "--resume", *gates)) == 1


def test_the_figures_are_those_of_the_same_models_as_objects(finished, tmp_path):
    run, _ = finished
    found = unshaken.api.holistic(
        {CLIP: Candidate(model=CLIP), NET: Candidate(model=NET)}, "folder:photos", plan=(), captions="captions.csv",
        factors="hard.csv", out=tmp_path / "run",
    )  # fmt: skip
    other = json.loads(run.read("figures.json"))
    for name in (CLIP, NET):
        for aspect in ("accuracy", "shape", "retrieval", "prompts", "visual"):
            assert found.summary["models"][name][aspect] == other["models"][name][aspect]


def test_a_run_that_was_stopped_between_models_goes_on_to_equal_rows(finished, tmp_path, monkeypatch):
    from unshaken.tasks.zero_shot import comparison

    whole = comparison.Steps.all

    def stops(self, opened, record):
        whole(self, opened, record)
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison.Steps, "all", stops)
    with pytest.raises(KeyboardInterrupt):
        unshaken.evaluate(
            "zero-shot:plan=none,captions=captions.csv", [CLIP, NET], "folder:photos", out=tmp_path / "run"
        )
    begun = []
    monkeypatch.setattr(
        comparison.Steps, "all", lambda self, opened, record: begun.append(opened.name) or whole(self, opened, record)
    )
    assert main(words(tmp_path / "run", ",captions=captions.csv", "--resume")) == 0
    assert begun == [CLIP, NET]  # the first one's runs were finished, and are read
    run, again = finished[0], RunDir(tmp_path / "run")
    for key in ("0-openclip-Tiny-Colours-clip.safetensors", "1-py-net.py-build"):
        columns = ["id", "prediction", "logits"]
        audits = (RunDir(f"{each}/{key}/audit").rows("outcomes", columns) for each in (run, again))
        assert next(audits).equals(next(audits))
    assert again.rows("retrievals").equals(run.rows("retrievals"))


def test_other_weights_under_the_same_name_are_refused(tmp_path, place):
    assert main(words(tmp_path / "run", ",cues=false")) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        kept = Path("net.py").read_text()
        Path("net.py").write_text(kept.replace("8 * torch", "9 * torch"))
        try:
            with pytest.raises(RunError, match=r"model 'py:net.py:build' was begun with other weights"):
                unshaken.evaluate(
                    "zero-shot:plan=none,cues=false", [CLIP, NET], "folder:photos", out=tmp_path / "run", resume=True
                )
        finally:
            Path("net.py").write_text(kept)


@pytest.mark.parametrize(
    ("parameters", "models", "error", "message"),
    [
        ("captions=absent.csv", [NET], UnshakenError, "absent.csv"),
        ("hard=net.py", [NET], DataError, "has no column 'id'"),
        ("against==x", [NET], ParameterError, "is not of the form GROUP=SPEC"),
        ("shifts=folder:noise", [NET], ParameterError, "'folder:noise' is not of the form NAME=SPEC"),
        ("shifts=data=folder:noise", [NET], ParameterError, "has the name of a set of this comparison"),
        ("plan=fogg", [NET], ParameterError, "no plan 'fogg'"),
        ("prompts=openai-81", [CLIP], ParameterError, "openai-81"),
        ("baseline=CLIP", [NET], ParameterError, "no model is of the family 'CLIP'"),
        ("design=hard.csv", [NET], ParameterError, "must have the factors of each model under its SPEC"),
        ("fitting=folder:absent", [NET], DataError, "absent"),
        ("cues=maybe", [NET], ParameterError, "cues"),
        ("plan=none", [NET, NET], ParameterError, "is named twice: name each once"),
        ("plan=none", [CLIP.replace("clip.safe", "none.safe")], UnshakenError, "none.safetensors"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(tmp_path, parameters, models, error, message):
    with pytest.raises(error, match=message):
        unshaken.evaluate(f"zero-shot:{parameters}", models, "folder:photos", out=tmp_path / "run")
    assert not (tmp_path / "run" / "evaluate.json").exists()


def test_a_design_of_a_model_that_is_not_there_is_refused(tmp_path, place):
    (place / "other.yaml").write_text("resnet: {loss: sigmoid}\n")
    with pytest.raises(ParameterError, match=r"'resnet' is none of the models, py:net\.py:build"):
        unshaken.evaluate("zero-shot:design=other.yaml", NET, "folder:photos", out=tmp_path / "run")
    (place / "other.yaml").write_text(f"{NET}: {{lost: sigmoid}}\n")
    with pytest.raises(ParameterError, match="there is no factor 'lost'"):
        unshaken.evaluate("zero-shot:design=other.yaml", NET, "folder:photos", out=tmp_path / "run")
