"""SPECs that are understood, and those that are refused with the reason."""

import pytest

from unshaken.core.errors import DataError
from unshaken.data.spec import Options, divide, existing, options_of

KNOWN = ("split", "size", "mode")


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("demo", ("demo", "", {})),
        ("folder:a/b c?size=32", ("folder", "a/b c", {"size": "32"})),
        ("wds:x-{000..003}.tar", ("wds", "x-{000..003}.tar", {})),
        ("folder:C:\\x?split=a=b&mode=L", ("folder", "C:\\x", {"split": "a=b", "mode": "L"})),
    ],
)
def test_a_spec_is_divided(spec, parts):
    assert divide(spec) == parts


def test_options_have_their_types():
    options = options_of("x", {"split": "val", "size": "224", "mode": "L"}, KNOWN, download=True)
    assert options == Options("x", split="val", size=224, mode="L", download=True)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"sise": "3"}, "has no option 'sise'; did you mean 'size'?"),
        ({"": "3"}, "has no option ''"),
        ({"size": "0"}, "size=0 must be a whole number of pixels from 1 to 8192"),
        ({"size": "8193"}, "size=8193 must be"),
        ({"size": "-4"}, "size=-4 must be"),
        ({"size": "2e2"}, "size=2e2 must be"),
        ({"size": "٣"}, "size=٣ must be"),
        ({"mode": "rgb"}, "mode=rgb must be RGB or L"),
    ],
)
def test_a_wrong_option_is_named(raw, message):
    with pytest.raises(DataError, match="data 'x'") as error:
        options_of("x", raw, KNOWN, download=False)
    assert message in str(error.value)


@pytest.mark.parametrize("spec", ["folder:x?size", "folder:x?size=", "folder:x?size=1&size=2"])
def test_a_malformed_option_is_refused(spec):
    with pytest.raises(DataError, match="option"):
        divide(spec)


def test_a_path_must_exist_and_be_of_its_type(tmp_path):
    (tmp_path / "file").touch()
    assert existing(str(tmp_path), "s", folder=True) == tmp_path.resolve()
    for target, folder, message in [
        (str(tmp_path / "none"), True, "No such file or directory"),
        (str(tmp_path / "file"), True, "is not a folder"),
        (str(tmp_path), False, "is not a file"),
        ("", True, "names no folder"),
        ("a\0b", False, "cannot be opened"),
    ]:
        with pytest.raises(DataError, match=message):
            existing(target, "s", folder=folder)
