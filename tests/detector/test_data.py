"""The parameters of notebook 01 become a checked task, or one sentence."""

import json
import types
from pathlib import Path

import numpy as np
import pytest
import tiny_tfjs
from conftest import ROOT
from PIL import Image
from tiny_coco import written_world

from qlab.core import fetch
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.core.images import AsStored
from qlab.detector import centernet, data, mini_coco, quantize
from qlab.detector.data import Parameters, prepare
from qlab.detector.detect import Size


@pytest.fixture(autouse=True)
def home(shared_home, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(shared_home))


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Forty images of 6 x 4 grey levels, and a model that is never loaded, to run at 8 pixels."""
    monkeypatch.setattr(quantize, "load", lambda folder: folder)
    monkeypatch.setattr(quantize, "own_size", lambda model: (None, None))
    monkeypatch.setattr(data, "Detector", lambda *_: types.SimpleNamespace(size=Size(8, 8)))
    world = written_world(tmp_path, 40, (6, 4))
    return {"model": str(tmp_path / "net" / "saved_model"), "input_size": 8, **world}


def prepared(profile="smoke", **given):
    return prepare(Parameters(profile=profile, **given))


def test_images_that_calibrate_are_not_evaluated_and_the_limit_holds(own):
    task = prepared(**own, calibration_limit=5, limit=7)
    grey = [int(image[0, 0, 0]) for image in task.calibration]
    assert grey == [1, 2, 3, 4, 5] and list(task.images) == [6, 7, 8, 9, 10, 11, 12]
    assert task.calibration[0].shape == (8, 8, 3) and task.model == "net"
    assert task.settings()["evaluation_images"] == 7
    assert "the first 5 images calibrate, the other 35 may evaluate" in task.notes[0]
    usual = prepared(**own)
    assert (len(usual.calibration), len(usual.images)) == (10, 24)  # a quarter of 40; EVALUATION


def test_a_ready_file_is_not_calibrated_and_has_no_twin(own):
    task = prepared(**(own | {"model": "net.tflite"}), limit=40)
    assert task.ready and task.calibration == [] and len(task.images) == 40
    assert task.subpixel is None and task.model == "net"


def test_a_renamed_copy_of_an_evaluation_image_calibrates_and_judges_not(own, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.full((4, 6, 3), 99, np.uint8)).save(other / "a.PNG")
    task = prepared(**own, calibration_images=str(other))
    assert len(task.calibration) == 1 and len(task.images) == 24  # capitals are an extension too
    (other / "b.png").write_bytes((tmp_path / "img" / "9.png").read_bytes())
    task = prepared(**own, calibration_images=str(other))
    assert len(task.calibration) == 2 and 9 not in task.images and len(task.images) == 23
    assert task.notes[-1] == "Left out as photos that calibrate: 1 of 24, such as b.png."


def test_one_photo_twice_judges_once_and_never_calibrates_too(own, tmp_path):
    images = tmp_path / "img"
    (images / "8.png").write_bytes((images / "7.png").read_bytes())
    task = prepared(**own, calibration_limit=5, limit=7)
    assert list(task.images) == [6, 7, 9, 10, 11, 12] == [int(p.stem) for p in task.images.values()]
    assert task.notes[1] == "Left out as copies of other photos: 1 of 7, such as 8.png of 7.png."
    task = prepared(**own, calibration_limit=7, limit=7)
    assert list(task.images) == [9, 10, 11, 12, 13, 14] and len(task.calibration) == 7
    assert task.notes[1] == "Left out as photos that calibrate: 1 of 7, such as 7.png."
    (images / "40.png").write_bytes((images / "7.png").read_bytes())
    with pytest.raises(QlabError, match="The 0 images left to evaluate"):
        prepared(**own, calibration_limit=39)


@pytest.mark.parametrize("iscrowd", [0, 1])
def test_images_without_any_object_judge_nothing(own, iscrowd):
    file = Path(own["annotations"])
    world = json.loads(file.read_text())
    world["annotations"] = [world["annotations"][39] | {"iscrowd": iscrowd}]
    file.write_text(json.dumps(world))
    with pytest.raises(QlabError, match=r"The 24 images left .* no object .* 'limit', or give"):
        prepared(**own)
    if iscrowd:
        with pytest.raises(QlabError, match="The 30 images left"):
            prepared(**own, limit=40)
    else:
        assert len(prepared(**own, limit=40).images) == 30


def test_photos_are_turned_by_exif_where_the_annotations_are(own, tmp_path):
    """The first calibrates; the annotations give the second's size as stored."""
    exif = Image.Exif()
    exif[0x0112] = 3  # half a turn, of which sizes tell nothing
    left = np.zeros((4, 6, 3), np.uint8)
    left[:, :3] = 255
    Image.fromarray(left).save(tmp_path / "img" / "1.png", exif=exif)
    exif[0x0112] = 6
    Image.fromarray(left).save(tmp_path / "img" / "2.png", exif=exif)
    task = prepared(**own, calibration_limit=1, limit=7)
    assert (task.calibration[0][:, -1] == 255).all() and (task.calibration[0][:, 0] == 0).all()
    assert [i for i, p in task.images.items() if isinstance(p, AsStored)] == [2]
    Image.fromarray(left.swapaxes(0, 1)).save(tmp_path / "img" / "5.png")
    with pytest.raises(QlabError, match=r"that 5\.png has 6 x 4 pixels, but .* has 4 x 6: boxes"):
        prepared(**own, calibration_limit=1, limit=7)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"annotations": ""}, "'annotations' and 'images' come together"),
        ({"images": "/no/such/images"}, "/no/such/images lacks 10 of the 10 annotated images"),
        ({"calibration_limit": 40}, "The 0 images left to evaluate"),
        ({"input_size": 0}, "of any x any pixels .* 'input_size' asks for none: give"),
        ({"model": "a.tflite", "input_size": 64}, "of 8 x 8 pixels .* asks for 64"),
    ],
)
def test_bad_parameters_are_sentences(own, changes, sentence):
    with pytest.raises(QlabError, match=sentence):
        prepared(**(own | changes))


def test_full_profile_takes_kaggles_cached_model_and_coco_from_the_data_folder(
    tmp_path, monkeypatch
):
    """The downloaded model's place in kagglehub's cache, and COCO's layout under QLAB_DATA."""
    cached = tmp_path / "cache" / "models" / fetch.CENTERNET_HANDLE
    cached.parent.mkdir(parents=True)
    cached.symlink_to(centernet.saved_model())
    cached.with_name("1.complete").touch()
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data" / "coco"
    written = mini_coco.write_coco(folder, "val", 8)
    written.rename(written.with_name("instances_val2017.json"))
    (folder / "val").rename(folder / "val2017")
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "data"))
    task = prepared(profile="full", input_size=256)
    assert (task.model, task.dataset) == ("centernet_r50v2_512", "coco_val2017")
    assert (len(task.calibration), len(task.images)) == (2, 6)
    with pytest.raises(QlabError, match="COCO train2017 is not downloaded by qlab"):
        prepared(profile="full", split="train", input_size=256)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A QLAB_DATA with a TensorFlow.js file of 8 pixels, and val2017 of eight drawn images."""
    model = tmp_path / "data" / "detector" / "centernet_mobilenetv3_512_coco17" / "tfjs"
    model.mkdir(parents=True)
    tiny_tfjs.write(model, sides=(8, 8))
    monkeypatch.setattr(data, "FULL_SIZE", 8)
    coco = tmp_path / "data" / "coco"
    written = mini_coco.write_coco(coco, "val", 8)
    written.rename(written.with_name("instances_val2017.json"))
    (coco / "val").rename(coco / "val2017")
    (coco / "train2017").mkdir()
    monkeypatch.setenv("QLAB_DATA", str(tmp_path / "data"))
    return coco / "train2017"


def test_small_calibrates_on_the_listed_photos_from_the_folder_or_the_network(small, monkeypatch):
    """The first is in the folder; of the others each is asked for by its hash."""
    rows = (ROOT / "data" / "coco_calibration.csv").read_text().split()[1:]
    first, _, known = rows[0].partition(",")
    Image.new("RGB", (9, 9), (200, 0, 0)).save(small / f"{int(first):012}.jpg")
    asked = {}

    def fetched(url, known_hash):
        asked[url] = known_hash
        Image.new("RGB", (9, 9)).save(small.parent / "other.png")
        return small.parent / "other.png"

    monkeypatch.setattr(fetch, "fetch", fetched)
    task = prepared("small")
    assert (task.model, task.dataset) == ("centernet_mobilenetv3_512", "coco_val2017")
    assert (task.place, task.size) == ("small", Size(8, 8))
    assert (len(rows), len(asked), len(task.calibration), len(task.images)) == (60, 59, 60, 8)
    assert task.calibration[0].max() > 190 and task.calibration[1].max() == 0
    number, _, known = rows[59].partition(",")
    assert asked[f"{fetch.COCO_TRAIN_IMAGES}{int(number):012}.jpg"] == f"sha256:{known}"
    assert "list 8 of the 5,000 of val2017" in task.notes[0]


def test_small_judges_no_photo_that_calibrates(small, monkeypatch):
    photo = sorted((small.parent / "val2017").iterdir())[3]
    monkeypatch.setattr(fetch, "fetch", lambda url, known_hash: photo)
    task = prepared("small", calibration_limit=2)
    assert len(task.images) == 7 and photo not in task.images.values()
    assert f"photos that calibrate: 1 of 8, such as {photo.name}" in task.notes[-1]


def test_train2017_calibrates_with_its_first_photos_and_judges_with_the_next(small, monkeypatch):
    written = small.parent / "annotations" / "instances_val2017.json"
    written.rename(written.with_name("instances_train2017.json"))
    small.rmdir()
    (small.parent / "val2017").rename(small)
    monkeypatch.setitem(data.PUBLISHED, "full", data.PUBLISHED["small"])
    task = prepared("full", split="train", calibration_limit=3, limit=4)
    names = sorted(p.name for p in small.iterdir())
    assert [p.name for p in task.images.values()] == names[3:7] and len(task.calibration) == 3
    assert "photos that calibrate: 3 of 7" in task.notes[-1]


@pytest.mark.real_data
def test_small_judges_every_real_photo_and_calibrates_on_sixty_others(real_data):
    task = prepared("small")
    listed = (ROOT / "data" / "coco_calibration.csv").read_text().split()[1:]
    there = (real_data / "coco" / "train2017").iterdir()
    known = {f"{int(p.stem)},{file_sha256(p)}" for p in there}
    assert set(listed) <= known and len(task.calibration) == len(set(listed)) == 60
    assert not {file_sha256(p) for p in task.images.values()} & {row[-64:] for row in listed}
    assert sorted(task.images) == sorted(task.coco.imgs) and task.size == Size(512, 512)


def test_any_tensorflow_js_model_is_named_as_its_folder(own, small, tmp_path):
    file = small.parents[1] / "detector" / "centernet_mobilenetv3_512_coco17" / "tfjs"
    other = tmp_path / "other.v2"
    other.mkdir()
    for given in (file, file / "model.json", tiny_tfjs.write(other)[0]):
        task = prepared(**(own | {"model": str(given)}))
        assert task.model == ("other" if given.parent == other else file.parent.name)
        assert (task.folder / "saved_model.pb").is_file()


def test_without_a_network_the_full_profile_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "empty"))

    def offline(handle):
        raise ConnectionError("no route")

    monkeypatch.setattr("kagglehub.model_download", offline)
    with pytest.raises(QlabError, match="Kaggle Models did not give .* parameter 'model'"):
        prepared(profile="full")
