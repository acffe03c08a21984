"""Relative output errors against the layers themselves, and their order over bits."""

import pytest
import tiny_llama
import torch

from qlab.language import decoder, layer_errors, streaming
from qlab.language.gptq import Gptq, RoundToNearest

PASSAGES = tiny_llama.PASSAGES
MADE = {f"rtn_w{bits}_g64": RoundToNearest(bits, 64) for bits in (8, 4, 2)}
MADE |= {"gptq_w2_g64": Gptq(2, 64)}


@pytest.fixture(scope="module")
def folders(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    for name, method in MADE.items():
        (folder / name).mkdir()
        streaming.quantize_folder(source, method, PASSAGES, folder / name)
    nf4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    tiny_llama.bitsandbytes(source, folder / "bnb_nf4", **nf4)
    return {name: folder / name for name in [*MADE, "bnb_nf4"]}


@pytest.fixture(scope="module")
def table(source, folders):
    return layer_errors.layer_errors(source, folders, PASSAGES)


@torch.no_grad()
def test_the_error_is_that_of_the_outputs_of_the_float_models_layer(source, folders, table):
    """Found with the whole float model in memory and hooks, without any Hessian."""
    model, other = decoder.load(source), streaming.load_dense(folders["rtn_w2_g64"])
    linears, seen = decoder.linears(decoder.blocks(model)[1][1]), {}
    for name, linear in linears.items():
        seen[name] = []
        linear.register_forward_pre_hook(lambda _, x, to=seen[name]: to.append(x[0][0]))
    for tokens in PASSAGES:
        model(torch.tensor([tokens]))
    rows = table[(table.layer == 1) & (table.variant == "rtn_w2_g64")].set_index("linear")
    assert len(linears) == len(rows) == 7
    for name, linear in linears.items():
        x, weight = torch.cat(seen[name]).double(), linear.weight.double()
        wrong = other.get_submodule(f"model.layers.1.{name}").weight
        expected = (x @ (wrong - weight).double().T).norm() / (x @ weight.T).norm()
        assert rows.relative_error[name] == pytest.approx(float(expected), rel=1e-3)


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
