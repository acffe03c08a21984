"""Errors of layers, outlier channels and bytes by part, against layers and files themselves."""

from types import SimpleNamespace

import pytest
import tiny_llama
import torch
from safetensors.torch import save_file
from scipy import stats

from qlab.core import records
from qlab.language import build, decoder, measure, outliers, streaming
from qlab.language.gptq import RoundToNearest
from qlab.language.quantized import Library

PASSAGES = tiny_llama.PASSAGES


def task(folder):
    """As much of a task as a walk through its model needs."""
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
    for row in table.itertuples():
        (name,) = [n for n in entered if f".{row.depth}." in n and n.endswith(row.part)]
        other = streaming.load_dense(folders[row.variant]).get_submodule(name).weight
        x, weight = entered[name].double(), whole[name].weight.double()
        expected = (x @ (other - weight).double().T).norm() / (x @ weight.T).norm()
        assert row.value == pytest.approx(float(expected), rel=1e-3)


def test_a_layer_of_zeros_has_no_error():
    weight, hessian = torch.randn(3, 4), torch.eye(4)
    assert measure.relative_error(weight, 2 * weight, hessian) == pytest.approx(1)
    assert measure.relative_error(0 * weight, weight, hessian) == 0


def test_no_output_changes_but_every_scaled_weight_does_and_the_seed_takes_it_back(tmp_path):
    model = tiny_llama.write(tmp_path)
    before, weights = tiny_llama.logits(model), {n: p.clone() for n, p in model.named_parameters()}
    outliers.spread(model, seed=3, strength=0.7)
    assert torch.allclose(tiny_llama.logits(model), before, rtol=1e-4, atol=1e-4)
    unchanged = [n for n, p in model.named_parameters() if torch.equal(p, weights[n])]
    assert unchanged == ["model.embed_tokens.weight", "model.norm.weight"]
    outliers.spread(model, 3, -0.7)
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.allclose(model.get_parameter(name), weights[name], rtol=1e-5)


def test_kurtosis_is_the_mean_over_the_layers_and_more_where_channels_are_spread(tmp_path):
    model, found, parent = tiny_llama.write(tmp_path), [], build.Variant("v", Library(None, 32), "")
    for strength in (0.0, 0.7):
        outliers.spread(model, 3, strength)
        model.save_pretrained(tmp_path)
        entered, of = inputs(streaming.load_dense(tmp_path)), model.get_submodule
        weights = [stats.kurtosis(of(name).weight.detach(), None) for name in entered]
        expected = [
            sum(some) / 14
            for some in (weights, map(stats.kurtosis, map(torch.ravel, entered.values())))
        ]
        made = measure.kurtosis_records(task(tmp_path), parent)
        assert [(r.part, r.n) for r in made] == [("weights", 14), ("inputs", 14)]
        assert [r.value for r in made] == pytest.approx(expected, rel=1e-3)
        found.append(made[0].value)
    assert found[1] > 1 + found[0]


def test_parts_add_up_to_the_files(tmp_path):
    tensors = {
        "model.embed_tokens.weight": torch.zeros(10, 4, dtype=torch.bfloat16),
        "model.layers.0.mlp.up_proj.qweight": torch.zeros(3, dtype=torch.int32),
        "model.layers.0.mlp.up_proj.scales": torch.zeros(5, dtype=torch.float16),
        "model.layers.0.mlp.up_proj.qzeros": torch.zeros(2, dtype=torch.int32),
        "model.norm.weight": torch.zeros(4),
    }
    files = [tmp_path / "model.safetensors", tmp_path / "config.json"]
    save_file(tensors, files[0])
    files[1].write_text('{"a": 1}')
    (tmp_path / "tokenizer.json").write_text("long" * 100)
    found = measure.split_bytes(tmp_path)
    assert found["embedding"] == 80 and found["scales"] == 18 and found["body"] == 12 + 16
    assert sum(found.values()) == sum(f.stat().st_size for f in files)
