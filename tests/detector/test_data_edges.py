"""Corners of notebook 01's parameters, on a tiny data set and a model that is never loaded."""

import json
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qlab.core.errors import QlabError
from qlab.detector import data, quantize
from qlab.detector.data import Parameters, prepare


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Forty images of 6 x 4 grey levels as the parameters of a run at 8 pixels."""
    monkeypatch.setenv("QLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(quantize, "load", lambda folder: folder)
    monkeypatch.setattr(quantize, "own_size", lambda model: None)
    monkeypatch.setattr(data, "Detector", lambda *_: types.SimpleNamespace(size=8))
    (tmp_path / "img").mkdir()
    entries = []
    for i in range(1, 41):
        Image.fromarray(np.full((4, 6, 3), i, np.uint8)).save(tmp_path / "img" / f"{i}.png")
        entries.append({"id": i, "file_name": f"{i}.png", "width": 6, "height": 4})
    world = {"images": entries[::-1], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "instances_x.json").write_text(json.dumps(world))
    return {
        "model": str(tmp_path / "net" / "saved_model"),
        "annotations": str(tmp_path / "instances_x.json"),
        "images": str(tmp_path / "img"),
        "input_size": 8,
    }


def prepared(**given):
    return prepare(Parameters(profile="smoke", **given))


def test_images_that_calibrate_are_not_evaluated_and_the_limit_holds(own):
    task = prepared(**own, calibration_limit=5, limit=7)
    grey = [int(image[0, 0, 0]) for image in task.calibration]
    assert grey == [1, 2, 3, 4, 5] and list(task.images) == [6, 7, 8, 9, 10, 11, 12]
    assert task.calibration[0].shape == (8, 8, 3)
    assert task.settings()["evaluation_images"] == 7


def test_a_profiles_own_numbers_hold_where_none_is_asked_for(own):
    task = prepared(**own)
    assert (len(task.calibration), len(task.images)) == (10, 24)  # a quarter of forty; EVALUATION


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"limit": -1}, "'limit' must be 0 or more"), ({"threads": 0}, "'threads' must be 1 or more"),
     ({"seed": 10**20}, r"'seed' must be below 2\^31"), ({"split": "test"}, "'split' is one of")],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_before_any_work(wrong, sentence):
    with pytest.raises(QlabError, match=sentence):
        Parameters.of(wrong)


def test_a_ready_file_is_not_calibrated_and_has_no_twin(own):
    task = prepared(**(own | {"model": "net.tflite"}), limit=40)
    assert task.ready and task.calibration == [] and len(task.images) == 40
    assert task.notes == ("The detector is quantized already: it is evaluated as it is.",)
    assert task.subpixel is None and task.model == "net"


def test_a_renamed_copy_of_an_evaluation_image_is_refused(own, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.full((4, 6, 3), 99, np.uint8)).save(other / "a.PNG")
    task = prepared(**own, calibration_images=str(other))
    assert len(task.calibration) == 1 and len(task.images) == 24  # capitals are an extension too
    (other / "b.png").write_bytes((tmp_path / "img" / "9.png").read_bytes())
    with pytest.raises(QlabError, match=r"b\.png is among the evaluation images too"):
        prepared(**own, calibration_images=str(other))


def test_a_model_for_any_size_must_be_told_one(own, monkeypatch):
    with pytest.raises(QlabError, match="takes images of any size; .* 'input_size'"):
        prepared(**(own | {"input_size": 0}))
    monkeypatch.setattr(quantize, "own_size", lambda model: 12)
    task = prepared(**(own | {"input_size": 0}))
    assert task.size == 12 and task.folder == Path(own["model"])
