"""MLPerf Tiny's ResNet-8 on real CIFAR-10 images, from the folder that QLAB_DATA names."""

import numpy as np
import pytest

from qlab.classifier import answers, data, export, measure, quantizers
from qlab.classifier import points as qat_sweep
from qlab.classifier.points import Bench, Point

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture(scope="module")
def bench(real_data, tmp_path_factory):
    if not (real_data / "mlperf_tiny" / "pretrainedResnet.h5").is_file():
        pytest.skip("QLAB_DATA has no mlperf_tiny/pretrainedResnet.h5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield Bench(data.prepare(data.Parameters(profile="full", train_limit=2048, epochs=1)))


def accuracy(bench: Bench, probabilities: np.ndarray) -> float:
    return answers.correct(probabilities, bench.task.test.labels).mean()


def test_float_accuracy_is_the_published_one(bench):
    assert bench.task.train.images.shape == (2048, 32, 32, 3)
    parent = qat_sweep.parent(bench, 2)
    assert len(bench.task.test) == 1000
    assert accuracy(bench, parent.probabilities["float"]) == pytest.approx(0.881, abs=5e-4)
    assert accuracy(bench, parent.probabilities["tflite"]) == pytest.approx(0.881, abs=2e-3)
    assert bench.float_file.stat().st_size == pytest.approx(318_292, rel=0.01)


def test_quantization_aware_training_of_all_layers_keeps_accuracy(bench):
    found = qat_sweep.answer(Point("qat", "last", len(bench.layers)), bench, 2)
    assert accuracy(bench, found.probabilities["tflite"]) >= 0.870
    assert found.file.stat().st_size < 110_000


def test_only_a_pooling_as_it_was_lets_the_file_lose_what_its_graph_keeps(bench):
    """Without a step of training: what the converter does to the last layer's input."""
    lost = {}
    for one in (bench, bench.raw):
        wrapped = one.quantized(Point("qat", "last", 1))
        quantizers.calibrate(wrapped, one.model, one.task.calibration.images)
        file = one.float_file.with_name("wrapped.tflite")
        file.write_bytes(export.convert(wrapped))
        graph = answers.keras_probabilities(wrapped, one.task.test.images)
        found = answers.tflite_probabilities(file, one.task.test.images)
        lost[one.is_raw] = accuracy(bench, graph) - accuracy(bench, found)
    assert abs(lost[False]) <= 0.002 and lost[True] == pytest.approx(0.044, abs=0.01)


def test_the_makers_own_int8_file_answers_as_published(bench):
    found = measure.peer_records(bench.task, qat_sweep.parent(bench, 2), 2)
    assert {r.metric: r.value for r in found}["accuracy"] == pytest.approx(0.878)
