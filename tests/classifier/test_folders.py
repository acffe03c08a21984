"""Folders become labelled images: CIFAR-10's, whose pickles run nothing, and a folder per class."""

import collections
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from qlab.classifier import folders
from qlab.core.errors import QlabError


def put(folder, name="data_batch_1", protocol=4, **changed):
    rng = np.random.default_rng(len(name))
    data = rng.integers(0, 256, (4, 3072), dtype=np.uint8)
    batch = {b"batch_label": b"testing", b"data": data, b"labels": [3, 0, 9, 1]}
    batch |= {key.encode(): value for key, value in changed.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(batch, protocol))
    return batch


@pytest.fixture
def folder(tmp_path):
    return tmp_path / folders.CIFAR


def test_missing_batches_are_said_and_used_without(folder, caplog):
    put(folder, "data_batch_4")
    batch = put(folder, "data_batch_1")
    for place in (folder, folder.parent):
        found = folders.cifar10(place, "train")
        assert found.labels.tolist() == [3, 0, 9, 1] * 2 and found.classes[3] == "cat"
    for y, x, c in ((0, 0, 0), (5, 7, 1), (31, 30, 2)):
        assert (found.images[:4, y, x, c] == batch[b"data"][:, c * 1024 + y * 32 + x]).all()
    assert "lacks data_batch_2, data_batch_3, data_batch_5; used without" in caplog.text
    with pytest.raises(QlabError, match="no test_batch in .* so there are no images to test"):
        folders.cifar10(folder, "test")


def test_the_form_of_the_official_files_is_read(folder):
    """Python 2 with numpy 1 wrote them: protocol 2, text as bytes, numpy's old module name."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I1\nI3072\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
        b"I00\nS'" + b"A" * 3072 + b"'\ntb"
    )
    folder.mkdir()
    (folder / "test_batch").write_bytes(b"(dS'data'\n" + array + b"sS'labels'\n(lI7\nas.")
    found = folders.cifar10(folder, "test")
    assert found.labels.tolist() == [7] and (found.images == ord("A")).all()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", [os.mkdir, exec, np.fromfile, collections.OrderedDict])
def test_a_pickle_with_a_program_in_it_is_refused_before_it_runs(folder, call, protocol):
    class Payload:
        def __reduce__(self):
            code = f"open({str(victim)!r}, 'w')" if call is exec else str(victim)
            return call, () if call is collections.OrderedDict else (code,)

    victim = folder.parent / "run"
    put(folder, protocol=protocol, filenames=Payload())
    with pytest.raises(QlabError, match="nothing in it was run: it asks for"):
        folders.cifar10(folder, "train")
    assert not victim.exists()
    if call is os.mkdir:  # the payload itself would run
        pickle.loads((folder / "data_batch_1").read_bytes())
        assert victim.exists()


def test_bad_batches_say_what_is_wrong(folder):
    good = put(folder)
    for content, said in {
        pickle.dumps(good | {b"labels": [3, 0, 10, 1]}): "labels are 0 to 9; found 0 to 10",
        pickle.dumps(good | {b"labels": [3, 0]}): "one int64 label each",
        pickle.dumps({b"fine_labels": []}): "data",  # CIFAR-100
        pickle.dumps(good | {b"data": np.zeros((4, 3000), np.uint8)}): "reshape",
        pickle.dumps(good | {b"data": good[b"data"] / 255}): "uint8",
        b"": "ran out of input",
        b"hello": "",
        pickle.dumps(good)[:-500]: "",
    }.items():
        (folder / "data_batch_1").write_bytes(content)
        with pytest.raises(QlabError, match=f"(?i)is no CIFAR-10 batch.*{said}"):
            folders.cifar10(folder, "train")


@pytest.fixture
def world(tmp_path):
    images = {"n02/b.png": (0, 0, 200), "n02/a.JPEG": (0, 0, 100), "n01/z.png": (90, 0, 0)}
    for name, colour in images.items():
        (tmp_path / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 20) if "z" in name else (12, 8), colour).save(tmp_path / "w" / name)
    (tmp_path / "w" / "n02" / "notes.txt").write_text("no image")
    (tmp_path / "w" / "n02" / ".c.png").write_text("hidden")
    (tmp_path / "w" / ".cache").mkdir()
    return tmp_path / "w"


def test_labels_follow_sorted_names_and_classes_take_turns(world):
    found = folders.classes(world, (4, 4))
    assert found.classes == ("n01", "n02") and found.labels.tolist() == [0, 1, 1]
    assert found.images.shape == (3, 4, 4, 3)
    assert abs(found.images[:, 0, 0].astype(int) - [[90, 0, 0], [0, 0, 100], [0, 0, 200]]).max() < 4
    others = folders.classes(world, (4, 4), known=["n00", "n02", "n01"])
    assert others.labels.tolist() == [1, 2, 1]  # those of the model
    (world / "n02" / "b.png").write_bytes(b"never read")
    assert len(folders.classes(world, (4, 4), limit=2)) == 2


def test_the_centre_is_what_is_kept(tmp_path):
    """Of the shorter side 7/8, 56 of 64 pixels."""
    pixels = np.zeros((64, 160, 3), np.uint8)
    pixels[4:60, 52:108] = 200
    for name, image in (("wide", pixels), ("tall", pixels.transpose(1, 0, 2))):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "x.png")
    found = folders.classes(tmp_path, (56, 56), limit=2)
    assert (found.images == 200).all() and found.classes == ("tall", "wide")
    middle = folders.classes(tmp_path, (28, 70)).images[1]  # the middle of a wide part of it
    assert middle.shape == (28, 70, 3) and middle[14, 35, 0] == 200 and not middle[:, 0].any()


def test_bad_folders_say_what_is_wrong(world):
    picture = world / "n01" / "z.png"
    for folder, known, act, said in [
        (world / "n01", (), None, "a folder per class with its images; it has none"),
        (world, ["n02"], None, "has a folder 'n01', which is not among the 1 classes of training"),
        (world, (), lambda: picture.write_bytes(b"\x89PNG"), r"z\.png is truncated or no image"),
        (world, (), picture.unlink, "class folder 'n01' in .* has no images"),
    ]:
        _ = act and act()
        with pytest.raises(QlabError, match=said):
            folders.classes(folder, (4, 4), known)
