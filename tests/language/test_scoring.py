"""What is not finite, ties, divergence; wrong answers are of a kind, and can be read."""

import copy
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_llama
import torch

from qlab.core.errors import QlabError
from qlab.language import checkpoint, scoring
from qlab.language.lambada import Encoded, Passage


def test_batches_have_the_longest_first_and_at_most_so_many_tokens_with_padding():
    assert scoring.batches([6, 50, 5, 11], 22) == [[1], [3, 0], [2]]


def test_equally_probable_tokens_share_the_better_rank_and_the_first_is_greedy(tmp_path):
    model = tiny_llama.write(tmp_path)
    best = int(tiny_llama.logits(model, [7, 8, 9])[-1].argmax())
    twin = best + 1 if best < 299 else best - 1
    weight = model.lm_head.weight.detach().clone()
    weight[twin] = weight[best]
    model.lm_head.weight = torch.nn.Parameter(weight)  # untied: the inputs stay as they were
    first, second = min(best, twin), max(best, twin)
    found = scoring.score(model, [Encoded([7, 8, 9, t], 1) for t in (first, second)])
    assert found.first_rank.tolist() == [0, 0]
    assert found.greedy.tolist() == [True, False]


def test_what_is_not_finite_is_an_error_that_names_the_passage_and_padding_is_none(tmp_path):
    """A weight of 0 on another passage's NaN would be NaN all the same."""
    model = tiny_llama.write(tmp_path, tie_word_embeddings=False)
    model.model.embed_tokens.weight.data[:3] = torch.nan
    passages = [Encoded([3, 4, 5, 6], 1), Encoded([5, 6], 1)]
    scoring.score(model, passages)
    with pytest.raises(QlabError, match="passage 2 are NaN or infinite in torch.float32"):
        scoring.score(model, [passages[0], Encoded([0, 6], 1)])
    model.half().model.embed_tokens.weight.data[200] = 65_504  # and the first layer adds to it
    model.model.layers[0].mlp.down_proj.weight.data *= 100
    with pytest.raises(QlabError, match="passage 2 are NaN or infinite in torch.float16; .*65,504"):
        scoring.score(model, [passages[0], Encoded([5, 200, 4], 1)])


def test_divergence_is_kullback_leiblers_from_the_float_parents_first_token(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "MOST", 20)
    model = tiny_llama.write(tmp_path)
    other, encoded = copy.deepcopy(model), tiny_llama.encoded(model, 23)
    for parameter in other.parameters():
        parameter.data.mul_(0.9)
    whole = scoring.reference(tmp_path / "reference.npy", (len(encoded), 300))
    own = scoring.score(model, encoded, kept=whole, batch_tokens=128).divergence
    kept = scoring.reference(tmp_path / "reference.npy")
    found = scoring.score(other, encoded, kept=kept, batch_tokens=512).divergence
    assert (own[:20] == 0).all() and np.isnan(own[20:]).all() and np.isnan(found[20:]).all()
    for e, divergence in zip(encoded[:20], found, strict=False):
        at = len(e.tokens) - e.targets - 1
        p, q = (tiny_llama.logits(m, e.tokens[:-1])[at].log_softmax(-1) for m in (model, other))
        expected = torch.nn.functional.kl_div(q, p, log_target=True, reduction="sum")
        assert divergence == pytest.approx(float(expected), rel=1e-3, abs=1e-6) and divergence > 0
    again = scoring.score(model, encoded, kept=kept).divergence
    assert (again[:20] < 1e-6).all()


def test_perplexity_by_hand():
    assert scoring.perplexity(-np.log([2.0, 4, 8, 16, 32])) == pytest.approx(8)
    assert scoring.perplexity(np.full(5, -1e5)) == np.inf


PASSAGE = Passage("Bolas met Marven. He saw Marven", "Bolas met Marven. He saw", "Marven")
KINDS = {  # of a piece of the vocabulary
    "Ġ,": "punctuation or end",
    "Ġ": "punctuation or end",
    "<|end_of_text|>": "punctuation or end",
    "ven": "fragment",
    "ĠMar": "the right beginning",
    "ĠBo": "from the passage",
    "▁Bolas": "from the passage",
    "Ġthe": "function word",
    "Ġhouse": "another word",
}
PIECES = list(KINDS)
WORDS = SimpleNamespace(
    convert_ids_to_tokens=lambda ids: [PIECES[i] for i in ids],
    decode=lambda ids: "".join(PIECES[i] for i in ids).replace("Ġ", " ").replace("▁", ""),
)


def test_a_prediction_has_one_kind_and_is_written_so_that_one_sees_how_it_begins():
    for number, (piece, kind) in enumerate(KINDS.items()):
        assert scoring.kind(number, PASSAGE, WORDS) == kind, piece
        assert kind in scoring.KINDS
    ids = [PIECES.index(piece) for piece in ("ĠMar", "ven", "Ġthe", "Ġ")]
    assert scoring.written(ids, WORDS) == ["Mar", "·ven", "the", "␣"]


def test_an_id_that_the_tokenizer_has_no_word_for_is_an_end(tmp_path):
    """Vocabularies are padded: Qwen's model has 293 ids more than its tokenizer has words."""
    tiny_llama.write_tokenizer(tmp_path)
    words = checkpoint.load_tokenizer(tmp_path)
    assert scoring.kind(280, PASSAGE, words) == "punctuation or end"
    assert scoring.written([280], words) == ["␣"]


def test_only_wrong_answers_are_sorted_by_kind():
    top = np.arange(len(KINDS))[:, None].repeat(scoring.TOP, axis=1)
    found = {"w2": tiny_llama.scores([3, 0] + [3] * (len(KINDS) - 2), top_tokens=top)}
    table = scoring.kinds(found, [PASSAGE] * len(KINDS), WORDS)
    counts = Counter(kind for kind in KINDS.values()) - Counter(["punctuation or end"])
    assert dict(zip(table["kind"], table["count"], strict=True)) == counts
    assert set(table["wrong"]) == {len(KINDS) - 1}
