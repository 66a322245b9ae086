"""Every verb on data as people have it: tar shards, links, arrays, loaders."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import unshaken
import unshaken.api
from unshaken.core.errors import RunError
from unshaken.data import load_data
from unshaken.detect import fit
from unshaken.detect.scores.msp import MSP

PGD = "pgd:steps=2"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The first 40 demo images in two tar shards, so that a run must change from one to the other."""
    folder, demo = tmp_path_factory.mktemp("shards"), load_data("demo")
    for shard in range(2):
        with tarfile.open(folder / f"s-{shard}.tar", "w") as tar:
            for i in range(20 * shard, 20 * shard + 20):
                file = io.BytesIO()
                Image.fromarray(demo.read(i)[:, :, 0]).save(file, "PNG")
                for name, data in ((f"{i:03d}.png", file.getvalue()), (f"{i:03d}.cls", b"%d" % demo.labels[i])):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return f"wds:{folder}/s-{{0..1}}.tar"


def errors(audit):
    return pc.count(audit.run.rows("outcomes")["error"]).as_py()


@pytest.mark.parametrize("workers", [1, 4])
def test_audit_reads_tar_shards(shards, tmp_path, workers):
    plan = [{"method": "contrast", "severities": [3]}]
    found = unshaken.audit("demo:standard", shards, plan, out=tmp_path / "run", workers=workers)
    assert found.summary["clean"]["n"] == 40
    assert errors(found) == 0
    (tmp_path / "run/rows/outcomes/contrast-3-00000.parquet").unlink()
    resumed = unshaken.audit("demo:standard", shards, plan, out=tmp_path / "run", workers=workers, resume=True)
    assert resumed.summary["conditions"][0]["accuracy"] == found.summary["conditions"][0]["accuracy"]


def test_attack_and_certify_read_tar_shards(shards, tmp_path):
    attacked = unshaken.attack("demo:standard", shards, PGD, out=tmp_path / "attack", limit=30, workers=2)
    assert errors(attacked) == 0
    certified = unshaken.certify("demo:standard", shards, "ibp", radii=0.001, out=tmp_path / "certify", limit=30)
    assert len(certified.run.rows("certificates")) == 30
    assert errors(certified) == 0


def test_detectors_are_fitted_and_score_tar_shards(shards, tmp_path):
    fit("demo:standard", shards, [MSP()]).save(tmp_path / "detectors")
    scored = unshaken.detect("demo:standard", shards, tmp_path / "detectors", out=tmp_path / "run", attacked=False,
                             accept=None, against="far=" + shards)  # fmt: skip
    assert len(scored.run.rows("scores")) >= 40
    assert scored.summary["bad_samples"] == []


@pytest.fixture(scope="module")
def pair():
    """Demo images and labels as a program holds them."""
    demo = load_data("demo")
    return np.stack([demo.read(i) for i in range(60)]), demo.labels[:60]


def test_every_verb_takes_what_people_have(pair, tmp_path):
    tensors = torch.from_numpy(pair[0]).permute(0, 3, 1, 2), torch.from_numpy(pair[1])
    loader = DataLoader(TensorDataset(*tensors), batch_size=7, shuffle=True)
    pairs = list(zip(pair[0], pair[1].tolist(), strict=True))
    plan = [{"method": "contrast", "severities": [3]}]
    clean = unshaken.audit("demo:standard", pair, plan, out=tmp_path / "audit").summary["clean"]
    assert clean["n"] == 60
    assert unshaken.attack("demo:standard", loader, PGD, out=tmp_path / "attack").summary["clean"] == clean
    assert (
        unshaken.certify("demo:standard", pairs, "ibp", radii=0.001, out=tmp_path / "certify").summary["clean"] == clean
    )
    fit("demo:standard", loader, [MSP()]).save(tmp_path / "detectors")
    scored = unshaken.detect("demo:standard", pairs, tmp_path / "detectors", out=tmp_path / "detect", attacked=False)
    assert len(scored.run.rows("scores")) >= 60
    unshaken.api.set_thresholds("demo:standard", pair, tmp_path / "detectors")
    trained = unshaken.harden("small", loader, out=tmp_path / "harden", epochs=1)
    assert trained.summary
    assert len(unshaken.api.mark(pair, "dct", out=tmp_path / "marked").names()) >= 10


def test_a_run_on_arrays_is_resumed_and_not_with_others(pair, tmp_path):
    plan = [{"method": "contrast", "severities": [3]}]
    found = unshaken.audit("demo:standard", pair, plan, out=tmp_path / "run")
    again = unshaken.audit("demo:standard", pair, plan, out=tmp_path / "run", resume=True)
    assert again.summary["clean"] == found.summary["clean"]
    with pytest.raises(RunError, match="another configuration"):
        unshaken.audit("demo:standard", (255 - pair[0], pair[1]), plan, out=tmp_path / "run", resume=True)


def test_every_result_shows_itself_in_a_notebook(pair, tmp_path):
    """Small, escaped, and with its own figures."""
    plan = [{"method": "contrast", "severities": [3]}]
    audits = [unshaken.audit("demo:standard", pair, plan, out=tmp_path / n, name=f"<{n}>") for n in ("a", "b")]
    detectors = fit("demo:standard", pair, [MSP()])
    hardened = unshaken.harden("small", pair, out=tmp_path / "harden", epochs=1)
    compared = unshaken.compare(tmp_path / "a", tmp_path / "b")
    texts = [r._repr_html_() for r in (audits[0], detectors, detectors.detector_set, hardened, compared)]
    assert all(len(text) < 60_000 and text.count("<style>") == 1 for text in texts)
    assert "Robustness of &lt;a&gt;" in texts[0]
    assert f"{audits[0].summary['clean']['value']:.1%}".removesuffix("%") in texts[0]
    assert "msp" in texts[1]
    assert str(tmp_path / "harden") in texts[3]
    assert f"{hardened.summary['figures']['held_accuracy']['value']:.1%}".removesuffix("%") in texts[3]
    assert "&lt;b&gt;" in texts[4]
    assert all("Next:" in text for text in texts)
