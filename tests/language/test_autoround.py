"""AutoRound on a tiny Llama: what it writes, that it writes the same again, that it is worth it."""

import sys
from types import SimpleNamespace

import cloudpickle
import pytest
import tiny_llama
import torch

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import autoround, configuration, decoder, streaming
from qlab.language.gptq import RoundToNearest

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def rounder(model, tokenizer, rows, bits, group_size, iterations):
    """As notebook 02 calls the library."""
    from auto_round import AutoRound, QuantizationScheme, SignRoundConfig

    return AutoRound(
        model, tokenizer, scheme=QuantizationScheme(bits=bits, group_size=group_size, sym=True),
        alg_configs=SignRoundConfig(iters=iterations), dataset=rows, nsamples=len(rows),
        seqlen=rows[0].shape[1], batch_size=8, device_map="cpu", seed=3, amp=True,
        enable_torch_compile=False,
    )  # fmt: skip


def passages(count, seed, length=24):
    """Random token ids; lengths differ, as those of real passages do."""
    random = torch.Generator().manual_seed(seed)
    lengths = (length - i % 5 for i in range(count))
    return [torch.randint(0, 96, (n,), generator=random).tolist() for n in lengths]


@pytest.mark.slow
def test_a_folder_in_gptqs_format_the_same_each_time_and_better_than_rounding(
    source, made, tmp_path
):
    folder, choice = tmp_path / "float", SimpleNamespace(dtype="bfloat16", device="cpu")
    decoder.load(source, "bfloat16").save_pretrained(folder)
    tiny_llama.write_tokenizer(folder, 260)
    task = SimpleNamespace(folder=folder, choice=choice, calibration_tokens=passages(16, 1))
    method = autoround.AutoRound(2, 64, rounder, iterations=30)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as a notebook's functions are
    first, second = tmp_path / "first", tmp_path / "second"
    for target in (first, second):
        target.mkdir()
        method.make(task, target, **method.settings)
    assert cache.file_sha256(first) == cache.file_sha256(second)
    before, after = tiny_llama.stored(folder), tiny_llama.stored(first)
    linears = {f"{name}.weight" for name in decoder.shapes(configuration.read(folder))}
    for name in set(before) - linears:
        kept = after[HEAD if name == EMBEDDING else name]
        assert torch.equal(before[name], kept) and before[name].dtype == kept.dtype
    assert not (linears | {EMBEDDING}) & set(after)
    assert {path.name for path in folder.glob("*token*")} <= {p.name for p in first.iterdir()}
    places = (folder, made(RoundToNearest(2, 64), of=folder), first)
    models = [*map(streaming.load_dense, places), streaming.load_packed(first)]
    whole, rounded, learned, packed = (
        torch.cat([tiny_llama.logits(model, p) for p in passages(8, 2)]) for model in models
    )
    assert (learned - whole).norm() < 0.95 * (rounded - whole).norm()
    torch.testing.assert_close(packed, learned)


def test_rows_are_of_one_length():
    assert autoround.rows([[1, 2, 3], [4, 5], [6, 7]]) == [[1, 2, 3], [4, 5, 6]]


def test_packed_weights_that_read_back_otherwise_are_refused(source, made, tmp_path):
    folder, name = made(RoundToNearest(2, 64)), "model.layers.1.mlp.up_proj"
    dense, target = streaming.load_dense(folder), tmp_path / "written"
    layers = decoder.shapes(configuration.read(source))
    meant = {n: dense.get_submodule(n).weight.detach().clone() for n in layers}
    target.mkdir()
    more = (configuration.Weights(folder), meant, {"bits": 2, "group_size": 64})
    autoround._write(source, target, *more)
    again = streaming.load_dense(target).get_submodule(name).weight
    assert torch.equal(again, dense.get_submodule(name).weight)
    meant[name][5, 7] += 0.1
    with pytest.raises(QlabError, match="up_proj, packed by auto-round: 1 of 12288 weights"):
        autoround._write(source, target, *more)
