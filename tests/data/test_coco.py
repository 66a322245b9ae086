"""Objects in COCO's form: what is read, and what is told of a file that is wrong."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data import BadSample, load_data, stream
from unshaken.data.box_files import cut_boxes
from unshaken.data.coco import open_coco

SIZES = {"a.png": (40, 20), "b.png": (30, 30), "c.png": (20, 10)}
CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 3, "name": "car"}]


def obj(image=1, category=1, bbox=(10, 5, 20, 10), **more):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def document(annotations=None, **lists):
    images = [
        {"id": i, "file_name": name, "width": width, "height": height, "license": 3}
        for i, (name, (width, height)) in enumerate(SIZES.items(), 1)
    ]
    given = [obj(), obj(2, 90, (0, 0, 15, 30))] if annotations is None else annotations
    return {"info": {"year": 2017}, "images": images, "annotations": given, "categories": CATEGORIES} | lists


@pytest.fixture
def photos(tmp_path):
    """The usual layout: `val2017`, and `annotations`, to be written."""
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()
    for name, (width, height) in SIZES.items():
        Image.new("RGB", (width, height), (200, 0, 0)).save(tmp_path / "val2017" / name)
    return tmp_path


def load(folder, value, options=""):
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / "annotations" / "instances_val2017.json").write_text(text, encoding="utf-8")
    return load_data(f"coco:{folder}{options}")


def test_images_objects_and_categories(photos):
    crowd = obj(1, 3, (0, 0, 40, 20), iscrowd=1, area=17.5, segmentation={"counts": [1], "size": [20, 40]})
    data = load(photos, document([obj(area=12), crowd, obj(2, 90, (0, 0, 15, 30))]), "?split=val2017")
    assert data.ids == ("a.png", "b.png", "c.png")
    assert data.classes == ("person", "car", "toothbrush")
    assert data.labels is None
    one, two, three = data.boxes.objects(data, [0, 1, 2], None)
    assert one.tolist() == [[10, 5, 30, 15, 0, 0, 12], [0, 0, 40, 20, 1, 1, 17.5]]
    assert two[0].tolist() == [0, 0, 15, 30, 2, 0, 450]
    assert two[1, 4] == three[0, 4] == three[1, 4] == -1


def test_batches_carry_the_objects_in_the_model_s_view(photos):
    (batch,) = stream(load(photos, document()), view=View(20, 20, fit="whole"))
    assert batch.boxes[0, 0, :4].tolist() == [5, 5, 15, 15]
    assert batch.boxes[1, 0, :4].tolist() == [0, 0, 10, 20]


def test_boxes_that_leave_their_photos_are_cut_and_counted(photos):
    """a.png is 40 x 20: one box reaches 4 pixels beyond, one a quarter of a pixel, as rounding may."""
    data = load(photos, document([obj(bbox=(24, 5, 20, 10)), obj(bbox=(20.25, 5, 20, 10)), obj(2, 90, (0, 0, 15, 30))]))
    assert data.boxes.objects(data, [0], None)[0, :, :4].tolist() == [[24, 5, 40, 15], [20.25, 5, 40, 15]]
    assert cut_boxes(data.boxes, data.ids) == (
        ("a.png",),
        "1 of 3 boxes leave their photos; what is outside was cut off",
    )
    assert cut_boxes(data.boxes, data.ids[1:]) == ((), "0 of 1 boxes leave their photos; what is outside was cut off")


def test_a_file_may_stand_alone_with_a_folder_of_images(photos):
    (photos / "mine.json").write_text(json.dumps(document()))
    data = load_data(f"coco:{photos / 'mine.json'}?images={photos / 'val2017'}")
    assert data.ids == ("a.png", "b.png", "c.png")
    (photos / "val2017" / "_annotations.coco.json").write_text(json.dumps(document()))
    beside = load_data(f"coco:{photos / 'val2017' / '_annotations.coco.json'}")
    assert beside.fingerprint == data.fingerprint
    (photos / "annotations").rmdir()
    exported = load_data(f"coco:{photos}?split=val2017")
    assert exported.boxes.boxes.tolist() == data.boxes.boxes.tolist()
    (photos / "annotations").mkdir()
    assert load(photos, document()).fingerprint == data.fingerprint
    assert load(photos, document([obj()])).fingerprint != data.fingerprint
    named = load_data(f"coco:{photos / 'annotations' / 'instances_val2017.json'}")
    assert named.ids == data.ids


def test_names_of_any_script_and_ids_that_are_text(photos):
    names = ["写真.png", unicodedata.normalize("NFD", "été.png"), "фото 1.png"]
    for name in names:
        Image.new("RGB", (8, 8)).save(photos / "val2017" / unicodedata.normalize("NFC", name))
    images = [{"id": f"k{i}", "file_name": name, "width": 8, "height": 8} for i, name in enumerate(names)]
    data = load(photos, document([obj("k1", 3, (0, 0, 4, 4))], images=images))
    assert data.ids == tuple(names)
    assert not data.bad
    assert data.boxes.ids == [names[1]]


def test_lists_may_stand_in_any_order(photos):
    value = document()
    turned = {key: value[key] for key in ("annotations", "categories", "info", "images")}
    assert load(photos, turned).fingerprint == load(photos, value).fingerprint


def test_an_annotation_s_own_id_does_not_matter(photos):
    data = load(photos, document([obj(id=0), obj(2, id=0)]))
    assert list(data.boxes.ids) == ["a.png", "b.png"]


BAD = {
    "NaN": (obj(bbox=(float("1e999"), 0, 1, 1)), "Infinity is no JSON"),
    "unknown category": (obj(category=2), "annotations, item 0: its category 2 is not in categories"),
    "width 0": (obj(bbox=(5, 5, 0, 5)), "item 0: its box is empty: its width or height is 0; write bbox as"),
    "inverted": (obj(bbox=(30, 15, -20, -10)), "its box has a width or height below 0"),
    "outside": (obj(bbox=(40, 0, 10, 10)), "its box lies outside of its photo"),
    "above": (obj(bbox=(0, -12, 10, 10)), "its box lies outside of its photo"),
    "shares of 255": (obj(bbox=(0, 0, 4000, 10)), "its box is more than twice as large as its photo"),
    "three numbers": (obj(bbox=(1, 2, 3)), "item 0: bbox: List should have at least 4 items"),
    "text": (obj(bbox=("1", 2, 3, 4)), "bbox.0: Input should be a valid number"),
    "huge": (obj(bbox=(10**400, 2, 3, 4)), "bbox.0: "),
    "beyond floats": (obj(bbox=(1.7e308, 1.7e308, 1.7e308, 1.7e308)), "item 0: its box is not finite"),
    "boolean": (obj(bbox=(True, 2, 3, 4)), "bbox.0: Input should be a valid number"),
    "polygon": (
        {"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]},
        "item 0: bbox: Field required",
    ),
    "no category": ({"image_id": 1, "bbox": [1, 1, 2, 2]}, "category_id: Field required"),
    "category name": (obj(category="car"), "category_id: Input should be a valid integer"),
    "area": (obj(area=-1), "area: Input should be greater than or equal to 0"),
    "crowd": (obj(iscrowd=2), "iscrowd: Input should be 0 or 1"),
}


@pytest.mark.parametrize(("wrong", "why"), BAD.values(), ids=BAD)
def test_an_object_that_cannot_be_used_makes_its_image_a_bad_sample(photos, wrong, why):
    value = document([wrong, obj(), obj(2)])
    if "Infinity" in why:
        with pytest.raises(DataError, match=rf"'annotations', item 0: {why}"):
            load(photos, value)
        return
    data = load(photos, value)
    assert list(data.bad) == [0]
    assert why in data.bad[0]
    assert "\n" not in data.bad[0]
    assert list(data.boxes.ids) == ["b.png"]


def image(**changed):
    return {"id": 1, "file_name": "a.png", "width": 40, "height": 20} | changed


WRONG = {
    "cut": (json.dumps(document())[:-30], r"val2017.json is damaged \('categories', item \d: .*; get it again"),
    "empty": ("", "its beginning: needed is a table"),
    "a list": ([obj()], "needed is a table, which begins with {"),
    "more behind": (json.dumps(document()) + "{}", "more stands behind its end"),
    "deep": ('{"images": ' + "[" * 100_000, "nested too deeply"),
    "a key twice": ('{"images": [], "images": []}', "'images' stands twice"),
    "digits": ('{"images": [' + "9" * 5000 + "]}", "'images', item 0: Exceeds the limit"),
    "no images": ({"annotations": [], "categories": []}, "has no images: needed is a table of COCO's form"),
    "no categories": ({"images": [], "annotations": []}, "has no categories"),
    "images no list": (document(images={"1": "a.png"}), "images must be a list, not "),
    "captions": (document([{"image_id": 1, "id": 3, "caption": "a dog"}]), "none of its images with objects can be us"),
    "a bare annotation": (document([5]), "annotations, item 0: "),
    "image of an annotation": (document([obj(7)]), "an annotation is of the image 7, which is not in images"),
    "two images": (document(images=[image(), image(file_name="b.png")]), "two images have the id 1: give each"),
    "a file twice": (document(images=[image(), image(id=2)]), "id 'a.png' occurs 2 times"),
    "no file name": (document(images=[{"id": 1, "width": 1}]), "images, item 0: file_name: Field required"),
    "half a character": (document(images=[image(file_name="\ud800.png")]), "item 0: file_name: Input should be"),
    "no width": (document(images=[image(width=0)]), "width: Input should be greater than or equal to 1"),
    "out of the folder": (document(images=[image(), image(id=2, file_name="../val2017/b.png")]), "has no part '..'"),
    "two categories": (document(categories=[CATEGORIES[0]] * 2), "two categories have the id 90"),
    "a name twice": (
        document(categories=[CATEGORIES[0], {"id": 4, "name": "toothbrush"}]),
        "two categories have the name 'toothbrush'",
    ),
    "no objects": (document([]), "has no objects: nothing says what is in its 3 images"),
    "no photo": (document([], images=[image(file_name="x.png")]), r"none of its 1 images, such as 'x.png', is in "),
    "no image": (document([], images=[]), "the list images is empty"),
    "corners": (document([obj(1, 1, (20, 5, 35, 18))] * 12), "12 of 12 boxes leave their photos; write bbox as"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "why"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_wrong_is_told_in_one_line(photos, value, why):
    with pytest.raises(DataError, match=why) as caught:
        load(photos, value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"data 'coco:{photos}'")


def test_an_absent_photo_and_one_of_another_size_are_bad_samples(photos):
    (photos / "val2017" / "b.png").unlink()
    Image.new("RGB", (20, 40)).save(photos / "val2017" / "a.png")
    data = load(photos, document([obj(), obj(2), obj(3, 1, (0, 0, 5, 5))]))
    found = list(stream(data, view=View(8, 8)))
    assert [x.id for x in found if isinstance(x, BadSample)] == ["a.png", "b.png"]
    assert "it has 20 x 40 pixels (EXIF orientation applied), and its annotations are for 40 x 20" in str(found[0])
    assert "the file is not in" in str(found[1])
    assert found[2].ids == ("c.png",)


def test_a_photo_that_is_a_link_out_of_the_folder_is_not_read(photos, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    Image.new("RGB", (40, 20)).save(outside)
    (photos / "val2017" / "a.png").unlink()
    (photos / "val2017" / "a.png").symlink_to(outside)
    data = load(photos, document())
    assert "symbolic link leaves the data folder" in data.bad[0]
    assert not load(photos, document(), f"?links={outside.parent}").bad


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("coco:{0}?split=..", "split=.. must be the name of a folder"),
        ("coco:{0}?split=train2017", "instances_train2017.json' cannot be opened: No such file"),
        ("coco:{0}/val2017", "0 files annotations/instances_\\*.json"),
        ("coco:{0}/absent.json", "cannot be opened: No such file"),
        ("coco:{0}/annotations/instances_val2017.json?split=val2017", "is a file; leave it out"),
        ("coco:{0}?images={0}/absent", "cannot be opened: No such file"),
        ("coco:{0}?noise=symmetric:0.1", "noise needs labels"),
        ("coco:{0}?longtail=10", "longtail needs labels"),
        ("mix:coco:{0}+coco:{0}@1", "has no class for each image"),
    ],
)
def test_what_cannot_be_asked_of_objects_is_told(photos, spec, why):
    load(photos, document())
    with pytest.raises(DataError, match=why):
        load_data(spec.format(photos))


def test_two_files_are_to_be_chosen_from(photos):
    (photos / "annotations" / "instances_train2017.json").write_text("{}")
    with pytest.raises(DataError, match=r"2 files .*; choose one: \?split=train2017"):
        load(photos, document())
    assert len(load(photos, document(), "?split=val2017")) == 3


def test_boxes_of_another_file_take_the_place_of_those_of_the_data(photos):
    (photos / "mine.csv").write_text("id,x,y,w,h,class\na.png,0.5,0.5,0.5,0.5,2\n")
    data = load(photos, document(), f"?boxes={photos / 'mine.csv'}")
    assert data.boxes.objects(data, [0], None)[0].tolist() == [[10, 5, 30, 15, 2, 0, 200]]


def test_many_annotations_are_read_item_by_item(photos, monkeypatch):
    """With blocks of 50 characters every item is met whole, wherever it begins."""
    monkeypatch.setattr("unshaken.core.json_items.BLOCK", 50)
    many = [obj(1 + i % 3, (1, 3, 90)[i % 3], (i % 7, 1, 5 + i % 5, 6), area=i) for i in range(300)]
    data = load(photos, document(many))
    assert len(data.boxes.ids) == 300
    np.testing.assert_array_equal(data.boxes.areas, np.sort(data.boxes.areas))
    np.testing.assert_array_equal(data.boxes.classes[:3], [0, 1, 2])
    assert open_coco(str(photos), data.options).fingerprint == data.fingerprint
