"""Times of single operators on a made-up graph: which are run, with what, in which unit."""

import numpy as np
import pytest

from qlab.core.tflite_graph import Operator
from qlab.detector import operators


class Alone:
    """An operator alone: inputs of the given types, and what was put into them."""

    def __init__(self, *kinds):
        self.kinds, self.given = kinds, {}

    def get_input_details(self):
        shape = np.array([4, 50])
        return [{"index": i, "shape": shape, "dtype": k} for i, k in enumerate(self.kinds)]

    def set_tensor(self, index, value):
        self.given[index] = value

    def invoke(self):
        pass


def test_each_operator_is_timed_on_noise_in_milliseconds(monkeypatch, tmp_path):
    graph = [Operator("CONV_2D", ("x",), ("a",)), Operator("SHAPE", (), ("b",)),
             Operator("ADD", ("a",), ("c",))]  # fmt: skip
    runners = [Alone(np.float32, np.bool_, np.int8), Alone(), Alone(np.float16)]
    asked = []
    monkeypatch.setattr(operators.tflite_graph, "read", lambda file: None)
    monkeypatch.setattr(operators.tflite_graph, "operators", lambda file: graph)
    monkeypatch.setattr(operators.tflite_graph, "single_operator", lambda model, index: index)

    def opened(index, threads, xnnpack):
        asked.append((threads, xnnpack))
        return runners[index]

    monkeypatch.setattr(operators, "interpreter", opened)
    seconds = {"op": np.array([9.0, 0.002, 0.001])}
    monkeypatch.setattr(operators.timing, "interleaved", lambda calls, repeats: seconds)
    table = operators.time_operators(tmp_path, 3, xnnpack=False)
    assert table["kind"].tolist() == ["CONV_2D", "ADD"] and table["output"].tolist() == ["a", "c"]
    assert table["ms"].tolist() == pytest.approx([2.0, 2.0])
    assert asked == [(3, False)] * 3
    for runner in runners:
        for index, kind in enumerate(runner.kinds):
            given = runner.given[index]
            assert given.dtype == kind and given.shape == (4, 50) and len(np.unique(given)) > 1
