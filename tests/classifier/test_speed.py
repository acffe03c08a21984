"""Times of fresh processes: what each is told, and what comes of several."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from qlab.classifier import answers, speed
from qlab.classifier.fine_tune import Settings
from qlab.classifier.model import keras
from qlab.classifier.points import FLOAT, Answer, Point
from qlab.core import embedded, records, timing
from qlab.core.tf import tf


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An embedded network, as .h5 and as .tflite."""
    folder = tmp_path_factory.mktemp("made")
    weights = embedded.model_folder("resnet8_shapes32") / "weights.h5"
    (folder / "m.h5").write_bytes(weights.read_bytes())
    model = keras.models.load_model(folder / "m.h5")
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    (folder / "m.tflite").write_bytes(content)
    return folder


@pytest.mark.slow
def test_a_fresh_process_times_steps_of_each_model(made):
    told = {"file": str(made / "m.h5"), "models": [((), 8), (("dense",), 4)], "leave_float": []}
    told |= {"settings": Settings(1, 4, frozen=True), "logits": False, "rounds": 2}
    [seconds] = timing.in_processes(speed.__name__, told, 1)
    assert np.shape(seconds) == (2, 2) and np.min(seconds) > 0


def test_a_file_of_more_work_takes_longer_in_the_same_rounds(made, monkeypatch):
    def slow(content, threads, batch):
        run = runner(content, threads, batch)
        return lambda image: (run(image), time.sleep(0.02 if content[-1] else 0.001))

    runner, content = answers.runner, (made / "m.tflite").read_bytes()
    monkeypatch.setattr(answers, "runner", slow)
    for end in range(2):
        (made / f"{end}.tflite").write_bytes(content + bytes([end]))
    files = [str(made / f"{end}.tflite") for end in range(2)]
    one, two = speed.file_rounds(files, [1, 32, 32, 3], 1, 3)
    assert len(one) == len(two) == 3 and all(x < y for x, y in zip(one, two, strict=True))


def test_several_processes_have_one_figure_each(made, monkeypatch):
    runs = [[[1e-3, 3e-3, 2e-3], [4e-3, 4e-3, 4e-3]], [[4e-3] * 3, [4e-3] * 3]]
    asked = []

    def in_processes(module, told, count, progress):
        asked.append((module, json.loads(json.dumps(told)), count))
        return runs

    monkeypatch.setattr(timing, "in_processes", in_processes)
    image = np.zeros((1, 32, 32, 3), np.uint8)
    given = SimpleNamespace(profile="small", sweep="short")
    task = SimpleNamespace(model="m", dataset="d", test=SimpleNamespace(images=image), given=given)
    bench, point = SimpleNamespace(float_file=made / "m.tflite"), Point("ptq", "last", 10)
    answer = {point: Answer(made / "m.tflite", {})}
    timed = [point, Point("qat", "last", 10)]
    table = records.as_table(speed.latency_records(task, bench, answer, timed, 2))
    ratio = records.pick(table, "latency_ratio", variant=point.variant).iloc[0]
    # Medians over rounds are 4/2 and 4/4; their geometric mean.
    assert ratio["value"] == pytest.approx(2**0.5) and ratio["n"] == 2
    assert records.value(table, FLOAT.variant, "latency_ms_p50") == pytest.approx(8**0.5)
    [(module, told, count)] = asked
    assert (module, count) == (speed.__name__, 5) and len(told["files"]) == 2
