"""`meshes:DIR`: what is read, and one line for each mesh that cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data, stream
from unshaken.data.viewpoint.mesh import read_mesh
from unshaken.data.viewpoint.object_set import FRONT, require_objects

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 2 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3\n"
MATERIAL = "newmtl m\nKd 0.2 0.4 0.6\n"


def write(folder, name, text, **others):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    for other, content in others.items():
        (folder / other.replace("_", ".")).write_text(content)
    return folder / name


def reason(path):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        read_mesh(path)
    assert type(caught.value).__name__ == "BadImage"
    assert "\n" not in caught.value.reason
    return caught.value.reason


def test_a_mesh_is_centred_scaled_and_turned_upright(tmp_path):
    text = f"mtllib a.mtl\n{TRIANGLE}usemtl m\n{FACE}"
    mesh = read_mesh(write(tmp_path, "a.obj", text, a_mtl=MATERIAL))
    assert np.allclose(mesh.vertices, [[-0.625, 0, -1.25], [0.625, 0, -1.25], [-0.625, 0, 1.25]])
    assert np.allclose(mesh.colours, [0.2, 0.4, 0.6], atol=1 / 255)
    assert mesh.texture.tolist() == [-1]
    assert np.allclose(read_mesh(tmp_path / "a.obj", up="z").vertices[2], [-0.625, 1.25, 0])


def test_a_texture_is_read_by_trusted_readers(tmp_path):
    text = f"mtllib a.mtl\n{TRIANGLE}usemtl m\n{FACE}"
    path = write(tmp_path, "a.obj", text, a_mtl=f"{MATERIAL}map_Kd t.png\n")
    Image.new("RGB", (4, 2), (10, 20, 30)).save(tmp_path / "t.png")
    mesh = read_mesh(path)
    assert mesh.texture.tolist() == [0]
    assert mesh.textures[0].shape == (2, 4, 3)
    assert mesh.textures[0][0, 0].tolist() == [10, 20, 30]
    (tmp_path / "t.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert reason(path) == "its texture 't.png' cannot be used: the file is a PostScript program, which is not run"


def test_a_mesh_that_cannot_be_used_has_one_line(tmp_path):
    assert reason(write(tmp_path, "e.obj", TRIANGLE)) == "the mesh has no faces"
    assert reason(write(tmp_path, "s.stl", "no mesh")).startswith("the mesh ")
    many = write(tmp_path, "m.obj", TRIANGLE + "f 1 2 3\n" * 1_000_000)
    assert reason(many).startswith("the mesh has 1,000,000 faces; 500,000 are the most: simplify it")
    flat = write(tmp_path, "p.obj", "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    assert reason(flat) == "the mesh has no extent, or a vertex that is no number"
    text = f"mtllib a.mtl\n{TRIANGLE}usemtl m\n{FACE}"
    assert reason(write(tmp_path / "a", "a.obj", text)) == "its material file 'a.mtl' is absent"
    textured = write(tmp_path / "b", "a.obj", text, a_mtl=f"{MATERIAL}map_Kd wood.jpg\n")
    assert reason(textured) == "its texture 'wood.jpg' is absent"
    away = write(tmp_path / "c", "a.obj", text, a_mtl=f"{MATERIAL}map_Kd ../t.png\n")
    assert reason(away) == "its texture '../t.png' lies outside of the mesh's folder"


def test_a_folder_a_class_and_a_bad_mesh_among_good_ones(tmp_path):
    write(tmp_path / "wedge" / "one", "a.obj", TRIANGLE + FACE)
    write(tmp_path / "flag", "b.obj", TRIANGLE + FACE)
    write(tmp_path / "flag", "bad.obj", TRIANGLE)
    write(tmp_path / "flag", ".hidden.obj", TRIANGLE)
    data = require_objects(load_data(f"meshes:{tmp_path}?size=24"), "this")
    assert data.ids == ("flag/b.obj", "flag/bad.obj", "wedge/one/a.obj")
    assert data.classes == ("flag", "wedge")
    assert data.labels.tolist() == [0, 0, 1]
    found = list(stream(data, workers=1))
    bad = [f for f in found if isinstance(f, BadSample)]
    assert [str(b) for b in bad] == ["flag/bad.obj: the mesh has no faces"]
    batch = found[-1]
    assert batch.images.shape == (2, 3, 24, 24)
    again = data.images(0, torch.tensor([FRONT]))
    assert torch.equal(again[0], batch.images[0])
    before = data.fingerprint
    write(tmp_path / "flag", "b.obj", TRIANGLE + FACE + FACE)
    assert load_data(f"meshes:{tmp_path}?size=24").fingerprint != before


def test_a_folder_without_objects_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no meshes in .*looked for \.obj"):
        load_data(f"meshes:{tmp_path}")
    write(tmp_path, "a.obj", TRIANGLE + FACE)
    write(tmp_path / "b", "a.obj", TRIANGLE + FACE)
    with pytest.raises(DataError, match=r"1 loose meshes such as 'a\.obj' stand beside folders"):
        load_data(f"meshes:{tmp_path}")
    with pytest.raises(DataError, match=r"^gmvfool needs objects .* 'demo' holds pictures: use meshes:DIR"):
        require_objects(load_data("demo"), "gmvfool")
