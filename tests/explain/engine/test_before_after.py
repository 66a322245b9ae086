"""Maps of kept examples: whose they are, what they equal, and runs without any."""

import pytest
import torch

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError, RunError
from unshaken.explain import attribute
from unshaken.explain.engine.before_after import MAPS_RECORD, explain_examples, map_file
from unshaken.store.run_dir import RunDir

IDS = ["a", "b", "c"]


@pytest.fixture
def run(tmp_path):
    """Three clean images, and two of them under two changes, one of them in two shards."""
    run = RunDir(tmp_path)
    images = torch.rand(3, 3, 20, 16, generator=torch.Generator().manual_seed(0))
    run.write_examples(images, IDS, "clean", 0)
    run.write_examples(images[[2]].flip(3), ["c"], "fog-3", 0)
    run.write_examples(images[[0]] * 0.5, ["a"], "fog-3", 1)
    run.write_examples(1 - images[[1]], ["b"], "pgd-linf-0.03", 0)
    return run, images


def test_maps_are_those_of_the_images_alone(run, conv):
    directory, images = run
    assert explain_examples(directory, conv, "gradcam") == ["fog-3", "pgd-linf-0.03"]
    kept = directory.read_tensors(*map_file("fog-3"))
    assert list(kept.ids) == ["c", "a"]
    before = attribute(conv, images[[2, 0]], "gradcam", ids=["c", "a"])
    assert torch.equal(kept.tensors["before"], before.maps)
    assert torch.equal(kept.tensors["class_before"], before.classes)
    after = attribute(conv, images[[0]] * 0.5, "gradcam", ids=["a"])
    assert torch.allclose(kept.tensors["after"][1:], after.maps, atol=1e-5)
    record = directory.read_json(*MAPS_RECORD)
    assert (record["method"], record["conditions"]) == ("gradcam", ["fog-3", "pgd-linf-0.03"])


def test_one_condition_alone(run, conv):
    directory, _ = run
    assert explain_examples(directory, conv, "gradient", conditions=["pgd-linf-0.03"]) == ["pgd-linf-0.03"]
    assert not directory.exists(*map_file("fog-3"))
    with pytest.raises(RunError, match="kept no examples of 'fog-2'; did you mean 'fog-3'"):
        explain_examples(directory, conv, conditions=["fog-2"])


def test_a_run_without_examples_and_a_model_of_another_size(tmp_path, run, conv):
    with pytest.raises(RunError, match="kept no examples to explain; audit again with --save-examples 20"):
        explain_examples(RunDir(tmp_path / "empty"), conv)
    other = Classifier(conv.net, view=View(8, 8)).eval()
    with pytest.raises(DataError, match=r"have \(20, 16\) pixels, the model takes \(8, 8\)"):
        explain_examples(run[0], other)
