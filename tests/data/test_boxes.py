import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from unshaken.api import write_corrupted
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data import load_data
from unshaken.data.arrays import InMemory
from unshaken.data.box_files import read_box_table
from unshaken.data.object_masks import object_masks
from unshaken.data.selection import with_long_tail
from unshaken.data.streaming import stream

HEAD = "id,x,y,w,h,class\n"


@pytest.fixture
def photos(tmp_path):
    """Photos of several shapes with one bright rectangle, masks of it, and its box in a table."""
    rng, lines = np.random.default_rng(0), []
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for name, (width, height) in {"a": (40, 30), "b": (30, 50), "c": (24, 24), "d": (100, 20)}.items():
        left, top = int(width * 0.4), int(height * 0.3)
        right, bottom = left + int(width * 0.25), top + int(height * 0.5)
        image = rng.integers(0, 30, (height, width, 3), dtype=np.uint8)
        image[top:bottom, left:right] = 255
        mask = np.zeros((height, width), np.uint8)
        mask[top:bottom, left:right] = 1
        Image.fromarray(image).save(tmp_path / "photos" / f"{name}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
        x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
        lines.append(f"{name}.png,{x},{y},{(right - left) / width},{(bottom - top) / height},1")
    (tmp_path / "boxes.csv").write_text(HEAD + "\n".join(lines))
    return tmp_path


@pytest.mark.parametrize(
    "view",
    [
        *(View(32, 32), View(24, 24, resize=30), View(20, 28), View(40, 40, resize=24), View(16, 16, resize=12)),
        *(View(32, 40, fit="letterbox"), View(40, 26, fit="whole")),
    ],
    ids=str,
)
@pytest.mark.parametrize("option", ["", "?size=22"])
def test_boxes_and_masks_follow_the_photos(photos, view, option):
    """The bright pixels of what the model sees are those of the box, and of the mask, but for the resized border."""
    data = load_data(f"folder:{photos / 'photos'}{option}")
    order = list(range(len(data)))
    boxes = read_box_table(str(photos / "boxes.csv")).in_view(data, order, view)
    masks = object_masks(str(photos / "masks"), data, order, view)
    batch = next(iter(stream(data, order, view=view, batch_size=8)))
    assert batch.images.shape[2:] == masks.shape[1:]
    for image, several, mask in zip(batch.images, boxes, masks, strict=True):
        bright, (height, width) = image[0] > 0.55, mask.shape
        rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
        left, top, right, bottom = several[0].tolist()
        outer, inner = (
            (rows > top - by) & (rows < bottom + by) & (columns > left - by) & (columns < right + by) for by in (1, -1)
        )
        assert not ((bright | mask) & ~outer).any()
        assert (bright & mask)[inner].all()


def test_parquet_and_classes(photos):
    table = {"id": ["a.png", "a.png"], "x": [0.5, 0.5], "y": [0.5, 0.5], "w": [1.0, 0.5], "h": [1.0, 0.5]}
    pq.write_table(pa.table({**table, "class": [3, 7]}), photos / "boxes.parquet")
    data = load_data(f"folder:{photos / 'photos'}")
    boxes = read_box_table(str(photos / "boxes.parquet"))
    both, none = boxes.in_view(data, [0, 1], None)
    assert both.tolist() == [[0, 0, 40, 30], [10, 7.5, 30, 22.5]]
    assert none.shape == (0, 4)
    assert boxes.in_view(data, [0], None, labels=[7])[0].tolist() == [[10, 7.5, 30, 22.5]]


def test_what_the_view_cuts_off_is_gone(photos):
    """The box `[0, 0, 20, 20]` of the photo of 100 x 20 pixels is left of the centre 20 x 20."""
    (photos / "left.csv").write_text("id,x,y,w,h\nd.png,0.1,0.5,0.2,1\nd.png,0.5,0.5,0.9,1\n")
    data = load_data(f"folder:{photos / 'photos'}")
    found = read_box_table(str(photos / "left.csv")).in_view(data, [3], View(20, 20))
    assert found[0].tolist() == [[0, 0, 20, 20]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "a.png,0.5,0.5,0,0.1,1", "row 0 .* is empty: its width or height is 0"),
        (HEAD + "a.png,0.5,0.5,0.1,0.1,1\nb.png,1.5,0.5,0.1,0.1,1", "row 1 .* lies outside of its photo"),
        (HEAD + "a.png,nan,0.5,0.1,0.1,1", "cannot be read.*nan"),
        ("id,x,y,w\na.png,1,1,1", "the column h is missing"),
        ("", "the column id is missing"),
    ],
)
def test_what_is_no_box_is_told(photos, text, words):
    (photos / "wrong.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_box_table(str(photos / "wrong.csv"))


def test_what_does_not_belong_together_is_told(photos):
    data = load_data(f"folder:{photos / 'photos'}")
    (photos / "other.csv").write_text("id,x,y,w,h\nz.png,0.5,0.5,0.1,0.1")
    other = read_box_table(str(photos / "other.csv"))
    with pytest.raises(DataError, match=r"'z.png', is a sample of .* like 'a.png'"):
        other.in_view(data, [0], None)
    (photos / "plain.csv").write_text("id,x,y,w,h\na.png,0.5,0.5,0.1,0.1")
    with pytest.raises(DataError, match="no column class"):
        read_box_table(str(photos / "plain.csv")).in_view(data, [0], None, labels=[0])
    Image.new("L", (3, 3)).save(photos / "masks" / "a.png")
    with pytest.raises(DataError, match="3 x 3 pixels and its photo 40 x 30"):
        object_masks(str(photos / "masks"), data, [0], None)
    with pytest.raises(DataError, match="no sample has a mask"):
        object_masks(str(photos / "photos" / ".."), data, [0], None)
    with pytest.raises(DataError, match="of 2 sizes"):
        object_masks(str(photos / "masks"), data, [1, 2], None)


def table(photos, text, name="mine.csv"):
    (photos / name).write_text(text)
    return f"folder:{photos / 'photos'}?boxes={photos / name}"


def test_crowd_and_area_are_read(photos):
    rows = {"id": ["a.png", "a.png"], "x": [0.5] * 2, "y": [0.5] * 2, "w": [0.5] * 2, "h": [0.5] * 2}
    more = {"class": [1, 0], "crowd": [False, True], "area": [7, 250.5]}
    pq.write_table(pa.table({**rows, **more}), photos / "crowd.parquet")
    columns = {**rows, **more, "crowd": [0, 1]}
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    (photos / "crowd.csv").write_text("\n".join([",".join(columns), *lines]))
    for name in ("crowd.parquet", "crowd.csv"):
        data = load_data(f"folder:{photos / 'photos'}?boxes={photos / name}")
        first = data.boxes.objects(data, [0], None)[0]
        assert first.tolist() == [[10, 7.5, 30, 22.5, 1, 0, 7], [10, 7.5, 30, 22.5, 0, 1, 250.5]]


FULL = "id,x,y,w,h,class,crowd,area\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "a.png,0.5,0.5,-0.1,0.1,1", "row 0 .* has a width or height below 0"),
        (HEAD + "a.png,0.5,0.5,40,30,1", "row 0 .* is more than twice as large as its photo"),
        (HEAD + "a.png,0.9,0.5,0.5,0.1,1\n" * 12, "12 of 12 boxes leave their photos; write the centre x, y"),
        (HEAD + "a.png,0.5,0.5,0.1", "row 0, h: '' is not a number"),
        (HEAD + "a.png,0.5,0.5,0.1,0.1,-1", "'-1' is out of range"),
        (HEAD + "a.png,0.5,0.5,0.1,0.1,cat", "'cat' is not a whole number"),
        (HEAD + ",0.5,0.5,0.1,0.1,1", "row 0: the value of id is absent"),
        (FULL + "a.png,0.5,0.5,0.1,0.1,1,2,5", "'2' is out of range: write a whole number from 0 to 1"),
        (FULL + "a.png,0.5,0.5,0.1,0.1,1,0,-5", "row 0: the area -5.0 is no number of pixels"),
        (FULL + "a.png,0.5,0.5,0.1,0.1,1,0,", "row 0, area: '' is not a number"),
        (HEAD, "the table of boxes is empty"),
    ],
)
def test_a_table_that_is_wrong_is_told(photos, text, words):
    with pytest.raises(DataError, match=words):
        load_data(table(photos, text))


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("class", [0, None], "row 1: the value of class is null"),
        ("class", [0, -3], "row 1: the class -3 is not from 0 to"),
        ("class", ["cat", "dog"], "cannot be read: Failed to parse"),
        ("x", [0.5, None], "row 1: the value of x is null"),
        ("x", [0.5, float("nan")], "row 1 .* is not finite"),
        ("id", ["a.png", None], "row 1: the value of id is null"),
        ("crowd", [0, 5], "row 1: crowd is 5; write 1 for a region"),
        ("area", [1.0, float("inf")], "row 1: the area inf is no number of pixels"),
    ],
)
def test_a_parquet_table_that_is_wrong_is_told(photos, monkeypatch, column, values, words):
    monkeypatch.setattr("unshaken.data.box_files.check_parquet", lambda *_: None)  # it starts a process
    rows = {"id": ["a.png", "a.png"], "x": [0.5] * 2, "y": [0.5] * 2, "w": [0.5] * 2, "h": [0.5] * 2}
    pq.write_table(pa.table({**rows, column: values}), photos / "wrong.parquet")
    with pytest.raises(DataError, match=words):
        read_box_table(str(photos / "wrong.parquet"))


def test_a_class_without_a_name_is_told(photos):
    for name in ("a", "b"):
        (photos / "classes" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(photos / "classes" / name / "x.png")
    (photos / "mine.csv").write_text(HEAD + "a/x.png,0.5,0.5,0.1,0.1,2")
    with pytest.raises(DataError, match=r"a box of 'a/x\.png' is of class 2, and data .* has 2 classes"):
        load_data(f"folder:{photos / 'classes'}?boxes={photos / 'mine.csv'}")
    (photos / "mine.csv").write_text(HEAD + "a/x.png,0.5,0.5,0.1,0.1,1")
    spec = f"folder:{photos / 'classes'}?boxes={photos / 'mine.csv'}"
    data = load_data(spec)
    assert with_long_tail(data, "1").boxes is data.boxes
    other = data.renumbered(data.labels[::-1].copy(), ["b", "a"])
    assert other.boxes.classes is None
    assert other.boxes.ids == data.boxes.ids
    with pytest.raises(DataError, match="a mix does not keep the boxes of its parts"):
        load_data(f"mix:folder:{photos / 'classes'}+{spec}@1")
    with pytest.raises(DataError, match="has boxes of objects, which the layout does not hold"):
        write_corrupted(spec, photos / "out", methods=["fog"])


def test_a_photo_is_fetched_once_for_its_pixels_and_boxes(photos, monkeypatch):
    """Else data that is read forwards would be read from its start again for each batch."""
    data = load_data(f"folder:{photos / 'photos'}?boxes={photos / 'boxes.csv'}")
    fetched, fetch = [], type(data).fetch
    monkeypatch.setattr(type(data), "fetch", lambda self, index: fetched.append(index) or fetch(self, index))
    batches = list(stream(data, view=View(8, 8), batch_size=2))
    assert fetched == [0, 1, 2, 3]
    assert all(batch.boxes is not None for batch in batches)


def test_a_mask_outside_of_its_folder_is_not_read(photos, tmp_path):
    """Ids come from strangers' files."""
    outside = tmp_path / "outside.png"
    Image.new("L", (40, 30), 255).save(outside)
    data = InMemory(torch.zeros(1, 1, 30, 40, dtype=torch.uint8), ids=[str(outside.with_suffix(".jpg"))])
    with pytest.raises(DataError, match=r"the mask of sample '.*outside.jpg' would lie outside of"):
        object_masks(str(photos / "masks"), data, [0], None)
