"""Laws of GPTQ, of round-to-nearest and of their format; streaming against auto-gptq's own."""

import pytest
import tiny_llama
import torch

from qlab.core.errors import QlabError
from qlab.language import gptq, streaming
from qlab.language.gptq import Gptq, RoundToNearest

RANDOM = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(64, 128, generator=RANDOM)
# Inputs, correlated as a network's are: of rank 32, and some noise.
X = torch.randn(1, 400, 32, generator=RANDOM) @ torch.randn(32, 128, generator=RANDOM)
X += 0.3 * torch.randn(1, 400, 128, generator=RANDOM)


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_gptq_beats_rounding_and_with_an_identity_hessian_it_is_rounding(bits):
    weight, method = WEIGHT.clone(), Gptq(bits, 64)
    seen, blind = method.observe(weight), method.observe(weight)
    seen.add_batch(X, None)
    blind.H, blind.nsamples = torch.eye(128), 1
    nearest = RoundToNearest(bits, 64).quantize(weight)
    made = [method.quantize(weight, seen).dense, nearest.dense]
    ours, theirs = (((dense - weight) @ X[0].T).pow(2).sum() for dense in made)
    assert ours < 0.7 * theirs
    found = method.quantize(weight, blind)
    assert torch.equal(found.dense, nearest.dense) and torch.equal(weight, WEIGHT)
    for name, tensor in nearest.tensors.items():
        assert torch.equal(found.tensors[name], tensor)


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_rounding_is_off_by_half_a_step_at_most_and_stays_when_done_again(bits):
    method = RoundToNearest(bits, 128)
    first = method.quantize(WEIGHT)
    scale = first.tensors["scales"].float().t()
    off = (first.dense - WEIGHT).abs()
    # The topmost level is one short of symmetric: there a weight may be off by a whole step.
    inside = scale * (2 ** (bits - 1) - 0.5) > WEIGHT
    assert (off <= 0.501 * scale)[inside].all() and (off <= 1.002 * scale).all()
    levels = gptq.integers(first.tensors["qweight"], bits)
    if (levels == 0).any(0).all():  # else the grid of the rounded weights is another one
        again = method.quantize(first.dense)
        assert torch.equal(again.tensors["qweight"], first.tensors["qweight"])


def test_inputs_that_overflowed_or_contradict_each_other():
    method = Gptq(4, 64)
    infinite, indefinite = method.observe(WEIGHT), method.observe(WEIGHT)
    infinite.add_batch(torch.full((1, 5, 128), float("inf")), None)
    indefinite.add_batch(X, None)
    indefinite.H[7, 8] = indefinite.H[8, 7] = 1e4
    for observer, sentence in (
        (infinite, "inputs of a layer overflowed"),
        (indefinite, "no positive definite Hessian: they are too few"),
    ):
        with pytest.raises(QlabError, match=sentence):
            method.quantize(WEIGHT, observer)


def on_a_grid(bits: int, factor: float = 1):
    """Random integers, scales in float16 times a factor, zero-points and the weights [32, 128]
    that they make."""
    random = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 2**bits, (32, 128), generator=random)
    zeros = torch.randint(1, 2**bits, (32, 2), generator=random).float()
    scales = (torch.rand(32, 2, generator=random) * 0.01 + 0.001).half().float() * factor
    wide = [t.repeat_interleave(64, 1) for t in (scales, zeros)]
    return levels, scales, zeros, wide[0] * (levels - wide[1])


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_what_is_packed_is_read_back_exactly(bits):
    levels, scales, zeros, weight = on_a_grid(bits)
    tensors = gptq.pack(weight, scales, zeros, bits, 64)
    assert tensors["scales"].dtype == torch.float16
    assert torch.equal(gptq.integers(tensors["qweight"], bits), levels.t().int())
    torch.testing.assert_close(gptq.unpack(tensors, bits), weight, rtol=1e-6, atol=0)
    gptq.check_packed(tensors, weight, bits)


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_scales_that_float16_rounds_are_within_the_tolerance_and_a_wrong_integer_is_not(bits):
    _, scales, zeros, weight = on_a_grid(bits, 1.0003)  # between two float16 numbers
    tensors = gptq.pack(weight, scales, zeros, bits, 64)
    gptq.check_packed(tensors, weight, bits)
    tensors["qweight"][5, 7] ^= 1
    with pytest.raises(QlabError, match=f"1 of {weight.numel()} weights, packed to {bits} bits"):
        gptq.check_packed(tensors, weight, bits)


def test_integers_fit_the_scale_as_it_is_stored():
    """A tiny scale loses 0.7 % in float16, which makes 200 steps from zero more than 201."""
    levels, scales, zeros, _ = on_a_grid(8)
    scales[:], zeros[:] = 60.4 * 2**-24, 128
    weight = scales[0, 0] * (levels - 128)
    found = gptq.unpack(gptq.pack(weight, scales, zeros, 8, 64), 8)
    steps = (found - weight).abs() / scales[0, 0]
    within = (levels > 1) & (levels < 254)
    assert steps[within].max() < 0.51 and steps.max() < 1.02  # the outermost have nowhere to go


@pytest.mark.parametrize("factor", [1e-8, 1e9])
def test_scales_beyond_float16_and_zero_points_of_0_are_refused(factor):
    _, scales, zeros, weight = on_a_grid(2, factor)
    tensors = gptq.pack(weight, scales, zeros, 2, 64)
    with pytest.raises(QlabError, match="read back otherwise"):
        gptq.check_packed(tensors, weight, 2)
    zeros[3, 1] = 0
    with pytest.raises(QlabError, match=r"zero-points of 1 to 4 in 2 bits; these are 0 to"):
        gptq.pack(weight, scales, zeros, 2, 64)


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_streaming_packs_what_auto_gptq_packs(source, made, bits, monkeypatch):
    ours = tiny_llama.stored(made(Gptq(bits, 64)))
    auto_gptq = gptq.library()
    from auto_gptq.modeling.llama import LlamaGPTQForCausalLM

    for module in (auto_gptq.modeling._base, auto_gptq.modeling._utils):  # it knows only a GPU
        monkeypatch.setattr(module, "CUDA_0", torch.device("cpu"))
    settings = auto_gptq.BaseQuantizeConfig(bits=bits, group_size=64, desc_act=False)
    whole = LlamaGPTQForCausalLM(streaming.load_dense(source), False, settings)
    rows = [torch.tensor([p]) for p in tiny_llama.PASSAGES]
    examples = [{"input_ids": r, "attention_mask": torch.ones_like(r)} for r in rows]
    with gptq.without_cuda():
        whole.quantize(examples, batch_size=1)
    packed = {n: t for n, t in whole.model.state_dict().items() if n.startswith("model.layers")}
    compared = [name for name in packed if name in ours]
    assert sum(name.endswith("qweight") for name in compared) == 14
    for name in compared:
        assert torch.equal(ours[name], packed[name].to(ours[name].dtype)), name
    # Theirs alone has a bias of zeros for each layer.
    assert {name.rpartition(".")[2] for name in packed.keys() - ours.keys()} == {"bias"}


def test_work_that_cannot_be_done_names_the_layer(made):
    with pytest.raises(QlabError, match="q_proj: GPTQ needs inputs to calibrate on"):
        made(Gptq(4, 64), [])
    with pytest.raises(QlabError, match="up has 172 outputs and"):
        RoundToNearest(4, 64).check({"up": (172, 64)})
    with pytest.raises(QlabError, match="up has 96 inputs and 30 outputs. Take 8 bits"):
        streaming.check_four_bits({"fine": (32, 64), "up": (30, 96)})
