"""A detector taken along runs where qlab is not, and answers what it answers here."""

import json

import numpy as np
import pytest
import shown
from PIL import Image

from qlab.core import records
from qlab.core.errors import QlabError
from qlab.core.records import Record
from qlab.detector import take
from qlab.detector.detect import Detector

ALSO = 'print(json.dumps([v.tolist() for v in (boxes, kinds, found["detection_scores"][0])]))'
ABOUT = {"experiment": "e", "model": "m", "dataset": "d", "unit": "1", "metric": "ap"}
ROWS = records.as_table([Record(**ABOUT, variant="fp16", value=0.5)])


def test_a_folder_holds_the_file_and_all_that_is_to_know_of_it(task, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token := "hf_" + 30 * "x")
    file, folder = tmp_path / "a.tflite", tmp_path / "mine" / "x"
    source = {"commit": "c", "parameters": {"model": token}}
    for content, recipe in ((b"old", None), (b"new", [{"regex": ".*"}])):  # written anew
        file.write_bytes(content)
        assert take.keep(folder, task[0], file, recipe, ROWS, source) == folder
    names = ["card.json", "labels.txt", "model.tflite", "recipe.json"]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert (folder / "model.tflite").read_bytes() == b"new"
    assert (folder / "labels.txt").read_text() == "1 1\n2 2\n3 3\n"
    recipe, card = (json.loads((folder / f"{n}.json").read_text()) for n in ("recipe", "card"))
    assert recipe == {"variant": "fp16", "recipe": [{"regex": ".*"}]}
    assert [(r["variant"], r["value"]) for r in card["records"]] == [("fp16", 0.5)]
    assert card["provenance"]["commit"] == "c" and token not in (folder / "card.json").read_text()
    (folder / "thesis.txt").touch()  # somebody's
    with pytest.raises(QlabError, match=r"x holds something else .* Name a folder"):
        take.keep(folder, task[0], file, None, ROWS, {})


def test_the_lines_that_the_notebook_shows_find_the_same_boxes_without_qlab(task, tiny, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(np.rot90(noise)).save(tmp_path / "photo.png", exif=exif)
    folder = take.keep(tmp_path / "mine", task[0], tiny.float_file, None, ROWS, {})
    without = ("qlab", "tensorflow", "torch")
    *said, last = shown.alone("01_", [folder], ALSO, str(tmp_path / "photo.png"), without)
    boxes, kinds, scores = map(np.array, json.loads(last))
    expected, classes, sure = Detector(folder / "model.tflite", 2)(noise)
    np.testing.assert_allclose(boxes, expected * [40, 56, 40, 56], atol=1e-3)
    assert kinds.tolist() == classes.tolist()
    np.testing.assert_allclose(scores, sure, atol=1e-6)
    assert len(said) == (sure >= 0.3).sum() > 0
    assert said[0].startswith(f"{classes[0]} {sure[0]:.2f} at")
