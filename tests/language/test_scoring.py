"""Scores are those of a plain loop over passages; with real data, lm-evaluation-harness's own."""

import numpy as np
import pytest
import tiny_llama
import torch

from qlab.core.errors import QlabError
from qlab.language import llama, scoring
from qlab.language.lambada import Encoded


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_llama.write(folder)
    return llama.load(folder)


@pytest.fixture(scope="module")
def encoded() -> list[Encoded]:
    """23 random passages of 3 to 60 tokens, the last 1 to 5 of which are the word's."""
    random = np.random.default_rng(0)
    sizes = random.integers(6, 61, 23)
    sizes[:2] = 3, 65
    return [
        Encoded(random.integers(0, 300, n).tolist(), int(random.integers(1, min(n, 6))))
        for n in sizes
    ]


def one_by_one(model, encoded) -> dict[str, list]:
    """The plain way: each passage alone, all its logits, log-softmax over the vocabulary."""
    rows = []
    for e in encoded:
        with torch.no_grad():
            logits = model(torch.tensor([e.tokens[:-1]])).logits[0]
        log_p = torch.log_softmax(logits.double(), -1)[-e.targets :]
        target = torch.tensor(e.tokens[-e.targets :])
        ranks = [int((row > row[t]).sum()) for row, t in zip(log_p, target, strict=True)]
        rows.append(
            {
                "log_likelihood": sum(float(p[t]) for p, t in zip(log_p, target, strict=True)),
                "greedy": torch.equal(log_p.argmax(-1), target),
                "first_rank": ranks[0],
                "worst_rank": max(ranks),
                "last_rank": ranks[-1],
                "top_tokens": log_p[0].topk(10).indices.tolist(),
                "top_log_p": log_p[0].topk(10).values.tolist(),
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def assert_scores(found, expected) -> None:
    for name, values in expected.items():
        if name in ("log_likelihood", "top_log_p"):
            np.testing.assert_allclose(getattr(found, name), values, rtol=1e-5)
        else:
            np.testing.assert_array_equal(getattr(found, name), values)


def with_likely_words(model, encoded):
    """The same passages; of every three, one ends with what the model would say, one with its last
    token alone."""
    found = []
    for i, e in enumerate(encoded):
        tokens = list(e.tokens)
        if i % 3 < 2:
            for at in range(len(tokens) - (e.targets if i % 3 == 0 else 1), len(tokens)):
                with torch.no_grad():
                    tokens[at] = int(model(torch.tensor([tokens[:at]])).logits[0, -1].argmax())
        found.append(Encoded(tokens, e.targets))
    return found


@pytest.mark.parametrize("batch_tokens", [1, 128, 4096])
def test_scores_are_those_of_a_plain_loop(model, encoded, batch_tokens):
    passages = with_likely_words(model, encoded)
    expected = one_by_one(model, passages)
    assert 8 <= sum(expected["greedy"]) < 23
    assert_scores(scoring.score(model, passages, batch_tokens), expected)


def test_only_scored_positions_meet_the_vocabulary(model, encoded):
    seen = []
    hook = model.lm_head.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    scoring.score(model, encoded, 256)
    hook.remove()
    assert sum(seen) == sum(e.targets for e in encoded)


def test_batches_hold_each_passage_once_and_little_padding():
    lengths = np.random.default_rng(0).integers(20, 400, 5000).tolist()
    found = scoring.batches(lengths, 4096)
    assert sorted(i for b in found for i in b) == list(range(5000))
    padded = [len(b) * max(lengths[i] for i in b) for b in found]
    assert max(padded) <= 4096 and max(lengths) == lengths[found[0][0]]
    assert sum(padded) < 1.01 * sum(lengths)
    assert scoring.batches([10, 50], 20) == [[1], [0]]


def test_equally_probable_tokens_share_the_better_rank_and_the_first_is_greedy(tmp_path):
    model = tiny_llama.write(tmp_path)
    best = int(model(torch.tensor([[7, 8, 9]])).logits[0, -1].argmax())
    twin = best + 1 if best < 299 else best - 1
    weight = model.lm_head.weight.detach().clone()
    weight[twin] = weight[best]
    model.lm_head.weight = torch.nn.Parameter(weight)  # untied: the inputs stay as they were
    first, second = min(best, twin), max(best, twin)
    found = scoring.score(model, [Encoded([7, 8, 9, t], 1) for t in (first, second)])
    assert found.first_rank.tolist() == [0, 0]
    assert found.greedy.tolist() == [True, False]


@pytest.mark.parametrize("head_bytes", [1 << 27, 1])  # all positions at a time, and one
def test_float16_overflow_is_an_error_that_names_the_passage(tmp_path, monkeypatch, head_bytes):
    monkeypatch.setattr(scoring, "HEAD_BYTES", head_bytes)
    model = tiny_llama.write(tmp_path, tie_word_embeddings=False).half()
    model.model.embed_tokens.weight.data[200] = 65_504  # and the first layer adds to it
    model.model.layers[0].mlp.down_proj.weight.data *= 100
    passages = [Encoded([1, 2, 3, 4], 1), Encoded([1, 200, 4], 1)]
    with pytest.raises(QlabError, match="passage 2 are NaN or infinite in torch.float16; .*65,504"):
        scoring.score(model, passages)


def test_nan_weights_are_an_error_and_padding_is_none(tmp_path):
    """A weight of 0 on another passage's NaN would be NaN all the same."""
    model = tiny_llama.write(tmp_path, tie_word_embeddings=False)
    model.model.embed_tokens.weight.data[:3] = torch.nan
    passages = [Encoded([3, 4, 5, 6], 1), Encoded([5, 6], 1)]
    scoring.score(model, passages)
    with pytest.raises(QlabError, match="passage 2 are NaN or infinite in torch.float32"):
        scoring.score(model, [passages[0], Encoded([0, 6], 1)])


def test_stored_scores_read_back(model, encoded, tmp_path):
    made = scoring.score(model, encoded)
    made.save(tmp_path / "scores.npz")
    again = scoring.Scores.load(tmp_path / "scores.npz")
    for name, values in vars(made).items():
        np.testing.assert_array_equal(getattr(again, name), values)
        assert getattr(again, name).dtype == values.dtype


def test_acc_and_perplexity_by_hand():
    scores = tiny_llama.scores([0, 1, 1, 0, 1], -np.log([2.0, 4, 8, 16, 32]))
    assert scoring.acc(scores) == 0.4
    assert scoring.perplexity(scores.log_likelihood) == pytest.approx(8)
    assert scoring.perplexity(np.full(5, -1e5)) == np.inf
