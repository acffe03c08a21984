"""Times of fresh processes: what each is told, and what comes of several."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from qlab.classifier import named, speed
from qlab.classifier.fine_tune import Settings
from qlab.classifier.points import FLOAT, Answer, Point
from qlab.core import records, timing


@pytest.mark.slow
def test_a_fresh_process_times_steps_of_each_model():
    _, file = named.found("resnet8_shapes32")
    told = {"file": str(file), "models": [((), 8), (("dense",), 4)], "leave_float": []}
    told |= {"settings": Settings(1, 4, frozen=True), "logits": False, "rounds": 2}
    [seconds] = timing.in_processes(speed.__name__, told, 1)
    assert np.shape(seconds) == (2, 2) and np.min(seconds) > 0


def test_several_processes_have_one_figure_each(tmp_path, monkeypatch):
    runs = [[[1e-3, 3e-3, 2e-3], [4e-3, 4e-3, 4e-3]], [[4e-3] * 3, [4e-3] * 3]]
    asked = []

    def in_processes(module, told, count, progress):
        asked.append((module, json.loads(json.dumps(told)), count))
        return runs

    monkeypatch.setattr(timing, "in_processes", in_processes)
    image = np.zeros((1, 32, 32, 3), np.uint8)
    given = SimpleNamespace(profile="small", sweep="short")
    task = SimpleNamespace(model="m", dataset="d", test=SimpleNamespace(images=image), given=given)
    bench, point = SimpleNamespace(float_file=tmp_path / "f"), Point("ptq", "last", 10)
    answer = {point: Answer(tmp_path / "q", {})}
    timed = [point, Point("qat", "last", 10)]
    table = records.as_table(speed.latency_records(task, bench, answer, timed, 2))
    ratio = records.pick(table, "latency_ratio", variant=point.variant).iloc[0]
    # Medians over rounds are 4/2 and 4/4; their geometric mean.
    assert ratio["value"] == pytest.approx(2**0.5) and ratio["n"] == 2
    assert records.value(table, FLOAT.variant, "latency_ms_p50") == pytest.approx(8**0.5)
    [(module, told, count)] = asked
    assert (module, count) == (speed.__name__, 5) and len(told["files"]) == 2
