"""AutoRound on a tiny Llama: what it writes, that it writes the same again, that it is worth it."""

from types import SimpleNamespace

import pytest
import shown
import tiny_llama
import torch

from qlab.core import cache
from qlab.language import autoround, checkpoint, decoder, streaming
from qlab.language.gptq import RoundToNearest

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.mark.slow
def test_a_folder_in_gptqs_format_the_same_each_time_and_better_than_rounding(
    source, made, tmp_path
):
    folder, choice = tmp_path / "float", SimpleNamespace(dtype="bfloat16", device="cpu")
    streaming.load_dense(source, "bfloat16").save_pretrained(folder)
    tiny_llama.write_tokenizer(folder)
    tokens = torch.randint(0, 96, (24, 24), generator=torch.Generator().manual_seed(1)).tolist()
    task = SimpleNamespace(folder=folder, choice=choice, calibration_tokens=tokens[:16])
    settings = {"bits": 2, "group_size": 64, "iterations": 30, "seed": 3, "device": "cpu"}
    settings["rounder"] = shown.run("02_", "import torch", "def rounder(").rounder
    first, second = tmp_path / "first", tmp_path / "second"
    for target in (first, second):
        target.mkdir()
        autoround.write(task, target, **settings)
    assert cache.file_sha256(first) == cache.file_sha256(second)
    before, after = tiny_llama.stored(folder), tiny_llama.stored(first)
    linears = {f"{name}.weight" for name in decoder.shapes(checkpoint.read_config(folder))}
    for name in set(before) - linears:
        kept = after[HEAD if name == EMBEDDING else name]
        assert torch.equal(before[name], kept) and before[name].dtype == kept.dtype
    assert not (linears | {EMBEDDING}) & set(after)
    assert {path.name for path in folder.glob("*token*")} <= {p.name for p in first.iterdir()}
    places = (folder, made(RoundToNearest(2, 64), of=folder), first)
    models = [*map(streaming.load_dense, places), streaming.load_packed(first)]
    whole, rounded, learned, packed = (
        torch.cat([tiny_llama.logits(model, p) for p in tokens[16:]]) for model in models
    )
    assert (learned - whole).norm() < 0.95 * (rounded - whole).norm()
    torch.testing.assert_close(packed, learned)


def test_rows_are_of_one_length():
    assert autoround.rows([[1, 2, 3], [4, 5], [6, 7]]) == [[1, 2, 3], [4, 5, 6]]
