"""Laws of GPTQ and round-to-nearest, their equality with auto-gptq, damping, names."""

import pytest
import torch

from qlab.core.errors import QlabError
from qlab.language import auto_gptq_compat, gptq_format, methods


def linear(rows=64, columns=128, seed=0) -> torch.nn.Linear:
    layer = torch.nn.Linear(columns, rows, bias=False)
    layer.weight.data = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    return layer.requires_grad_(False)


def inputs(columns=128, tokens=400, seed=1) -> torch.Tensor:
    """Correlated, as a network's are: [1, tokens, columns] of rank columns / 4 and some noise."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns // 4, columns, generator=random)
    signal = torch.randn(tokens, columns // 4, generator=random) @ mixing
    return (signal + 0.3 * torch.randn(tokens, columns, generator=random))[None]


def quantized(name: str, layer, x):
    method = methods.method(name)
    observer = method.observe(layer)
    if method.needs_inputs:
        observer.add_batch(x, layer(x))
    return method.quantize(layer, observer)


def output_error(dense, layer, x) -> float:
    return float(((dense - layer.weight) @ x[0].T).pow(2).sum())


@pytest.mark.parametrize("bits", gptq_format.BITS)
def test_gptq_is_no_worse_than_rounding_on_its_own_objective(bits):
    layer, x = linear(), inputs()
    ours = output_error(quantized(f"gptq_w{bits}_g64", layer, x).dense, layer, x)
    nearest = output_error(quantized(f"rtn_w{bits}_g64", layer, x).dense, layer, x)
    assert ours < 0.7 * nearest
    assert torch.equal(layer.weight, linear().weight)  # the layer itself is not changed


@pytest.mark.parametrize("bits", gptq_format.BITS)
def test_with_an_identity_hessian_gptq_is_rounding(bits):
    layer = linear()
    method = methods.method(f"gptq_w{bits}_g64")
    observer = method.observe(layer)
    observer.H, observer.nsamples = torch.eye(128), 1
    found = method.quantize(layer, observer)
    expected = quantized(f"rtn_w{bits}_g64", layer, None)
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor)
    torch.testing.assert_close(found.dense, expected.dense, rtol=0, atol=0)


@pytest.mark.parametrize("bits", gptq_format.BITS)
def test_rounding_is_off_by_half_a_step_at_most_and_stays_when_done_again(bits):
    layer = linear()
    first = quantized(f"rtn_w{bits}_g128", layer, None)
    scale = first.tensors["scales"].float().t()
    off = (first.dense - layer.weight).abs()
    # The topmost level is one short of symmetric: there a weight may be off by a whole step.
    inside = layer.weight < scale * (2 ** (bits - 1) - 0.5)
    assert (off <= 0.501 * scale)[inside].all() and (off <= 1.002 * scale).all()
    levels = gptq_format.integers(first.tensors["qweight"], bits)
    if (levels == 0).any(0).all():  # else the grid of the rounded weights is another one
        layer.weight.data = first.dense
        again = quantized(f"rtn_w{bits}_g128", layer, None)
        assert torch.equal(again.tensors["qweight"], first.tensors["qweight"])


def test_a_hessian_that_is_not_positive_definite_is_damped_more_and_it_is_said(monkeypatch):
    layer, method = linear(), methods.method("gptq_w4_g64")
    observer, given = method.observe(layer), []
    fasterquant = type(observer).fasterquant

    def recorded(self, **settings):
        given.append((settings["percdamp"], self.H.diagonal().clone()))
        return fasterquant(self, **settings)

    monkeypatch.setattr(type(observer), "fasterquant", recorded)
    observer.H, observer.nsamples = torch.eye(128), 1
    observer.H[7, 8] = observer.H[8, 7] = 1.05  # smallest eigenvalue -0.05
    kept = observer.H.clone()
    assert method.quantize(layer, observer).damping == pytest.approx(0.1)
    assert [damping for damping, _ in given] == pytest.approx([0.01, 0.1])
    assert all((diagonal == 1).all() for _, diagonal in given)  # undamped each time
    observer = method.observe(layer)
    observer.H, observer.nsamples = kept, 1
    observer.H[7, 8] = observer.H[8, 7] = 50.0
    with pytest.raises(QlabError, match="not positive definite, even damped by 10 times"):
        method.quantize(layer, observer)


def test_inputs_that_are_always_zero_do_no_harm():
    layer, x = linear(), inputs()
    x[..., 5] = 0
    assert torch.isfinite(quantized("gptq_w4_g64", layer, x).dense).all()


@pytest.mark.parametrize("bits", gptq_format.BITS)
def test_the_grid_is_auto_gptqs(bits):
    layer, x = linear(), inputs()
    theirs = auto_gptq_compat.gptq()(torch.nn.Linear(128, 64, bias=False))
    theirs.layer.weight.data = layer.weight.data.clone()
    theirs.quantizer.configure(bits, perchannel=True, sym=True, mse=False)
    theirs.add_batch(x, layer(x))
    with torch.no_grad(), auto_gptq_compat.quantizing():
        theirs.fasterquant(percdamp=0.01, group_size=64)
    ours = quantized(f"gptq_w{bits}_g64", layer, x).dense
    assert torch.equal(ours, theirs.layer.weight)


def test_folders_of_other_makers_are_read_or_refused(tmp_path):
    found = methods.stored({"quant_method": "gptq", "bits": 4, "group_size": 32}, tmp_path)
    assert (found.bits, found.group_size) == (4, 32)
    assert methods.stored(methods.method("bnb_nf4").config(), tmp_path).name == "bnb_nf4"
    for settings in (
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "gptq", "checkpoint_format": "gptq_v2", "bits": 4, "group_size": 64},
    ):
        with pytest.raises(QlabError, match="in a way that qlab does not read"):
            methods.stored(settings, tmp_path)
