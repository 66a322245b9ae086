"""Whatever a program holds its images in, for `as_dataset`."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Subset, SubsetRandomSampler, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from unshaken.core.errors import DataError
from unshaken.data import BadSample, as_dataset, load_data, stream
from unshaken.data.streaming import first_batch


@pytest.fixture
def pixels(make):
    return np.stack([make.noise(6, 5, seed=i) for i in range(4)])


LABELS = [1, 0, 1, 0]


@pytest.fixture
def tensors(pixels):
    return TensorDataset(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, torch.tensor(LABELS))


@pytest.fixture
def folder(tmp_path, pixels):
    for i, label in enumerate(LABELS):
        (tmp_path / f"photos/c{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[i]).save(tmp_path / f"photos/c{label}/{i}.png")
    return tmp_path / "photos"


class Own(torch.utils.data.Dataset):
    """A data set of one's own, which keeps no list of its targets."""

    def __init__(self, pixels, form):
        self.pixels, self.form = pixels, form

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, index):
        return self.form(self.pixels[index]), LABELS[index]


FORMS = {
    "pair": lambda p, t: (p, LABELS),
    "tensors": lambda p, t: t,
    "loader": lambda p, t: DataLoader(t, batch_size=3),
    "shuffling loader": lambda p, t: DataLoader(t, shuffle=True, drop_last=True),
    "list": lambda p, t: [(Image.fromarray(x), y) for x, y in zip(p, LABELS, strict=True)],
    "subset": lambda p, t: Subset(ConcatDataset([t, t]), [0, 1, 2, 3]),
    "own, of images": lambda p, t: Own(p, Image.fromarray),
    "own, of arrays": lambda p, t: Own(p, lambda x: x),
    "own, of tensors": lambda p, t: Own(p, transforms.ToTensor()),
    "mappings": lambda p, t: [{"image": x, "label": y} for x, y in zip(p, LABELS, strict=True)],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_samples(pixels, tensors, form):
    data = as_dataset(FORMS[form](pixels, tensors))
    assert data.labels.tolist() == LABELS
    assert data.ids == ("0", "1", "2", "3")
    assert all((data.read(i) == pixels[i]).all() for i in range(4))
    (batch,) = stream(data)
    assert torch.equal(batch.images, torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255))
    assert as_dataset(FORMS[form](pixels, tensors)).fingerprint == data.fingerprint


def test_an_image_folder_keeps_its_classes_and_its_files_names(folder, pixels):
    data = as_dataset(ImageFolder(str(folder)))
    assert data.ids == ("c0/1.png", "c0/3.png", "c1/0.png", "c1/2.png")
    assert (data.labels.tolist(), data.classes) == ([0, 0, 1, 1], ("c0", "c1"))
    assert (data.read(2) == pixels[0]).all()
    half = as_dataset(DataLoader(Subset(ImageFolder(str(folder), transforms.ToTensor()), [3, 0]), shuffle=True))
    assert (half.ids, half.labels.tolist(), half.classes) == (("c1/2.png", "c0/1.png"), [1, 0], ("c0", "c1"))
    assert (half.read(0) == pixels[2]).all()


def test_a_file_that_cannot_be_read_is_one_bad_sample(folder, pixels):
    (folder / "c0/1.png").write_bytes(b"no image")
    data = as_dataset(ImageFolder(str(folder)))
    with pytest.raises(BadSample, match=r"c0/1\.png: ImageFolder cannot load it"):
        data.read(0)
    assert (data.read(1) == pixels[3]).all()


def test_photos_of_several_sizes_are_brought_to_one():
    photos = [(Image.new("RGB", (side, 20)), 0) for side in (16, 24)]
    assert [as_dataset(photos, size=8, mode="L").read(i).shape for i in (0, 1)] == [(8, 8, 1)] * 2
    arrays = as_dataset((np.zeros((2, 20, 16, 3), np.uint8), [0, 1]), size=8)
    assert next(iter(stream(arrays))).images.shape == (2, 3, 8, 8)


def test_a_hugging_face_set_is_read(pixels):
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    images = [Image.fromarray(p) for p in pixels]
    rows = datasets.Dataset.from_dict({"image": images, "label": LABELS}, features=features)
    data = as_dataset(rows)
    assert (data.labels.tolist(), data.classes) == (LABELS, ("a", "b"))
    assert (data.read(3) == pixels[3]).all()
    with pytest.raises(DataError, match=r"has the splits train: give one, such as data\['train'\]"):
        as_dataset(datasets.DatasetDict(train=rows))
    with pytest.raises(DataError, match="load it without streaming=True"):
        as_dataset(rows.to_iterable_dataset())
    with pytest.raises(DataError, match=r"with a transform: call reset_format\(\)"):
        as_dataset(rows.with_transform(lambda x: x))


def test_the_first_readable_images_are_found_behind_many_that_are_not(folder):
    for i in range(100):
        (folder / f"c0/0-{i:03d}.heic").write_bytes(b"")
    data = load_data(f"folder:{folder}")
    assert first_batch(data, view=None).ids == ("c0/1.png", "c0/3.png")
    for i in range(4):
        next(folder.rglob(f"{i}.png")).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"can be read \(4 tried\); c0/0-000\.heic: HEIC images are"):
        first_batch(load_data(f"folder:{folder}"), view=None)


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


NORMAL = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.25)])


@pytest.mark.parametrize(
    ("make_data", "message"),
    [
        (lambda p, t: DataLoader(Endless()), "IterableDataset has no order of its own"),
        (lambda p, t: Endless(), "Endless has no length or no order of its own: give a SPEC"),
        (lambda p, t: iter(t), "generator|iterator has no length"),
        (lambda p, t: 7, "data of type int has no length"),
        (lambda p, t: None, "data of type NoneType has no length"),
        (lambda p, t: [], "holds no samples"),
        (lambda p, t: DataLoader(t, sampler=SubsetRandomSampler([1])), "draws samples by a SubsetRandomSampler"),
        (lambda p, t: DataLoader(t, batch_sampler=[[0, 1]]), "draws samples by a list"),
        (lambda p, t: TensorDataset(*t.tensors, t.tensors[1]), "a TensorDataset of 3 tensors"),
        (lambda p, t: Own(p, NORMAL), r"sample 0: images have values from .* undo the normalisation"),
        (lambda p, t: Own(p, str), "sample 0: a str is no image"),
        (lambda p, t: Own(p, lambda x: x[:, :, :2]), r"sample 0: shape \(6, 5, 2\) is no image"),
        (lambda p, t: [(x, [0.5, 0.5]) for x in p], r"label of its first sample is a list \[0.5, 0.5\]: give"),
        (lambda p, t: Own(Image.fromarray(p[0]).size and p, transforms.Compose(
            [Image.fromarray, transforms.RandomCrop(4)])), "gives other pixels of sample 0 each time"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_says_why_in_one_line(pixels, tensors, make_data, message):
    torch.manual_seed(0)
    with pytest.raises(DataError, match=message) as error:
        as_dataset(make_data(pixels, tensors))
    assert "\n" not in str(error.value)


def test_a_path_and_options_of_a_spec_are_told_apart(tmp_path):
    with pytest.raises(DataError, match=r"is a path; say what it is: 'folder:"):
        as_dataset(tmp_path)
    with pytest.raises(DataError, match="in a SPEC write them"):
        as_dataset("demo", size=8)
