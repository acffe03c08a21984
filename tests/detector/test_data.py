"""The parameters of notebook 01 become a checked task, or one sentence."""

import pytest
from conftest import fresh_home

from qlab.core import fetch
from qlab.core.errors import QlabError
from qlab.detector import embedded, mini_coco
from qlab.detector.data import Parameters, prepare


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """One home for the module: exporting the embedded model takes seconds."""
    return fresh_home(tmp_path_factory.mktemp("task") / "home")


@pytest.fixture(autouse=True)
def home(shared_home, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(shared_home))


@pytest.fixture
def own(tmp_path):
    """Images of one's own: 8 of mini_coco as (annotations, images) paths."""
    folder = tmp_path / "own"
    annotations = mini_coco.write_coco(folder, "val", 8)
    return {"annotations": str(annotations), "images": str(folder / "val")}


def prepared(profile="smoke", **given):
    return prepare(Parameters(profile=profile, **given))


def test_own_images_are_split_between_calibration_and_evaluation(own):
    task = prepared(**own)
    assert (len(task.calibration), len(task.images)) == (2, 6)
    assert "the first 2 images calibrate, the other 6 may evaluate" in task.notes[0]
    asked = prepared(**own, calibration_limit=5)
    assert (len(asked.calibration), len(asked.images)) == (5, 3)


def test_calibrating_on_evaluation_images_is_refused(own):
    with pytest.raises(QlabError, match="is among the evaluation images too"):
        prepared(**own, calibration_images=own["images"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"annotations": ""}, "'annotations' and 'images' come together"),
        ({"model": "/no/such/model"}, "There is no model folder at"),
        ({"images": "/no/such/images"}, "There is no folder with images at"),
        ({"calibration_images": "/no/such"}, "There is no folder with calibration images"),
        ({"calibration_limit": 8}, "No image is left to evaluate"),
        ({"model": "/no/such/model", "input_size": 64}, "There is no model folder at"),
        ({"input_size": 64}, "is fixed to 256 pixels; the parameter 'input_size' asks for 64"),
    ],
)
def test_bad_parameters_are_sentences(own, changes, sentence):
    with pytest.raises(QlabError, match=sentence):
        prepared(**(own | changes))


def test_a_missing_image_is_named_before_work_starts(own, tmp_path):
    (tmp_path / "own" / "val" / "000003.png").unlink()
    with pytest.raises(QlabError, match=r"lacks 1 of the \d annotated images, first 000003\.png"):
        prepared(**own)


def test_only_the_profile_as_it_stands_writes_where_the_committed_records_are(own):
    assert prepared().place == "smoke"
    others = [own, {"limit": 8}, {"limit": 9}, {"calibration_limit": 4}, {"split": "train"}]
    others += [{"threads": 1}, {"seed": 5}]
    places = [prepared(**o).place for o in others]
    assert all(p.startswith("smoke-centernet_mini-") for p in places)
    assert len(set(places)) == len(others)


def test_full_profile_takes_kaggles_cached_model_and_coco_from_the_data_folder(
    tmp_path, monkeypatch
):
    """The downloaded model's place in kagglehub's cache, and COCO's layout under QLAB_DATA."""
    cached = tmp_path / "cache" / "models" / fetch.CENTERNET_HANDLE
    cached.parent.mkdir(parents=True)
    cached.symlink_to(embedded.centernet_saved_model())
    cached.with_name("1.complete").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data" / "coco"
    written = mini_coco.write_coco(data, "val", 8)
    written.rename(written.with_name("instances_val2017.json"))
    (data / "val").rename(data / "val2017")
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "data"))
    task = prepared(profile="full", input_size=256)
    assert (task.model, task.dataset) == ("centernet_r50v2_512", "coco_val2017")
    assert (len(task.calibration), len(task.images)) == (2, 6)
    with pytest.raises(QlabError, match="COCO train2017 is not downloaded by qlab"):
        prepared(profile="full", split="train", input_size=256)


def test_without_a_network_the_full_profile_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "empty"))

    def offline(handle):
        raise ConnectionError("no route")

    monkeypatch.setattr("kagglehub.model_download", offline)
    monkeypatch.setattr(fetch.network, "reachable", lambda address: True)
    with pytest.raises(QlabError, match="Kaggle Models did not give .* parameter 'model'"):
        prepared(profile="full")
