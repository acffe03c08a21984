"""Errors of layers, outlier channels and bytes by part, against layers and files themselves."""

import pytest
import tiny_llama
import torch
from safetensors.torch import save_file
from scipy import stats

from qlab.language import decoder, layer_errors, outliers, sizes, streaming
from qlab.language.gptq import RoundToNearest

PASSAGES = tiny_llama.PASSAGES


@torch.no_grad()
def test_the_error_is_that_of_the_outputs_of_the_float_models_layer(source, made, tmp_path):
    """Found with the whole float model in memory and hooks, without any Hessian."""
    folders = {"rtn_w2_g64": made(RoundToNearest(2, 64)), "bnb_nf4": tmp_path / "nf4"}
    tiny_llama.bitsandbytes(source, folders["bnb_nf4"], load_in_4bit=True)
    table = layer_errors.layer_errors(source, folders, PASSAGES)
    model, seen = decoder.load(source), {}
    linears = decoder.linears(decoder.blocks(model)[1][1])
    for name, linear in linears.items():
        seen[name] = []
        linear.register_forward_pre_hook(lambda _, x, to=seen[name]: to.append(x[0][0]))
    for tokens in PASSAGES:
        model(torch.tensor([tokens]))
    for variant, folder in folders.items():
        other = streaming.load_dense(folder)
        rows = table[(table.layer == 1) & (table.variant == variant)].set_index("linear")
        assert len(linears) == len(rows) == 7
        for name, linear in linears.items():
            x, weight = torch.cat(seen[name]).double(), linear.weight.double()
            wrong = other.get_submodule(f"model.layers.1.{name}").weight
            expected = (x @ (wrong - weight).double().T).norm() / (x @ weight.T).norm()
            assert rows.relative_error[name] == pytest.approx(float(expected), rel=1e-3)


def test_a_layer_of_zeros_has_no_error():
    weight, hessian = torch.randn(3, 4), torch.eye(4)
    assert layer_errors.relative_error(weight, 2 * weight, hessian) == pytest.approx(1)
    assert layer_errors.relative_error(0 * weight, weight, hessian) == 0


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


def test_kurtosis_is_that_of_the_layers_weights_and_inputs(tmp_path):
    """Found with the whole model in memory and a hook; more where channels are spread."""
    model, found = tiny_llama.write(tmp_path), {}
    for strength in (0.0, 0.7):
        outliers.spread(model, 3, strength)
        model.save_pretrained(tmp_path)
        seen, layer = [], model.model.layers[1].mlp.down_proj
        hook = layer.register_forward_pre_hook(lambda _, x, kept=seen: kept.append(x[0].flatten()))
        for passage in tiny_llama.PASSAGES:
            tiny_llama.logits(model, passage)
        hook.remove()
        table = found[strength] = outliers.kurtoses(tmp_path, tiny_llama.PASSAGES)
        assert len(table) == 14
        row = table.set_index(["block", "linear"]).loc[(1, "mlp.down_proj")]
        assert row["weights"] == pytest.approx(
            stats.kurtosis(layer.weight.detach(), None), rel=1e-4
        )
        assert row["inputs"] == pytest.approx(stats.kurtosis(torch.cat(seen)), rel=1e-3)
    assert found[0.7]["weights"].mean() > 1 + found[0.0]["weights"].mean()


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
    found = sizes.split(tmp_path)
    assert found["embedding"] == 80 and found["scales"] == 18 and found["body"] == 12 + 16
    assert sum(found.values()) == sum(f.stat().st_size for f in files)
