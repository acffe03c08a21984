"""AutoRound on a tiny Llama: what it writes, that it writes the same again, that it is worth it."""

import sys
from types import SimpleNamespace

import cloudpickle
import pytest
import tiny_llama
import torch

from qlab.core import cache
from qlab.language import autoround, decoder, streaming
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
    streaming.load_dense(source, "bfloat16").save_pretrained(folder)
    tiny_llama.write_tokenizer(folder, 260)
    task = SimpleNamespace(folder=folder, choice=choice, calibration_tokens=passages(16, 1))
    settings = {"rounder": rounder, "bits": 2, "group_size": 64, "iterations": 30}
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as a notebook's functions are
    first, second = tmp_path / "first", tmp_path / "second"
    for target in (first, second):
        target.mkdir()
        autoround.write(task, target, **settings)
    assert cache.file_sha256(first) == cache.file_sha256(second)
    before, after = tiny_llama.stored(folder), tiny_llama.stored(first)
    linears = {f"{name}.weight" for name in decoder.shapes(decoder.read_config(folder))}
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
