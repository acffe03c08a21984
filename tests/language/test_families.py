"""Any decoder: as transformers computes it, whole, block by block, scored, quantized, timed."""

import numpy as np
import pytest
import tiny_llama
import torch
from tiny_llama import FAMILIES, PASSAGES
from torch.nn.functional import nll_loss

from qlab.language import decoder, gptq, scoring, speed, streaming
from qlab.language.checkpoint import INDEX

FOUR = {"load_in_4bit": True}
TWICE = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("families") / request.param
    tiny_llama.save(FAMILIES[request.param], folder)
    return folder


def theirs(folder):
    """As transformers opens it; Gemma 2 with the attention that it asks for."""
    more = {"attn_implementation": "eager"} if folder.name == "gemma2" else {}
    return tiny_llama.theirs(folder, **more)


def test_logits_and_scores_are_those_of_transformers(family):
    """Batched, where only positions that are scored meet the words; against passages one by one."""
    model, whole = streaming.load_dense(family), theirs(family)
    assert torch.equal(tiny_llama.logits(model), tiny_llama.logits(whole))
    assert tiny_llama.logits(model).std() > 0.5 and not model.training
    encoded, seen, expected = tiny_llama.encoded(whole, 9), [], []
    for e in encoded:
        log_p = tiny_llama.logits(whole, e.tokens[:-1]).double().log_softmax(-1)[-e.targets :]
        word = torch.tensor(e.tokens[-e.targets :])
        ranks = (log_p > log_p.gather(1, word[:, None])).sum(1)
        greedy = torch.equal(log_p.argmax(-1), word)
        said, top = -nll_loss(log_p, word, reduction="sum"), log_p[0].topk(scoring.TOP)
        expected.append((said, greedy, ranks[0], max(ranks), ranks[-1], top.indices, top.values))
    model.get_output_embeddings().register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape[:-1].numel())
    )
    for batch_tokens in (1, 64, 4096):
        found = scoring.score(model, encoded, batch_tokens=batch_tokens)
        for ours, wanted in zip(vars(found).values(), zip(*expected, strict=True), strict=False):
            np.testing.assert_allclose(ours, np.stack(wanted), rtol=1e-5, atol=1e-5)
        assert 3 <= sum(found.greedy) < 9 and np.isnan(found.divergence).all()
    assert sum(seen) == 3 * sum(e.targets for e in encoded)


def test_block_by_block_the_states_are_those_of_the_whole_model(family):
    whole, expected = theirs(family), []
    decoder.blocks(whole)[1][-1].register_forward_hook(
        lambda _, __, out: expected.append(out[0] if isinstance(out, tuple) else out)
    )
    for passage in PASSAGES:
        tiny_llama.logits(whole, passage)
    with torch.no_grad():
        through = decoder.Walk(family, PASSAGES)
        for _, block, groups in through.each():
            used = [name for group in groups for name in group]
            shared = [group for group in groups if len(group) > 1]  # have the same inputs
            assert bool(shared) == any("q_proj" in name for name in used)
            assert sorted(used) == sorted(decoder.linears(block))
    for ours, wanted in zip(through.states, expected, strict=True):
        assert torch.equal(ours, wanted)
    assert all(p.is_meta for p in through.model.parameters())  # nothing of it stays in memory


def test_quantized_packed_and_read_back(family, made):
    parent = streaming.load_dense(family)
    eight = streaming.load_dense(made(gptq.RoundToNearest(8, 32), of=family))
    layers, inside = decoder.shapes(parent.config), decoder.blocks(parent)[0]
    own = [n for n in decoder.linears(parent) if n.startswith(inside)]
    assert sorted(layers) == sorted(own) and len(own) >= 2 * 4
    for name, weight in parent.named_parameters():
        off, most = (eight.get_parameter(name) - weight).abs().max(), weight.abs().max()
        quantized = name.removesuffix(".weight") in layers
        assert 0 < off < 0.5 / 127 * 1.01 * 2 * most if quantized else off == 0, name
    target = made(gptq.Gptq(4, 32), of=family)
    dense, packed = (load(target) for load in (streaming.load_dense, streaming.load_packed))
    kinds = {type(packed.get_submodule(name)).__name__ for name in layers}
    assert kinds == {"QuantLinear"}
    torch.testing.assert_close(tiny_llama.logits(packed), tiny_llama.logits(dense))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"], indirect=True)
@pytest.mark.parametrize("settings", [{"load_in_8bit": True}, FOUR, FOUR | TWICE], ids=str)
def test_bitsandbytes_folders_are_read(family, tmp_path, settings):
    quantized = tiny_llama.bitsandbytes(family, tmp_path, **settings)
    opened = (load(tmp_path) for load in (streaming.load_dense, streaming.load_packed))
    exact, dense, packed = map(tiny_llama.logits, (streaming.load_dense(family), *opened))
    assert torch.equal(packed, tiny_llama.logits(quantized))
    # int8 rounds its inputs too, and the 4-bit CPU kernel may multiply in bfloat16.
    assert (packed - dense).norm() < 0.05 * dense.norm() < 10 * (dense - exact).norm()


@pytest.mark.parametrize("family", ["gpt2"], indirect=True)
def test_names_in_the_file_may_lack_the_trunks(family, tmp_path, made):
    """As in the published GPT-2."""
    tiny_llama.save(FAMILIES["gpt2"], tmp_path)
    tensors = {n.removeprefix("transformer."): t for n, t in tiny_llama.stored(family).items()}
    tiny_llama.rewrite(tmp_path, tensors)
    packed = (made(gptq.RoundToNearest(4, 32), of=folder) for folder in (tmp_path, family))
    for found, expected in ((tmp_path, family), packed):
        ours, theirs = map(streaming.load_dense, (found, expected))
        assert torch.equal(tiny_llama.logits(ours), tiny_llama.logits(theirs))


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
@pytest.mark.parametrize("shard", ["5GB", "50KB"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_or_not_in_one_file_or_many_and_in_half_precision(tmp_path, name, shard, tied):
    told = FAMILIES[name].to_dict() | {"tie_word_embeddings": tied}
    tiny_llama.save(type(FAMILIES[name]).from_dict(told), tmp_path, shard=shard)
    assert (tmp_path / INDEX).is_file() == (shard == "50KB")
    for dtype in ("float32", "bfloat16"):  # in which rotary positions stay float32
        model, kind = streaming.load_dense(tmp_path, dtype), getattr(torch, dtype)
        whole = tiny_llama.theirs(tmp_path, torch_dtype=kind)
        assert torch.equal(tiny_llama.logits(model), tiny_llama.logits(whole))
        assert {p.dtype for p in model.parameters()} == {kind}
        assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied


def test_what_it_writes_on_a_clock_is_what_generate_writes(family):
    model, prompt = streaming.load_dense(family), PASSAGES[3]
    ids = torch.tensor([prompt])
    more = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    theirs = model.generate(ids, attention_mask=torch.ones_like(ids), **more)[0].tolist()
    calls = []
    model.register_forward_pre_hook(
        lambda _, __, named: calls.append(named["input_ids"][0].tolist()), with_kwargs=True
    )
    with torch.inference_mode():
        write = speed._write(model, ids, 6)
        write()
        write()
    assert calls == [prompt, *([token] for token in theirs[len(prompt) :] * 2)]
