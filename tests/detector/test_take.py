"""A detector taken along runs where qlab is not, and answers what it answers here."""

import json
import shutil

import numpy as np
import pytest
import shown
from PIL import Image

from qlab.core import paths, records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.detector.detect import Detector
from qlab.files.take import along, card

pytestmark = pytest.mark.usefixtures("empty_home")
ALSO = 'print(json.dumps([v.tolist() for v in (boxes, kinds, found["detection_scores"][0])]))'


def taken(task, file, source=None):
    """The folder that the notebook's cell fills with a variant."""
    about = {"experiment": "e", "model": "m", "dataset": "d", "unit": "1", "metric": "ap"}
    names = dict(json=json, shutil=shutil, paths=paths, records=records, along=along, card=card)
    names |= {"files": {(v := "int8_selective"): file}, "few": {}, "source": source or {}}
    names |= {"recipes": {v: [{"regex": ".*"}]}, "numbers": [Record(**about, variant=v, value=0.5)]}
    return shown.run("01_", "def write(folder)", task=task, parent="fp32", **names).mine


def test_a_folder_holds_the_file_and_all_that_is_to_know_of_it(task, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token := "hf_" + 30 * "x")
    file = tmp_path / "a.tflite"
    for content in (b"old", b"new"):  # written anew
        file.write_bytes(content)
        folder = taken(task[0], file, {"commit": "c", "parameters": {"model": token}})
    names = ["card.json", "labels.txt", "model.tflite", "recipe.json"]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert (folder / "model.tflite").read_bytes() == b"new"
    assert (folder / "labels.txt").read_text() == "1 1\n2 2\n3 3\n"
    told, card = (json.loads((folder / f"{n}.json").read_text()) for n in ("recipe", "card"))
    assert told["variant"] == "int8_selective" and told["recipe"]["rules"] == [{"regex": ".*"}]
    assert [(r["variant"], r["value"]) for r in card["records"]] == [("int8_selective", 0.5)]
    assert card["provenance"]["commit"] == "c" and token not in (folder / "card.json").read_text()
    (folder / "thesis.txt").touch()  # somebody's
    with pytest.raises(QlabError, match=r"selective holds something else .* Name a folder"):
        taken(task[0], file)


def test_the_lines_that_the_notebook_shows_find_the_same_boxes_without_qlab(task, tiny, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(np.rot90(noise)).save(tmp_path / "photo.png", exif=exif)
    folder = taken(task[0], tiny.float_file)
    without = ("qlab", "tensorflow", "torch")
    *said, last = shown.alone("01_", [folder], ALSO, str(tmp_path / "photo.png"), without)
    boxes, kinds, scores = map(np.array, json.loads(last))
    expected, classes, sure = Detector(folder / "model.tflite", 2)(noise)
    np.testing.assert_allclose(boxes, expected * [40, 56, 40, 56], atol=1e-3)
    assert kinds.tolist() == classes.tolist()
    np.testing.assert_allclose(scores, sure, atol=1e-6)
    assert len(said) == (sure >= 0.3).sum() > 0
    assert said[0].startswith(f"{classes[0]} {sure[0]:.2f} at")
