"""Relative output errors against the layers themselves, and their order over bits."""

import pytest
import tiny_llama
import torch

from qlab.language import layer_errors, llama, methods, streaming

PASSAGES = tiny_llama.PASSAGES
VARIANTS = ("rtn_w8_g64", "rtn_w4_g64", "rtn_w2_g64", "gptq_w2_g64", "bnb_nf4")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny_llama.write(folder / "float", hidden_size=64, intermediate_size=192)
    for name in VARIANTS:
        streaming.quantize_folder(folder / "float", methods.method(name), PASSAGES, folder / name)
    return folder


@pytest.fixture(scope="module")
def table(folders):
    quantized = {name: folders / name for name in VARIANTS}
    return layer_errors.layer_errors(folders / "float", quantized, PASSAGES)


@pytest.mark.parametrize("kind", llama.LINEARS)
def test_the_error_is_that_of_the_outputs_of_the_float_models_layer(folders, table, kind):
    """Found with the whole float model in memory and a hook, without any Hessian."""
    name = f"layers.1.{kind}"
    model, other = llama.load(folders / "float"), streaming.load_dense(folders / "rtn_w2_g64")
    weight = model.model.get_submodule(name).weight
    wrong = other.model.get_submodule(name).weight
    seen = []
    model.model.get_submodule(name).register_forward_pre_hook(lambda m, x: seen.append(x[0][0]))
    with torch.no_grad():
        for tokens in PASSAGES:
            model(torch.tensor([tokens]))
        x = torch.cat(seen).double()
        expected = (x @ (wrong - weight).double().T).norm() / (x @ weight.double().T).norm()
    [row] = table[
        (table.layer == 1) & (table.linear == kind) & (table.variant == "rtn_w2_g64")
    ].index
    assert table.relative_error[row] == pytest.approx(float(expected), rel=1e-3)


def test_fewer_bits_err_more_and_gptq_less_than_rounding(table):
    mean = table.groupby("variant").relative_error.mean()
    assert mean["rtn_w8_g64"] < 0.02 < mean["rtn_w4_g64"] < 0.2 < mean["rtn_w2_g64"]
    assert mean["gptq_w2_g64"] < mean["rtn_w2_g64"]
    assert 0.02 < mean["bnb_nf4"] < 0.2


def test_no_change_is_no_error_and_a_dead_layer_has_none():
    weight, hessian = torch.randn(3, 4), torch.eye(4)
    assert layer_errors.relative_error(weight, weight.clone(), hessian) == 0
    assert layer_errors.relative_error(weight, 2 * weight, hessian) == pytest.approx(1)
    assert layer_errors.relative_error(0 * weight, weight, hessian) == 0
