"""Weights from files: what is read, and the line for every file that is something else."""

import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from unshaken.core.errors import ModelError
from unshaken.models.loaders.weights import check_digest, load_weights, read_weights
from unshaken.models.networks.small import SmallNet


class Payload:
    def __reduce__(self):
        return os.system, ("echo ran > ran.txt",)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_a_checkpoint_gives_its_tensors(tmp_path, wrap, prefix):
    torch.save(wrap({f"{prefix}a": torch.tensor([1.0, 2.0]), f"{prefix}b": torch.ones(1)}), tmp_path / "w.pt")
    found = read_weights(tmp_path / "w.pt")
    assert sorted(found) == ["a", "b"]
    assert found["a"].tolist() == [1.0, 2.0]


def test_content_decides_not_the_name(tmp_path):
    save_file({"a": torch.tensor([4.0])}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth")["a"].item() == 4.0


def whole(tmp_path):
    save_file({"a": torch.zeros(100)}, tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


def legacy_pickle(tmp_path):
    return pickle.dumps({"a": Payload()})


def zip_with_code(tmp_path):
    torch.save({"a": Payload()}, tmp_path / "code")
    return (tmp_path / "code").read_bytes()


def whole_model(tmp_path):
    torch.save(SmallNet(), tmp_path / "model")
    return (tmp_path / "model").read_bytes()


def other_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "zip", "w") as file:
        file.writestr("readme", "hello")
    return (tmp_path / "zip").read_bytes()


def number(tmp_path):
    torch.save({"state_dict": {"a": 3}}, tmp_path / "number")
    return (tmp_path / "number").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda p: b"", "is empty: download it again"),
        (lambda p: b"\n <!DOCTYPE html><html>sign in</html>", "is an HTML page, not weights"),
        (lambda p: b"\xef\xbb\xbf<html lang=en>", "is an HTML page, not weights"),
        (lambda p: b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (lambda p: whole(p)[:-40], "not a complete safetensors file .* truncated or damaged"),
        (lambda p: whole(p)[:30], "not a complete safetensors file .* truncated or damaged"),
        (lambda p: b"just some text", "not a complete safetensors file"),
        (legacy_pickle, "is a pickle that contains .*not loaded"),
        (zip_with_code, r"is a pickle that contains code \((posix|nt)\.system\) and is not loaded"),
        (
            whole_model,
            r"is a pickle that contains code \(unshaken\.models\.networks\.small\.SmallNet\) and is not loaded",
        ),
        (lambda p: zip_with_code(p)[:-100], "cannot be read as weights .* damaged"),
        (other_zip, "cannot be read as weights"),
        (number, "is not a state dict: entry 'a' is a int"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(content(tmp_path))
    with pytest.raises(ModelError, match=message) as caught:
        read_weights(tmp_path / "weights.bin")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran.txt").exists()


def test_absent_and_folder(tmp_path):
    with pytest.raises(ModelError, match=r"no weights file '.*nope'$"):
        read_weights(tmp_path / "nope")
    with pytest.raises(ModelError, match="it is a folder"):
        read_weights(tmp_path)


def test_a_misfit_names_the_first_keys(small):
    weights = small.state_dict()
    del weights["head.bias"]
    weights["tail.bias"] = torch.zeros(2)
    weights["head.weight"] = torch.zeros(5, 7)
    with pytest.raises(ModelError) as caught:
        load_weights(small, weights, "net.pt")
    assert str(caught.value) == (
        "net.pt does not fit SmallNet: 1 keys missing (head.bias); 1 keys unknown (tail.bias); "
        "1 keys of another shape (head.weight (5, 7) for (5, 3136))"
    )


def test_weights_without_the_counters_of_batch_norm_fit(small):
    net = SmallNet(classes=5)
    load_weights(net, {k: v for k, v in small.state_dict().items() if "num_batches" not in k}, "w")
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(net.eval()(x), small(x))


def test_digest(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # SHA-256 of "abc", FIPS 180-2 appendix B.1
    check_digest(tmp_path / "abc", "ba7816bf", "get")
    with pytest.raises(ModelError, match="begins ba7816bf, not deadbeef; delete it and download it again: get"):
        check_digest(tmp_path / "abc", "deadbeef", "get")
