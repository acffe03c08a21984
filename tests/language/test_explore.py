"""The explore section's passages begin with what lost most; it says of them what was scored."""

from types import SimpleNamespace

import numpy as np
import tiny_llama

from qlab.language import explore
from qlab.language.lambada import Encoded, Passage

N, RNG = 30, np.random.default_rng(0)
# Tokens w0, w1, ...; each starts a word, and number 3 has signs that HTML and TeX take.
WORDS = SimpleNamespace(
    convert_ids_to_tokens=lambda ids: [f"Ġw{i}" for i in ids],
    decode=lambda ids: " <$b$>" if ids[0] == 3 else f" w{ids[0]}",
)
PASSAGES = [Passage(f"a < {i} w3", f"a < {i}", "w3") for i in range(N)]
TASK = SimpleNamespace(passages=PASSAGES, encoded=[Encoded([1, 2, 3], 1)] * N, tokenizer=WORDS)


def test_samples_begin_with_what_lost_most_and_say_what_was_scored():
    ranks = {v: np.where(RNG.random(N) < 0.5, 0, 10) for v in ("fp32", "gptq_w4_g64", "rtn_w2_g64")}
    found = {v: tiny_llama.scores(r, np.log(RNG.random(N))) for v, r in ranks.items()}
    box = explore.samples(TASK, found)
    box.children[0].value = "gptq_w4_g64"
    before, after = (np.exp(found[v].log_likelihood) for v in ("fp32", "gptq_w4_g64"))
    at, told = int((before - after).argmax()), box.children[-2].value
    assert f"Passage {at + 1}: ... a &lt; {at} <b>w3</b>" in told
    for name, one in found.items():
        says = "says" if one.greedy[at] else "does not say"
        said = f"{name} {says} it ({np.exp(one.log_likelihood[at]):.1%})"
        assert (said in told) == (name != "rtn_w2_g64")
    still = box._repr_mimebundle_()  # of a page without widgets
    assert still["image/png"].startswith("iVBOR") and f"a < {at} w3" in still["text/plain"]
    box.children[1].value = N
    assert box.children[-2].value != told
