"""CIFAR-10's folder, whole or in part; a pickle that is anything else is refused unrun."""

import collections
import os
import pickle

import numpy as np
import pytest

from qlab.classifier import cifar10
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
    return tmp_path / cifar10.FOLDER


def test_missing_batches_are_said_and_used_without(folder, caplog):
    put(folder, "data_batch_4")
    batch = put(folder, "data_batch_1")
    for place in (folder, folder.parent):
        found = cifar10.load(place, "train")
        assert found.labels.tolist() == [3, 0, 9, 1] * 2 and found.classes[3] == "cat"
    for y, x, c in ((0, 0, 0), (5, 7, 1), (31, 30, 2)):
        assert (found.images[:4, y, x, c] == batch[b"data"][:, c * 1024 + y * 32 + x]).all()
    assert "lacks data_batch_2, data_batch_3, data_batch_5; used without" in caplog.text
    with pytest.raises(QlabError, match="no test_batch in .* so there are no images to test"):
        cifar10.load(folder, "test")


def test_the_form_of_the_official_files_is_read(folder):
    """Python 2 with numpy 1 wrote them: protocol 2, text as bytes, numpy's old module name."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I1\nI3072\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
        b"I00\nS'" + b"A" * 3072 + b"'\ntb"
    )
    folder.mkdir()
    (folder / "test_batch").write_bytes(b"(dS'data'\n" + array + b"sS'labels'\n(lI7\nas.")
    found = cifar10.load(folder, "test")
    assert found.labels.tolist() == [7] and (found.images == ord("A")).all()


class Payload:
    def __init__(self, call, *arguments):
        self.made = (call, arguments)

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", [os.mkdir, exec, eval, np.fromfile, collections.OrderedDict])
def test_a_pickle_with_a_program_in_it_is_refused_before_it_runs(folder, call, protocol):
    victim = folder.parent / "run"
    code = {os.mkdir: str(victim), np.fromfile: str(victim)}.get(call, f"open({str(victim)!r},'w')")
    arguments = () if call is collections.OrderedDict else (code,)
    put(folder, protocol=protocol, filenames=Payload(call, *arguments))
    with pytest.raises(QlabError, match="nothing in it was run: it asks for"):
        cifar10.load(folder, "train")
    assert not victim.exists()
    if call is os.mkdir:  # the payload itself would run
        pickle.loads((folder / "data_batch_1").read_bytes())
        assert victim.exists()


def test_bad_batches_say_what_is_wrong(folder):
    good = put(folder)
    whole = pickle.dumps(good)
    for content, said in {
        pickle.dumps(good | {b"labels": [3, 0, 10, 1]}): "labels are 0 to 9; found 0 to 10",
        pickle.dumps(good | {b"labels": [3, 0]}): "one int64 label each",
        pickle.dumps(good | {b"labels": None}): "int",
        pickle.dumps({b"fine_labels": []}): "data",  # CIFAR-100
        pickle.dumps(good | {b"data": np.zeros((4, 3000), np.uint8)}): "reshape",
        pickle.dumps(good | {b"data": good[b"data"] / 255}): "uint8",
        pickle.dumps([1, 2]): "list",
        b"": "ran out of input",
        b"hello": "",
        whole[:-500]: "",
    }.items():
        (folder / "data_batch_1").write_bytes(content)
        with pytest.raises(QlabError, match=f"(?i)is no CIFAR-10 batch.*{said}"):
            cifar10.load(folder, "train")
