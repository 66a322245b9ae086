"""`wilds:`: the published layouts in miniature, splits by hand, and folders that are refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unshaken.core.errors import DataError
from unshaken.data import load_data


def photo(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 6, 3), value, np.uint8)).save(path)


def opened(folder, split):
    data = load_data(f"wilds:{folder}?split={split}")
    return list(data.ids), [data.classes[k] for k in data.labels], data.columns()


def iwildcam(folder):
    """Version 2: words for splits, numbers for classes whose names stand in another file."""
    splits = ("train", "val", "test", "id_val", "id_test", "test")
    rows = [f"{s},c{i}.png,{i % 3},{i},seq{i},2013-06-05 05:44:19.000" for i, s in enumerate(splits)]
    head = "split,filename,y,location_remapped,seq_id,datetime"
    for i in range(6):
        photo(folder / "train" / f"c{i}.png", i)
    (folder / "metadata.csv").write_text("\n".join([head, *rows]))
    (folder / "categories.csv").write_text("y,category_id,name\n0,0,empty\n1,2,paca\n2,7,agouti\n")
    return folder


def test_iwildcam(tmp_path):
    folder = iwildcam(tmp_path)
    assert opened(folder, "id_test")[:2] == (["c4.png"], ["paca"])
    ids, names, columns = opened(folder, "test")
    assert (ids, names) == (["c2.png", "c5.png"], ["agouti", "agouti"])
    assert columns["location_remapped"] == [2, 5]
    assert list(load_data(f"wilds:{folder}").ids) == ids  # out of the distribution where no split is named
    assert int(load_data(f"wilds:{folder}").read(1)[0, 0, 0]) == 5


@pytest.mark.parametrize("change", [("test,c2.png,2,", "test,c2.png,1,"), (",2,seq2,", ",9,seq2,")])
def test_other_labels_or_columns_are_other_data(tmp_path, change):
    folder = iwildcam(tmp_path)
    before = load_data(f"wilds:{folder}").fingerprint
    assert load_data(f"wilds:{folder}").fingerprint == before
    text = (folder / "metadata.csv").read_text()
    (folder / "metadata.csv").write_text(text.replace(*change))
    assert load_data(f"wilds:{folder}").fingerprint != before


def test_camelyon17_has_hospitals_by_which_patches_are_outside(tmp_path):
    rows = []
    for i, (centre, split) in enumerate([(0, 0), (3, 1), (1, 0), (2, 0), (2, 1)]):
        rows.append(f"{i},{i:03d},4,{10 + i},{20 + i},{i % 2},{30 + i},{centre},{split}")
        photo(
            tmp_path / "patches" / f"patient_{i:03d}_node_4" / f"patch_patient_{i:03d}_node_4_x_{10 + i}_y_{20 + i}.png"
        )
    head = ",patient,node,x_coord,y_coord,tumor,slide,center,split"
    (tmp_path / "metadata.csv").write_text("\n".join([head, *rows]))
    patients = {s: [p[8:11] for p in opened(tmp_path, s)[0]] for s in ("train", "id_val", "val", "test")}
    assert patients == {"train": ["000"], "id_val": ["001"], "val": ["002"], "test": ["003", "004"]}
    _, names, columns = opened(tmp_path, "test")
    assert names == ["tumour", "normal"]
    assert columns["hospital"] == [2, 2]
    assert columns["slide"] == [33, 34]


def test_fmow_is_divided_by_time_and_region(tmp_path):
    rows = [
        ("train", "zoo", "FRA", 2012), ("train", "zoo", "FRA", 2016), ("val", "barn", "KEN", 2010),
        ("val", "barn", "KEN", 2014), ("test", "barn", "FRA", 2012), ("test", "zoo", "KEN", 2017),
        ("seq", "zoo", "KEN", 2017), ("test", "zoo", "XXX", 2016),
    ]  # fmt: skip
    lines = [f"{s},{c},{k},{y}-07-31T09:56:38Z" for s, c, k, y in rows]
    (tmp_path / "rgb_metadata.csv").write_text("\n".join(["split,category,country_code,timestamp", *lines]))
    (tmp_path / "country_code_mapping.csv").write_text("alpha-3,region\nFRA,Europe\nKEN,Africa\n")
    for i in range(len(rows)):
        photo(tmp_path / "images" / f"rgb_img_{i}.png")
    places = {s: [int(p[8:-4]) for p in opened(tmp_path, s)[0]] for s in ("train", "id_val", "val", "id_test", "test")}
    assert places == {"train": [0], "id_val": [2], "val": [3], "id_test": [4], "test": [5, 7]}
    _, names, columns = opened(tmp_path, "test")
    assert names == ["zoo", "zoo"]
    assert columns["region"] == ["Africa", "Other"]
    assert load_data(f"wilds:{tmp_path}").classes == ("barn", "zoo")


def test_other_sets_and_folders_that_are_refused(tmp_path):
    folder = tmp_path / "waterbirds"
    for i in range(3):
        photo(folder / "0.bird" / f"{i}.jpg")
    lines = [f"{i},0.bird/{i}.jpg,{i % 2},{i},{1 - i % 2}" for i in range(3)]
    (folder / "metadata.csv").write_text("\n".join(["img_id,img_filename,y,split,place", *lines]))
    ids, names, columns = opened(folder, "test")
    assert (ids, names, columns["place"]) == (["0.bird/2.jpg"], ["0"], [1])
    with pytest.raises(DataError, match=r"no split 'ood'; known: test, train, val"):
        load_data(f"wilds:{folder}?split=ood")
    (folder / "0.bird" / "1.jpg").unlink()
    assert opened(folder, "train")[0] == ["0.bird/0.jpg"]
    with pytest.raises(DataError, match=r"1 of the split's 1 images are not in .* such as '?0\.bird/1\.jpg"):
        load_data(f"wilds:{folder}?split=val")
    (folder / "metadata.csv").write_text("img_filename,y,split\n0.bird/0.jpg,0,7\n")
    with pytest.raises(DataError, match="not as WILDS publishes it"):
        load_data(f"wilds:{folder}")
    (folder / "metadata.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="the columns of no known set"):
        load_data(f"wilds:{folder}")
    (folder / "metadata.csv").unlink()
    with pytest.raises(DataError, match="neither metadata"):
        load_data(f"wilds:{folder}")
