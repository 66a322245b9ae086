"""Tar shards, written with the standard library."""

import io
import random
import tarfile

import pytest

from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data
from unshaken.data.shards import spread


def write(path, samples):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in samples:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def spec(tmp_path, make):
    for shard in range(2):
        samples = []
        for i in range(3):
            n = shard * 3 + i
            samples += [(f"a/{n:03d}.png", make.encode(make.noise(seed=n))), (f"a/{n:03d}.cls", str(n % 4).encode())]
        write(tmp_path / f"s-{shard}.tar", samples)
    return f"wds:{tmp_path}/s-{{0..1}}.tar"


def test_samples_keep_the_order_of_the_shards(spec, make, tmp_path):
    data = load_data(spec)
    assert data.ids == tuple(f"a/{n:03d}" for n in range(6))
    assert data.labels.tolist() == [0, 1, 2, 3, 0, 1]
    for i in (0, 2, 5, 1):
        assert (data.read(i) == make.noise(seed=i)).all()
    starred = load_data(f"wds:{tmp_path}/s-*.tar")
    assert starred.ids == data.ids
    assert starred.fingerprint == data.fingerprint


def test_names_are_classes_and_gaps_are_bad(tmp_path, make):
    image = make.encode(make.noise())
    write(
        tmp_path / "s.tar.gz",
        [("a.jpg", image), ("a.cls", b"dog\n"), ("b.png", image), ("c.png", image), ("c.cls", b"ant")],
    )
    data = load_data(f"wds:{tmp_path}/s.tar.gz")
    assert (data.classes, data.labels.tolist()) == (("ant", "dog"), [1, -1, 0])
    assert data.bad == {1: "the label is null"}
    (tmp_path / "names").write_text("cat\ndog\n")
    other = load_data(f"wds:{tmp_path}/s.tar.gz?classes={tmp_path / 'names'}")
    assert other.labels.tolist() == [1, -1, -1]


def test_a_sample_without_one_image_is_bad(tmp_path, make):
    image = make.encode(make.noise())
    write(tmp_path / "s.tar", [("a.txt", b"x"), ("b.png", image), ("b.jpg", image), ("c.seg.png", image)])
    data = load_data(f"wds:{tmp_path}/s.tar")
    assert data.labels is None
    with pytest.raises(BadSample, match="a: no fields with an image's extension among txt"):
        data.read(0)
    with pytest.raises(BadSample, match="b: 2 fields with an image's extension among jpg, png"):
        data.read(1)
    assert data.read(2).shape == (10, 12, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>404</html>", "shard s.tar is an HTML page"),
        (b"x" * 5000, "shard s.tar cannot be read"),
        (b"", "is empty"),
    ],
)
def test_a_shard_that_is_no_tar_is_refused(tmp_path, data, message):
    (tmp_path / "s.tar").write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        load_data(f"wds:{tmp_path}/s.tar")
    assert "\n" not in str(error.value)


def test_a_cut_shard_is_refused(spec, tmp_path):
    path = tmp_path / "s-1.tar"
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"shard s-1\.tar cannot be read"):
        load_data(spec)


@pytest.mark.parametrize("target", ["pipe:touch {0}", "http://localhost/s.tar", "s3://bucket/s.tar", "file:///{0}"])
def test_nothing_is_run_or_downloaded(tmp_path, target):
    with pytest.raises(DataError, match="from local files only"):
        load_data(f"wds:{target.format(tmp_path / 'ran')}")
    assert not (tmp_path / "ran").exists()


def test_absent_shards_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no file fits"):
        load_data(f"wds:{tmp_path}/*.tar")
    with pytest.raises(DataError, match=r"s-0.tar.* cannot be opened"):
        load_data(f"wds:{tmp_path}/s-{{0..1}}.tar")


def test_a_key_in_two_shards_is_refused(tmp_path, make):
    for name in ("s-0.tar", "s-1.tar"):
        write(tmp_path / name, [("a.png", b"")])
    with pytest.raises(DataError, match="id 'a' occurs 2 times"):
        load_data(f"wds:{tmp_path}/s-{{0..1}}.tar")


def test_two_files_of_one_extension_are_refused(tmp_path):
    write(tmp_path / "s.tar", [("a.png", b""), ("a.PNG", b"")])
    with pytest.raises(DataError, match=r"holds a\.png twice"):
        load_data(f"wds:{tmp_path}/s.tar")


@pytest.mark.parametrize("packed", [False, True])
def test_keys_fields_and_bytes_are_those_of_webdataset(tmp_path, packed):
    tariterators = pytest.importorskip("webdataset.tariterators", reason="the package webdataset is not installed")
    draw = random.Random(0)
    names = [
        "x/a.png",
        "x/a.cls",
        "x.y/b.jpg",
        "b.c.png",
        "b.cls",
        "__meta__",
        "__m__/d.png",
        "noext",
        ".hide.png",
        "e.JPG",
    ]
    names += ["x/f.txt", "x/f.jpeg", "g/h/i.png"]
    path = tmp_path / ("s.tar.gz" if packed else "s.tar")
    write(path, [(n, draw.randbytes(draw.randrange(1, 2000))) for n in names if not n.endswith("cls")])
    with path.open("rb") as file:
        files = tariterators.tar_file_expander(iter([{"url": "s", "stream": file}]))
        want = list(tariterators.group_by_keys(files))
    data = load_data(f"wds:{path}")
    assert list(data.ids) == [s["__key__"] for s in want]
    for i in random.Random(1).sample(range(len(want)), len(want)):
        fields = {k: v for k, v in want[i].items() if not k.startswith("__")}
        assert set(data._samples[i].fields) == set(fields)
        assert data.fetch(i) in fields.values()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{8..10}", ["8", "9", "10"]),
        ("{1,x}/{00..01}", ["1/00", "1/01", "x/00", "x/01"]),
        ("{a}", ["{a}"]),
    ],
)
def test_braces_are_spread(pattern, names):
    assert spread(pattern) == names


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_shard_cut_between_its_files_is_refused(tmp_path, blocks):
    path = tmp_path / "s.tar"
    write(path, [("a.png", b"x" * 512), ("b.png", b"y" * 512)])  # a block of header and one of data each
    path.write_bytes(path.read_bytes()[: blocks * 512])
    with pytest.raises(DataError, match=r"shard s\.tar cannot be read"):
        load_data(f"wds:{path}")


def test_a_copy_outlives_the_data_set_that_it_was_made_of(tmp_path, make):
    """What the runner does: the data aligned to the model's classes replaces what was opened."""
    write(
        tmp_path / "a.tar",
        [(f"{i}.{e}", data) for i in range(3) for e, data in (("png", make.encode(make.noise())), ("cls", b"1"))],
    )
    data = load_data(f"wds:{tmp_path}/a.tar")
    assert data.read(0).shape
    data = data.within(5)
    assert data.read(1).shape


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{9..1}.tar", "no range that rises"),
        ("{0..99999999999}.tar", "more than 100,000 files"),
        ("{0..999}-{0..999}.tar", "more than 100,000 files"),
        ("{a,b}" * 30, "more than 100,000 files"),
    ],
)
def test_a_pattern_of_too_many_files_is_refused_before_it_is_spread(pattern, words):
    with pytest.raises(DataError, match=words):
        load_data(f"wds:{pattern}")


def test_a_label_is_short(tmp_path, make):
    write(tmp_path / "a.tar", [("a.png", make.encode(make.noise())), ("a.cls", b"1" * 100_000)])
    with pytest.raises(DataError, match=r"the label 'a\.cls' has 100,000 bytes"):
        load_data(f"wds:{tmp_path}/a.tar")


def test_links_and_devices_are_passed_over(tmp_path, make):
    write(tmp_path / "a.tar", [("a.png", make.encode(make.noise())), ("a.cls", b"1")])
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        for name, kind in (("z.png", tarfile.SYMTYPE), ("y.png", tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
    assert load_data(f"wds:{tmp_path}/a.tar").ids == ("a",)
