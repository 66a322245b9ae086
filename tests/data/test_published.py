"""Files of ImageNet-C and CIFAR-C: read beside their clean samples, and what is told of those that are not right."""

import numpy as np
import pytest
from PIL import Image

from unshaken import load_data
from unshaken.core.errors import DataError
from unshaken.data.arrays import from_arrays
from unshaken.data.published.write import ImageNetCWriter

N = 6
SEVERITIES = range(1, 6)


@pytest.fixture
def clean(tmp_path):
    """Six images in two class folders; the i-th is grey of level 10 i."""
    for i in range(N):
        place = tmp_path / "clean" / f"n{i // 3}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(place / f"{i}.png")
    return f"folder:{tmp_path}/clean"


@pytest.fixture
def cifar(tmp_path):
    """Arrays of two corruptions: image i at severity s of the first has the level 10 i + s."""
    root = tmp_path / "cifar-c"
    root.mkdir()
    levels = (10 * np.arange(N)[None] + np.arange(1, 6)[:, None]).reshape(-1)
    images = np.broadcast_to(levels[:, None, None, None], (5 * N, 8, 8, 3)).astype(np.uint8)
    np.save(root / "fog.npy", images)
    np.save(root / "snow.npy", 255 - images)
    np.save(root / "labels.npy", np.tile([0, 0, 0, 1, 1, 1], 5))
    return root


@pytest.fixture
def folders(tmp_path):
    """Files of two corruptions, of the same six samples; the level tells corruption, severity and sample."""
    root = tmp_path / "imagenet-c"
    for k, name in enumerate(("fog", "snow")):
        for s in SEVERITIES:
            for i in range(N):
                place = root / name / str(s) / f"n{i // 3}"
                place.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((8, 8, 3), 20 * i + 2 * s + 100 * k, np.uint8)).save(place / f"{i}.JPEG")
    return root


def level(dataset, index):
    return int(np.median(dataset.read(index)))


def test_arrays_are_the_clean_samples_under_each_corruption(cifar, clean):
    data = load_data(f"cifar-c:{cifar}?clean={clean}")
    assert data.ids == load_data(clean).ids == tuple(f"n{i // 3}/{i}.png" for i in range(N))
    assert (data.labels.tolist(), data.classes) == ([0, 0, 0, 1, 1, 1], ("n0", "n1"))
    assert [level(data, i) for i in range(N)] == [0, 10, 20, 30, 40, 50]
    for s in SEVERITIES:
        fog, snow = data.corrupted("fog", s), data.corrupted("snow", s)
        assert fog.ids == data.ids
        assert [level(fog, i) for i in range(N)] == [10 * i + s for i in range(N)]
        assert [level(snow, i) for i in range(N)] == [255 - 10 * i - s for i in range(N)]
    assert data.corrupted("glass_blur", 1) is None


def test_files_are_the_clean_samples_under_each_corruption(folders, clean):
    data = load_data(f"imagenet-c:{folders}?clean={clean}")
    assert data.ids == load_data(clean).ids
    for k, name in enumerate(("fog", "snow")):
        for s in SEVERITIES:
            found = data.corrupted(name, s)
            assert found.ids == data.ids
            assert [level(found, i) for i in range(N)] == [20 * i + 2 * s + 100 * k for i in range(N)]


def test_files_of_some_of_the_clean_samples_are_enough(folders, clean):
    for file in folders.rglob("0.JPEG"):
        file.unlink()
    data = load_data(f"imagenet-c:{folders}?clean={clean}")
    assert data.ids == tuple(f"n{i // 3}/{i}.png" for i in range(1, N))
    assert level(data.corrupted("fog", 2), 0) == 24


@pytest.mark.parametrize("kind", ["cifar-c", "imagenet-c"])
def test_one_part_alone_is_an_ordinary_data_set(kind, cifar, folders, clean):
    root = cifar if kind == "cifar-c" else folders
    alone = load_data(f"{kind}:{root}?corruption=snow&severity=4")
    named = load_data(f"{kind}:{root}?corruption=snow&severity=4&clean={clean}")
    assert alone.labels.tolist() == named.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert named.ids == load_data(clean).ids
    assert named.classes == ("n0", "n1")
    assert [level(alone, i) for i in range(N)] == [level(named, i) for i in range(N)]
    assert alone.fingerprint != load_data(f"{kind}:{root}?corruption=snow&severity=5").fingerprint


def test_a_changed_file_changes_the_fingerprint(cifar, folders, clean):
    for spec, file in (
        (f"cifar-c:{cifar}", cifar / "snow.npy"),
        (f"imagenet-c:{folders}", folders / "snow/5/n1/5.JPEG"),
    ):
        before = load_data(f"{spec}?clean={clean}").fingerprint
        assert load_data(f"{spec}?clean={clean}").fingerprint == before
        if file.suffix == ".npy":
            np.save(file, np.zeros((5 * N, 8, 8, 3), np.uint8))
        else:
            Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(file)
        assert load_data(f"{spec}?clean={clean}").fingerprint != before


def test_the_array_is_not_read_into_memory(cifar, clean, monkeypatch):
    opened = []
    load = np.load

    def counted(*args, **options):
        opened.append(options.get("mmap_mode"))
        return load(*args, **options)

    monkeypatch.setattr(np, "load", counted)
    level(load_data(f"cifar-c:{cifar}?clean={clean}").corrupted("fog", 5), 5)
    assert set(opened) == {"r"}


def drop_labels(root):
    (root / "labels.npy").unlink()


def save(name, array):
    return lambda root: np.save(root / name, array)


def unequal_blocks(root):
    labels = np.tile([0, 0, 0, 1, 1, 1], 5)
    labels[2 * N] = 1
    np.save(root / "labels.npy", labels)


def pickled(root):
    np.save(root / "fog.npy", np.array([{}], dtype=object), allow_pickle=True)


def cut_short(root):
    whole = (root / "fog.npy").read_bytes()
    (root / "fog.npy").write_bytes(whole[: len(whole) // 2])


def no_arrays(root):
    for name in ("fog", "snow"):
        (root / f"{name}.npy").unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop_labels, "holds no labels.npy"),
        (save("labels.npy", np.zeros(31, np.int64)), r"labels.npy is int64 of shape \(31,\)"),
        (save("labels.npy", np.zeros(30)), "labels.npy is float64"),
        (unequal_blocks, "the labels of severity 3 in labels.npy are not those of severity 1"),
        (save("fog.npy", np.zeros((30, 8, 8, 3), np.float32)), "fog.npy is float32 of shape .* not uint8 images"),
        (save("fog.npy", np.zeros((30, 8, 8, 5), np.uint8)), r"fog.npy is uint8 of shape \(30, 8, 8, 5\)"),
        (save("fog.npy", np.zeros((24, 8, 8, 3), np.uint8)), "fog.npy holds 24 images, but labels.npy 30 labels"),
        (pickled, "fog.npy cannot be read as an array"),
        (cut_short, "fog.npy cannot be read as an array"),
        (no_arrays, "holds no array such as fog.npy"),
    ],
)
def test_a_damaged_folder_of_arrays_is_told(cifar, clean, change, told):
    change(cifar)
    with pytest.raises(DataError, match=told):
        load_data(f"cifar-c:{cifar}?clean={clean}")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", r"say where the clean samples are.*clean=cifar10; or read one part alone.*corruption=fog&severity=3"),
        ("?corruption=fog", "give corruption and severity together"),
        ("?corruption=fgo&severity=1", "no corruption 'fgo'.*fog"),
        ("?corruption=fog&severity=6", "severity=6 must be one of 1, 2, 3, 4, 5"),
        ("?clean=demo", "the clean data 'demo' has 1000 samples, and each severity has 6 labelled images"),
    ],
)
def test_what_the_arrays_are_read_with_is_checked(cifar, options, told, monkeypatch):
    monkeypatch.delenv("UNSHAKEN_DATA", raising=False)
    with pytest.raises(DataError, match=told):
        load_data(f"cifar-c:{cifar}{options}")


def test_clean_samples_of_other_labels_are_told(cifar, clean):
    np.save(cifar / "labels.npy", np.tile([0, 0, 1, 1, 1, 1], 5))
    with pytest.raises(DataError, match=r"1 of 6 labels differ .* first that of sample 2 \(1, clean 0\)"):
        load_data(f"cifar-c:{cifar}?clean={clean}")


def remove(*names):
    def change(root):
        for name in names:
            for file in root.glob(name):
                file.unlink()

    return change


def no_severity(root):
    for file in (root / "snow" / "4").rglob("*.JPEG"):
        file.unlink()
    for place in ("n0", "n1", "."):
        (root / "snow" / "4" / place).resolve().rmdir()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (no_severity, "'snow' has no folder of severity 4"),
        (remove("snow/3/n1/5.JPEG"), r"snow/3 lacks 1, such as 'n1/5.JPEG', compared with fog/1"),
        (remove("fog/1/n1/5.JPEG"), r"fog/2 has 1 more, such as 'n1/5.JPEG'"),
        (remove("fog/1/*/*.JPEG"), "no images"),
    ],
)
def test_a_damaged_tree_of_files_is_told(folders, clean, change, told):
    change(folders)
    with pytest.raises(DataError, match=told):
        load_data(f"imagenet-c:{folders}?clean={clean}")


def test_clean_folders_without_the_samples_are_told(folders, clean, tmp_path):
    (tmp_path / "clean/n1/4.png").unlink()
    with pytest.raises(DataError, match="lacks 1 of 6 samples of the files, such as 'n1/4'"):
        load_data(f"imagenet-c:{folders}?clean={clean}")
    with pytest.raises(DataError, match=r"say where the clean samples are.*clean=folder:VAL"):
        load_data(f"imagenet-c:{folders}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no folders <corruption>/<severity>/<class>"):
        load_data(f"imagenet-c:{tmp_path}/empty?clean={clean}")


def test_the_named_set_is_found_where_its_labels_are_the_same(cifar, tmp_path, monkeypatch):
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    place = tmp_path / "data" / "cifar10"
    place.mkdir(parents=True)
    png = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(png, "PNG")
    labels = [0, 0, 0, 1, 1, 1]
    columns = {"id": [f"test/{i}" for i in range(N)], "image": [png.getvalue()] * N, "label": labels}
    pq.write_table(pa.table(columns), place / "test.parquet")
    monkeypatch.setenv("UNSHAKEN_DATA", str(tmp_path / "data"))
    assert load_data(f"cifar-c:{cifar}").ids == tuple(columns["id"])
    pq.write_table(pa.table({**columns, "label": labels[::-1]}), place / "test.parquet")
    with pytest.raises(DataError, match="say where the clean samples are"):
        load_data(f"cifar-c:{cifar}")


def test_one_part_is_paired_by_its_own_names(folders, clean):
    """A part that lacks a file that another part has: no sample gets the image of the next one."""
    (folders / "fog" / "3" / "n0" / "0.JPEG").unlink()
    data = load_data(f"imagenet-c:{folders}?clean={clean}&corruption=fog&severity=3")
    assert data.ids == tuple(f"n{i // 3}/{i}.png" for i in range(1, N))
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    assert [level(data, i) for i in range(N - 1)] == pytest.approx([20 * i + 6 for i in range(1, N)], abs=2)


def test_written_classes_keep_their_order_whatever_their_names(tmp_path):
    """What is written for letters beyond ASCII comes before other letters."""
    images = np.zeros((4, 8, 8), np.uint8)
    data = from_arrays(images, [0, 1, 0, 1], classes=("zebra", "éclair"))
    writer = ImageNetCWriter(tmp_path / "c", data, np.arange(4))
    for severity in SEVERITIES:
        writer.put("fog", severity, 0, images[..., None])
    back = load_data(f"imagenet-c:{tmp_path}/c?corruption=fog&severity=1")
    assert dict(zip(back.ids, back.labels.tolist(), strict=True)) == {
        path: i % 2 for i, path in enumerate(writer.paths)
    }


def test_numbers_of_many_classes_sort_as_numbers_do(tmp_path):
    data = from_arrays(np.zeros((2, 8, 8), np.uint8), [9_999, 10_000])
    paths = ImageNetCWriter(tmp_path / "c", data, np.arange(2)).paths
    assert paths == ["09999/0.JPEG", "10000/1.JPEG"]
