"""Errors of layers, outlier channels and bytes by part, against layers and files themselves."""

from types import SimpleNamespace

import pytest
import tiny_llama
import torch
from scipy import stats

from qlab.core import records
from qlab.language import build, checkpoint, decoder, measure, outliers, streaming
from qlab.language.gptq import RoundToNearest
from qlab.language.quantized import Library

PASSAGES = tiny_llama.PASSAGES


def task(folder):
    tokens = {"calibration": PASSAGES, "calibration_tokens": PASSAGES}
    return SimpleNamespace(folder=folder, threads=1, model="m", dataset="d", **tokens)


def inputs(model) -> dict[str, torch.Tensor]:
    """What enters each linear layer of its blocks, [tokens, in], by hooks in the whole model."""
    seen, prefix = {}, decoder.blocks(model)[0]
    for name, linear in decoder.linears(model).items():
        if name.startswith(prefix):
            seen[name] = []
            linear.register_forward_pre_hook(lambda _, x, to=seen[name]: to.append(x[0][0]))
    for tokens in PASSAGES:
        tiny_llama.logits(model, tokens)
    return {name: torch.cat(entered) for name, entered in seen.items()}


@torch.no_grad()
def test_the_error_is_that_of_the_outputs_of_the_float_models_layer(source, made, tmp_path):
    """Found with the whole float model in memory and hooks, without any Hessian."""
    folders = {"rtn_w2_g64": made(RoundToNearest(2, 64)), "bnb_nf4": tmp_path / "nf4"}
    tiny_llama.bitsandbytes(source, folders["bnb_nf4"], load_in_4bit=True)
    built = {v: build.Variant(v, Library("m", 2), folder) for v, folder in folders.items()}
    table = records.as_table(measure.layer_records(task(source), built))
    assert len(table) == 2 * 14 and set(table["n"]) == {len(PASSAGES)}
    model = streaming.load_dense(source)
    entered, whole = inputs(model), dict(model.named_modules())
    assert measure.relative_error(torch.zeros(3, 4), torch.randn(3, 4), torch.eye(4)) == 0
    for row in table.itertuples():
        (name,) = [n for n in entered if f".{row.depth}." in n and n.endswith(row.part)]
        other = streaming.load_dense(folders[row.variant]).get_submodule(name).weight
        x, weight = entered[name].double(), whole[name].weight.double()
        expected = (x @ (other - weight).double().T).norm() / (x @ weight.T).norm()
        assert row.value == pytest.approx(float(expected), rel=1e-3)


def test_kurtosis_is_the_mean_over_layers_and_more_where_channels_are_spread(tmp_path):
    model = tiny_llama.write(tmp_path)
    outliers.spread(model, seed=3, strength=0.7)
    model.save_pretrained(tmp_path)
    entered, of = inputs(streaming.load_dense(tmp_path)), model.get_submodule
    parts = ((of(name).weight.detach() for name in entered), entered.values())
    expected = [sum(stats.kurtosis(one.ravel()) for one in part) / 14 for part in parts]
    made = measure.kurtosis_records(task(tmp_path), build.Variant("v", Library(None, 32), ""))
    assert [(r.part, r.n) for r in made] == [("weights", 14), ("inputs", 14)]
    assert [r.value for r in made] == pytest.approx(expected, rel=1e-3)
    assert made[0].value > 1


def test_parts_add_up_to_the_files(made):
    folder = made(RoundToNearest(4, 64))
    sizes = {name: tensor.nbytes for name, tensor in tiny_llama.stored(folder).items()}
    scales = [name for name in sizes if name.endswith((".scales", ".qzeros", ".g_idx"))]
    found = checkpoint.split_bytes(folder)
    assert found["embedding"] == sizes.pop("lm_head.weight") == 300 * 64 * 4
    assert found["scales"] == sum(sizes.pop(name) for name in scales) > 0
    assert found["body"] == sum(sizes.values()) > 0
    files = [*folder.glob("model*"), folder / "config.json"]  # the tokenizer's are none of them
    assert sum(found.values()) == sum(file.stat().st_size for file in files)
