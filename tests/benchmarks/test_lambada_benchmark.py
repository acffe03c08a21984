"""The arithmetic and words of the benchmark beside lm-evaluation-harness; nothing is timed here."""

import json
import sys
from pathlib import Path

import pytest

from qlab.core import records
from qlab.core.errors import QlabError

ROOT = Path(__file__).resolve().parents[1]
TOLD = {
    "passages": 9,
    "acc": 0.25,
    "perplexity": 80.0,
    "cpu_seconds": 3.0,
    "versions": {"torch": "2"},
}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import lambada_lm_eval

    return lambada_lm_eval


def case(bench, name="wide", logits=1000):
    return bench.Case(name, "random_words", Path("m"), Path("p.jsonl"), 9, 3.0, 0.5, logits)


def runs(bench, seconds: list[float], memory: int) -> list:
    return [bench.Run(s, TOLD | {"peak_memory_bytes": memory}) for s in seconds]


def table(bench, ours: list[float], theirs: list[float], memory=(4, 10)):
    both = {"qlab": runs(bench, ours, memory[0]), "lm_eval": runs(bench, theirs, memory[1])}
    tried = {s: runs(bench, [9.0], 10)[0] for s in ("auto", "16")}
    found = bench.case_records(case(bench), both, tried, "16", 2)
    return records.check(records.as_table(found), "made up")


def test_ratios_come_from_the_same_round(bench):
    """A moment in which everything is slow changes no ratio."""
    rows = table(bench, [1.0, 8.0, 2.0] * 2, [4.0, 32.0, 8.0] * 2)
    [speed] = records.pick(rows, "times_faster").itertuples()
    assert (speed.value, speed.ci_low, speed.ci_high, speed.n) == (4.0, 4.0, 4.0, 6)
    [memory] = records.pick(rows, "memory_ratio").itertuples()
    assert memory.value == 0.4
    [size] = records.pick(rows, "batch_size").itertuples()
    assert (size.variant, size.value) == ("lm_eval", 16)


@pytest.mark.parametrize(
    ("ours", "memory", "words"),
    [
        ([1.0] * 6, (4, 10), ["faster 4.00 (4.00 to 4.00), 6 rounds; target at least 3.0: met."]),
        ([2.0], (4, 10), ["faster 2.00, 1 rounds; target at least 3.0: NOT met."]),
        ([1.0], (5, 10), ["ratio 0.50, 1 rounds; target at most 0.5: met."]),
        ([1.0], (6, 10), ["ratio 0.60, 1 rounds; target at most 0.5: NOT met."]),
    ],
)
def test_the_verdict_says_met_or_not(bench, ours, memory, words):
    said = bench.report(table(bench, ours, [4.0] * len(ours), memory))
    assert all(word in said for word in words)
    assert "lm_eval_batch_auto" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"passages": 8}, "wide: passages differ, 9 and 8"),
        ({"versions": {"torch": "1"}}, "wide: versions differ"),
        ({"acc": 0.2500005}, "wide: acc is 0.25 for qlab and 0.2500005 for lm-evaluation-harness"),
        ({"perplexity": 80.001}, "perplexity is 80.0 for qlab and 80.001"),
    ],
)
def test_unequal_results_end_the_benchmark(bench, change, sentence):
    bench.check_equal(case(bench), TOLD, TOLD | {"perplexity": 80.00001})
    with pytest.raises(QlabError) as caught:
        bench.check_equal(case(bench), TOLD, TOLD | change)
    assert sentence in str(caught.value)


def test_batches_that_would_fill_the_memory_are_left_out(bench, monkeypatch):
    memory = type("Memory", (), {"available": 4e9 + 2 * 1000 * 40})
    monkeypatch.setattr(bench.psutil, "virtual_memory", lambda: memory)
    assert bench.feasible(case(bench), ["auto", "16", "32", "64"]) == ["16", "32"]


def test_a_side_that_fails_says_why(bench, monkeypatch, tmp_path):
    (tmp_path / "qlab_side.py").write_text("import sys; sys.exit('the model is broken')")
    monkeypatch.setattr(bench, "HERE", tmp_path)
    with pytest.raises(QlabError, match="qlab on wide failed .status 1: the model is broken."):
        bench.evaluate(Path(sys.executable), "qlab", case(bench), 1)


def test_a_partial_run_leaves_the_committed_result_alone(bench):
    assert bench.parse([]).out == bench.RESULT
    for partial in (["--quick"], ["--limit", "5"], ["--case", "wide"]):
        assert bench.parse(partial).out != bench.RESULT
    assert bench.parse(["--quick", "--show"]).out == bench.RESULT


def test_both_sides_score_the_wide_tokenizers_passages_alike(bench, monkeypatch, tmp_path):
    """Its words are one token or two, and a third of the passages end with a word twice."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "lm_eval_task")
    import wide_llama

    from qlab.language import lambada, llama

    wide_llama.write_passages(tmp_path / "p.jsonl", wide_llama.write_tokenizer(tmp_path), 60)
    tokenizer = llama.load_tokenizer(tmp_path)
    assert len(tokenizer) == len(set(tokenizer.get_vocab().values())) == 128_256
    passages = lambada.read(tmp_path / "p.jsonl")
    encoded = lambada.encode(passages, tokenizer, 2048)
    assert {e.targets for e in encoded} == {1, 2}
    assert all(e.tokens[0] == 0 and 0 not in e.tokens[1:] for e in encoded)
    twice = [p.context.split(" ")[-1] == p.word for p in passages]
    assert sum(twice) == 20
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["type"] == "BPE"
