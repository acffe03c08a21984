"""A real small Llama on all of LAMBADA, as notebook 02 judges it. Needs QLAB_DATA."""

import pytest
import tiny_llama

from qlab.language import build, scoring


@pytest.mark.real_data
@pytest.mark.slow
def test_the_float_model_scores_as_published(home, real_data):
    passages = str(real_data / "lambada" / "lambada_test.jsonl")
    model = str(real_data / "llm" / "stories260K-pad192")
    given = {"model": model, "passages": passages, "calibration": "mini_lambada"}
    task = tiny_llama.prepare("full", **given)
    assert (task.dataset, len(task.passages)) == ("lambada_openai", 5153)
    scores = build.evaluate(task, build.folders(task, {}))
    fp32 = scoring.hits(scoring.table(task, scores))
    assert fp32[scoring.Metric("top_last_token", 1)].mean() == pytest.approx(0.373, abs=5e-4)
    assert fp32[scoring.Metric("top_last_token", 5)].mean() == pytest.approx(0.594, abs=5e-4)
    # lm-evaluation-harness 0.4.13 on the same files
    assert fp32[scoring.ACC].mean() == pytest.approx(0.010673394139336309, rel=1e-6)
    perplexity = scoring.perplexity(scores["fp32"].log_likelihood)
    assert perplexity == pytest.approx(7844203.810714526, rel=1e-6)
