"""Where depth comes from: a plane that a flag names, a function, files by sample; wrong ones are refused."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unshaken import audit
from unshaken.core import Batch, Classifier, Oracle, View
from unshaken.core.context import Context
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.run.adapters import Line, conditions_of, rows_of
from unshaken.store.tables import table_of
from unshaken.stress.common_3d.fog_3d import Fog3D

IMAGES = torch.rand(3, 3, 12, 16, generator=torch.Generator().manual_seed(0))
BATCH = Batch(IMAGES, torch.zeros(3, dtype=torch.int64), ("a.jpg", "b", "c"))


def fogged(depth):
    """The fog of severity 1 by hand."""
    t = torch.exp(-4 * depth.double())
    return (IMAGES * t + IMAGES.mean((1, 2, 3), keepdim=True) * (1 - t)).float()


def exact(**params):
    return Fog3D(truncate=False, **params)


def test_the_plane_rises_from_near_to_far():
    slope = torch.linspace(1, 0.2, 12)[:, None].expand(12, 16)
    assert torch.allclose(exact().apply(BATCH, 1).images, fogged(slope), atol=1e-6)


def test_a_function_gives_the_depth_of_all_images():
    found = exact().with_depth(lambda images: images[:, 0] + 0.1).apply(BATCH, 1).images
    assert torch.allclose(found, fogged(IMAGES[:, :1] + 0.1), atol=1e-6)


def test_files_are_found_by_sample_in_any_order(tmp_path):
    depths = np.random.default_rng(0).uniform(0.1, 1, (3, 12, 16))
    np.save(tmp_path / "a.npy", depths[0])
    np.save(tmp_path / "b.npy", depths[1])
    Image.fromarray((depths[2] * 65535).round().astype(np.uint16)).save(tmp_path / "c.png")
    method = exact(depth=str(tmp_path))
    expected = fogged(torch.from_numpy(depths)[:, None])
    assert torch.allclose(method.apply(BATCH, 1).images, expected, atol=1e-4)
    order = torch.tensor([2, 0, 1])
    assert torch.equal(method.apply(BATCH[order], 1).images, method.apply(BATCH, 1).images[order])
    array = method.apply_pixels(np.zeros((12, 16, 3), np.uint8), 1, sample="b")
    assert array.shape == (12, 16, 3)


def test_a_map_of_another_size_is_enlarged(tmp_path):
    np.save(tmp_path / "b.npy", np.array([[0.5, 1.0]]))
    halves = torch.tensor([0.5, 1.0]).repeat_interleave(8).expand(12, 16)
    assert torch.allclose(exact(depth=str(tmp_path)).apply(BATCH[1:2], 1).images, fogged(halves)[1:2], atol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((12, 16)), "above 0"),
        (np.full((12, 16), np.nan), "above 0"),
        (np.ones((12, 16, 3)), "one number a pixel"),
    ],
    ids=["zero", "nan", "colour"],
)
def test_wrong_maps_are_refused(tmp_path, values, message):
    np.save(tmp_path / "b.npy", values)
    with pytest.raises(DataError, match=message):
        Fog3D(depth=str(tmp_path)).apply(BATCH[1:2], 1)


def test_absent_and_unreadable_maps_are_named(tmp_path):
    method = Fog3D(depth=str(tmp_path))
    with pytest.raises(DataError, match=r"no depth map of sample 'a.jpg'.*a.npy"):
        method.apply(BATCH, 1)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read"):
        method.apply(BATCH[1:2], 1)
    Image.fromarray(np.full((12, 16), 200, np.uint8)).save(tmp_path / "b.png")  # would be 0.003
    with pytest.raises(DataError, match=r"b.png' cannot be read \(it is of the mode L, not of 16 bits"):
        method.apply(BATCH[1:2], 1)
    (tmp_path / "b.png").unlink()
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(claim, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "b.npy").write_bytes(claim.getvalue())
    with pytest.raises(DataError, match="cannot be read"):
        method.apply(BATCH[1:2], 1)
    with pytest.raises(DataError, match="known by sample"):
        method.run(IMAGES, 1, SampleRng.of(0, "fog", BATCH.ids))


def test_an_assumed_depth_is_flagged():
    net = Classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), name="tiny").eval()
    oracle = Oracle(net)
    context = Context(oracle, 1, oracle.exact(IMAGES))

    def flags(method):
        conditions = conditions_of(method, Line("fog_3d", severities=(1, 2)))
        return [flag.name for part in rows_of(method, BATCH, conditions, context) for flag in part.flags]

    assert flags(Fog3D()) == ["assumed-depth"]
    assert flags(Fog3D().with_depth(lambda images: images[:, 0] + 0.1)) == []


def test_maps_of_photos_are_cut_as_the_photos_are(tmp_path, monkeypatch):
    """A photo of 48 x 32, of which the model sees the middle 32 columns."""
    depths, seen = np.random.default_rng(0).uniform(0.1, 1, (32, 48)), []
    for folder in ("photos", "depths"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        Image.new("RGB", (48, 32)).save(tmp_path / f"photos/{name}.png")
    np.save(tmp_path / "depths/a.npy", depths)
    np.save(tmp_path / "depths/b.npy", depths[:, 8:40])  # made of what the model sees
    monkeypatch.setattr(Fog3D, "corrupt_one", lambda self, image, depth, c, rng: seen.append(depth) or image)
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), name="tiny", view=View(32, 32))
    plan = [{"method": "fog_3d", "severities": [1], "params": {"depth": str(tmp_path / "depths")}}]
    audit(model, f"folder:{tmp_path / 'photos'}", plan=plan, out=tmp_path / "run", workers=1, save_examples=0)
    assert len(seen) == 2
    assert all(np.array_equal(depth.numpy(), depths[:, 8:40]) for depth in seen)


def test_a_sample_without_a_map_is_a_row_with_its_reason(tmp_path):
    for name in "ac":
        np.save(tmp_path / f"{name}.npy", np.full((12, 16), 0.5))
    np.save(tmp_path / "b.npy", np.zeros((12, 16)))
    oracle = Oracle(Classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), name="tiny").eval())
    context = Context(oracle, 1, oracle.exact(IMAGES))
    method = Fog3D(depth=str(tmp_path))
    conditions = conditions_of(method, Line("fog_3d", severities=(1, 2)))

    def rows(batch):
        parts = rows_of(method, batch, conditions, context)
        return [row for part in parts for row in table_of(part).to_pylist()]

    found = rows(BATCH)
    assert {(row["id"], row["error"] is None) for row in found} == {("a.jpg", True), ("b", False), ("c", True)}
    assert all("not a number above 0" in row["error"] for row in found if row["id"] == "b")
    assert len(found) == 6
    with pytest.raises(ParameterError, match="depth='nowhere' is no folder"):
        rows_of(Fog3D(depth="nowhere"), BATCH, conditions, context)
    alone = rows(BATCH[1:2])
    assert [(row["condition"], row["prediction"]) for row in alone] == [("fog_3d-1", None), ("fog_3d-2", None)]
