"""The parameters of notebook 01 become a checked task, or one sentence."""

import json
import types
from pathlib import Path

import pytest
import tiny_tfjs
from conftest import ROOT
from PIL import Image
from tiny_coco import written_world

from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError
from qlab.detector import data, mini_coco, published, quantize
from qlab.detector.data import Parameters, prepare
from qlab.detector.detect import Size
from qlab.files import fetch
from qlab.images.photos import AsStored


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
    usual = prepared(**own)
    assert (len(usual.calibration), len(usual.images)) == (10, 24)  # a quarter of 40; EVALUATION
    ready = prepared(**(own | {"model": "net.tflite"}), limit=40)
    assert ready.ready and ready.calibration == [] and len(ready.images) == 40


def test_copies_judge_once_and_never_calibrate_too_and_exif_is_read(own, tmp_path):
    images = tmp_path / "img"
    (images / "8.png").write_bytes((images / "7.png").read_bytes())
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn, which the annotations' sizes do not follow
    Image.new("RGB", (6, 4)).save(images / "10.png", exif=exif)
    task = prepared(**own, calibration_limit=5, limit=7)
    assert list(task.images) == [6, 7, 9, 10, 11, 12] == [int(p.stem) for p in task.images.values()]
    assert [i for i, p in task.images.items() if isinstance(p, AsStored)] == [10]
    assert task.notes[1] == "Left out as copies of other photos: 1 of 7, such as 8.png of 7.png."
    task = prepared(**own, calibration_limit=7, limit=7)
    assert list(task.images) == [9, 10, 11, 12, 13, 14] and len(task.calibration) == 7
    assert task.notes[1] == "Left out as photos that calibrate: 1 of 7, such as 7.png."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"annotations": ""}, "'annotations' and 'images' come together"),
        ({"images": "/no/such/images"}, "/no/such/images lacks 10 of the 10 annotated images"),
        ({"calibration_limit": 40}, "The 0 images left to evaluate"),
        ({"calibration_images": "."}, "There is no image to calibrate on: name a folder"),
        ({"input_size": 0}, "of any x any pixels .* 'input_size' asks for none: give"),
        ({"model": "a.tflite", "input_size": 64}, "of 8 x 8 pixels .* asks for 64"),
    ],
)
def test_bad_parameters_are_sentences(own, changes, sentence):
    with pytest.raises(QlabError, match=sentence):
        prepared(**(own | changes))


def test_images_without_any_object_judge_nothing(own):
    file = Path(own["annotations"])
    world = json.loads(file.read_text())
    world["annotations"] = world["annotations"][-1:]  # of the last photo
    file.write_text(json.dumps(world))
    with pytest.raises(QlabError, match=r"The 24 images left .* no object .* 'limit', or give"):
        prepared(**own)
    assert len(prepared(**own, limit=40).images) == 30


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
    return coco


LISTED = (ROOT / "data" / "coco_calibration.csv").read_text().split()[1:]


def test_small_calibrates_on_the_listed_photos_from_the_folder_or_the_network(small, monkeypatch):
    """The first is in the folder; of the others each is asked for by its hash, and the last one
    comes out as a photo that judges."""
    first, last = (f"{int(row.partition(',')[0]):012}.jpg" for row in (LISTED[0], LISTED[59]))
    Image.new("RGB", (9, 9), (200, 0, 0)).save(small / "train2017" / first)
    Image.new("RGB", (9, 9)).save(small / "other.png")
    judging, asked = sorted((small / "val2017").iterdir())[3], {}

    def fetched(url, known_hash):
        asked[url] = known_hash
        return judging if url.endswith(last) else small / "other.png"

    monkeypatch.setattr(fetch, "fetch", fetched)
    task = prepared("small")
    assert (task.model, task.dataset) == ("centernet_mobilenetv3_512", "coco_val2017")
    assert (task.place, task.size) == ("small", Size(8, 8))
    assert (len(LISTED), len(asked), len(task.calibration)) == (60, 59, 60)
    assert task.calibration[0].max() > 190 and task.calibration[1].max() == 0
    assert asked[published.TRAIN_IMAGES + last] == f"sha256:{LISTED[59].partition(',')[2]}"
    assert len(task.images) == 7 and judging not in task.images.values()
    with pytest.raises(QlabError, match="COCO train2017 is not downloaded by qlab"):
        prepared("small", split="train")


@pytest.mark.real_data
def test_small_judges_every_real_photo_and_calibrates_on_sixty_others(real_data):
    task = prepared("small")
    there = (real_data / "coco" / "train2017").iterdir()
    known = {f"{int(p.stem)},{file_sha256(p)}" for p in there}
    assert set(LISTED) <= known and len(task.calibration) == len(set(LISTED)) == 60
    assert not {file_sha256(p) for p in task.images.values()} & {row[-64:] for row in LISTED}
    assert sorted(task.images) == sorted(task.coco.imgs) and task.size == Size(512, 512)
