"""`meshes:DIR`: what is read, and one line for each mesh that cannot be used."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data, stream
from unshaken.data.viewpoint.mesh_folder import Mesh, RayRenderer, read_mesh
from unshaken.data.viewpoint.object_set import FRONT, camera_to_world, pixel_rays, require_objects
from unshaken.data.viewpoint.solids import Part, box, render

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


def test_a_mesh_behind_a_link_is_named(tmp_path):
    (tmp_path / "elsewhere.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "x.obj").symlink_to(tmp_path / "elsewhere.obj")
    with pytest.raises(DataError, match=r"'a/x\.obj' is behind a symbolic link"):
        load_data(f"meshes:{tmp_path}/root")


def test_a_folder_without_objects_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no meshes in .*looked for \.obj"):
        load_data(f"meshes:{tmp_path}")
    write(tmp_path, "a.obj", TRIANGLE + FACE)
    write(tmp_path / "b", "a.obj", TRIANGLE + FACE)
    with pytest.raises(DataError, match=r"1 loose meshes such as 'a\.obj' stand beside folders"):
        load_data(f"meshes:{tmp_path}")
    with pytest.raises(DataError, match=r"^gmvfool needs objects .* 'demo' holds pictures: use meshes:DIR"):
        require_objects(load_data("demo"), "gmvfool")


VIEWS = torch.tensor([[0, 0, 0, 4, 0, 0], [10, 35, 60, 3.5, 0.2, -0.1], [-20, 200, 85, 4.5, -0.3, 0.3]])
SIDE = 40


def rays():
    return pixel_rays(camera_to_world(VIEWS.double()), SIDE)


def test_a_sphere_is_where_the_quadratic_says():
    ball = trimesh.creation.icosphere(subdivisions=5, radius=0.9)
    found = RayRenderer(Mesh.plain(ball.vertices, ball.faces, (1, 0, 0))).render(VIEWS, SIDE)
    start, direction = rays()
    b, c = (start * direction).sum(-1), start.square().sum(-1) - 0.9**2
    inside = b**2 - c
    clear = inside.abs() > 1e-2
    assert torch.equal(found.depth.isfinite()[clear], (inside > 0)[clear])
    met = clear & (inside > 0)
    assert torch.allclose(found.depth[met].double(), (-b - inside.clamp(min=0).sqrt())[met], atol=1e-2)
    assert int(met.sum()) > 300


def test_a_box_is_where_its_slabs_meet_and_is_shaded_as_its_distance_field():
    half = torch.tensor([0.5, 0.8, 0.3], dtype=torch.float64)
    mesh = trimesh.creation.box(extents=2 * half.numpy())
    found = RayRenderer(Mesh.plain(mesh.vertices, mesh.faces, (0, 1, 0.5))).render(VIEWS, SIDE)
    start, direction = rays()
    one, other = (-half - start) / direction, (half - start) / direction
    enters, leaves = torch.minimum(one, other).amax(-1), torch.maximum(one, other).amin(-1)
    clear = (leaves - enters).abs() > 1e-3
    assert torch.equal(found.depth.isfinite()[clear], (leaves > enters)[clear])
    met = clear & (leaves > enters)
    assert torch.allclose(found.depth[met].double(), enters[met], atol=1e-4)
    other = render([Part(box(half.tolist()), (0, 1, 0.5))], VIEWS.double(), SIDE)
    same = (found.images - other.images).abs().amax(1) < 5e-3
    assert float(same[met].double().mean()) > 0.9  # the others lie on edges, where the distance has no normal
    assert bool((found.images.permute(0, 2, 3, 1)[clear & (leaves <= enters)] == 1).all())


def test_a_texture_lies_as_its_corners_say():
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * 0.999
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    picture = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 0]]], np.uint8).repeat(8, 0).repeat(8, 1)
    plain = Mesh.plain(corners, faces, (0, 0, 0))
    mesh = Mesh(plain.vertices, faces, plain.colours, uv[faces], np.zeros(2, np.int32), (picture,))
    image = RayRenderer(mesh).render(torch.tensor([[0, 0, 0, 4.0, 0, 0]]), 40).images[0]
    quarters = [(image[:, y, x] > 0.5).int().tolist() for y in (14, 25) for x in (14, 25)]
    assert quarters == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert image[:, 0, 0].tolist() == [1, 1, 1]


def test_a_view_is_the_same_alone_and_among_others():
    mesh = trimesh.creation.icosphere(subdivisions=2)
    renderer = RayRenderer(Mesh.plain(mesh.vertices, mesh.faces, (0.3, 0.2, 0.9)))
    assert torch.equal(renderer.render(VIEWS, 16).images[1:2], renderer.render(VIEWS[1:2], 16).images)
