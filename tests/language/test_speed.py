"""What tokens per second counts, and that timing a model leaves it as it was."""

from types import SimpleNamespace

import pytest
import tiny_llama

from qlab.language import build, speed
from qlab.language.gptq import RoundToNearest
from qlab.language.quantized import Library

PASSAGES = [[5, 6, 7], [8, 9, 10, 11, 12], [1]]
TASK = SimpleNamespace(choice=SimpleNamespace(device="cpu"), given=SimpleNamespace(threads=1),
                       model="m", dataset="d", processor=lambda share="": share)  # fmt: skip
ABOUT = Library(None, 32)


def test_each_metric_counts_what_it_says(tmp_path, monkeypatch):
    """On a clock that moves by one second with each call of the model."""
    model, calls = tiny_llama.write(tmp_path), []
    monkeypatch.setattr(speed.timing.time, "perf_counter", lambda: float(len(calls)))
    model.register_forward_pre_hook(
        lambda _, __, named: calls.append(named["input_ids"][0].tolist()), with_kwargs=True
    )
    found = speed.measure({"fp32": model}, PASSAGES, written=4, repeats=3)["fp32"]
    assert list(found) == list(speed.COUNTS)
    assert found["tokens_per_s"].tolist() == [9 / 3] * 3  # 9 tokens, 3 calls
    assert found["tokens_per_s_prefill"].tolist() == [5.0] * 3  # 5 tokens, 1 call
    assert found["tokens_per_s_decode"].tolist() == [1.0] * 3  # 4 tokens, 4 calls
    assert sorted(map(len, calls)) == sorted([5] + 4 * ([3, 5, 1] + [5] + [1] * 4))
    rates = {"fp32": found, "half": {metric: rounds / 2 for metric, rounds in found.items()}}
    made = speed.records(TASK, {n: build.Variant(n, ABOUT, None) for n in rates}, rates)
    ratio = next(one for one in made if one.metric == "tokens_per_s_ratio")
    assert (ratio.variant, ratio.n, ratio.value) == ("half", 3, pytest.approx(0.5))


def test_fresh_processes_measure_packed_variants_and_their_memory(source, made):
    found = {"fp32": build.Variant("fp32", ABOUT, source)}
    found["rtn"] = build.Variant("rtn", ABOUT, made(RoundToNearest(4, 64)))
    rates = speed.in_processes(TASK, found, PASSAGES, count=1)
    assert {len(values) for of in rates.values() for values in of.values()} == {1}
    (peak,) = speed.memory_records(TASK, {"rtn": found["rtn"]}, PASSAGES)
    assert 1e8 < peak.value < 1e10
