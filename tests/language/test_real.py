"""A real small Llama on all of LAMBADA, as notebook 02 judges it. Needs QLAB_DATA."""

import pytest
from conftest import fresh_home

from qlab.language import build, data, scoring
from qlab.language.gptq import Gptq, RoundToNearest
from qlab.language.scoring import ACC, Metric

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
VARIANTS = {"gptq_w8_g64": Gptq(8, 64), "gptq_w4_g64": Gptq(4, 64)}
VARIANTS |= {"rtn_w2_g64": RoundToNearest(2, 64)}


def prepare(real_data, name: str) -> data.Task:
    """All passages judge; the embedded ones calibrate."""
    given = data.Parameters(
        profile="full",
        model=str(real_data / "llm" / name),
        passages=str(real_data / "lambada" / "lambada_test.jsonl"),
        calibration="mini_lambada",
        device="cpu",
        threads=1,  # tiny layers take several times as long where two share them
    )
    return data.prepare(given)


@pytest.fixture(scope="module")
def found(real_data, tmp_path_factory):
    """Yes or no for each passage, by variant and metric; and the float model's perplexity."""
    patch = pytest.MonkeyPatch()
    patch.setenv("QLAB_HOME", str(fresh_home(tmp_path_factory.mktemp("real") / "home")))
    task = prepare(real_data, "stories260K-pad192")
    assert (task.dataset, len(task.passages)) == ("lambada_openai", 5153)
    built = build.folders(task, VARIANTS)
    scores = build.evaluate(task, built)
    rows = scoring.table(task, scores)
    yield {variant: scoring.hits(of) for variant, of in scoring.by_variant(rows)} | {
        "perplexity": scoring.perplexity(scores["fp32"].log_likelihood)
    }
    patch.undo()


def test_the_float_model_scores_as_published(found):
    fp32 = found["fp32"]
    assert fp32[Metric("top_last_token", 1)].mean() == pytest.approx(0.373, abs=5e-4)
    assert fp32[Metric("top_last_token", 5)].mean() == pytest.approx(0.594, abs=5e-4)
    # lm-evaluation-harness 0.4.13 on the same files
    assert fp32[ACC].mean() == pytest.approx(0.010673394139336309, rel=1e-6)
    assert found["perplexity"] == pytest.approx(7844203.810714526, rel=1e-6)


def test_eight_bits_stay_close_four_keep_nine_tenths_and_two_break(found):
    for metric in (Metric("top_first_token", 5), Metric("top_last_token", 5)):
        whole = found["fp32"][metric].mean()
        assert found["gptq_w8_g64"][metric].mean() == pytest.approx(whole, abs=0.005)
        assert found["gptq_w4_g64"][metric].mean() > 0.9 * whole
        assert found["rtn_w2_g64"][metric].mean() < 0.7 * whole
