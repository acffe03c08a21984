"""Packing and unpacking are inverse; what cannot be packed is refused, what went wrong is seen."""

import numpy as np
import pytest
import torch

from qlab.core.errors import QlabError
from qlab.language import gptq


def on_a_grid(bits: int, rows=32, columns=128, group_size=64, seed=0):
    """Random integers, float16 scales, zero-points and the weights [rows, columns] they make."""
    random = torch.Generator().manual_seed(seed)
    groups = columns // group_size
    levels = torch.randint(0, 2**bits, (rows, columns), generator=random)
    zeros = torch.randint(1, 2**bits, (rows, groups), generator=random).float()
    scales = (torch.rand(rows, groups, generator=random) * 0.01 + 0.001).half().float()
    wide = [t.repeat_interleave(group_size, 1) for t in (scales, zeros)]
    return levels, scales, zeros, wide[0] * (levels - wide[1])


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_what_is_packed_is_read_back_exactly(bits):
    levels, scales, zeros, weight = on_a_grid(bits)
    tensors = gptq.pack(weight, scales, zeros, bits, 64)
    assert tensors["qweight"].shape == (128 * bits // 32, 32)
    assert tensors["qzeros"].shape == (2, bits)
    assert {n: t.dtype for n, t in tensors.items()} == {
        "qweight": torch.int32, "qzeros": torch.int32, "scales": torch.float16,
        "g_idx": torch.int32,
    }  # fmt: skip
    assert torch.equal(gptq.integers(tensors["qweight"], bits), levels.t().int())
    torch.testing.assert_close(gptq.unpack(tensors, bits), weight, rtol=1e-6, atol=0)
    gptq.check_packed(tensors, weight, bits)


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_numbers_lie_one_after_another_lowest_bits_first(bits):
    numbers = np.random.default_rng(0).integers(0, 2**bits, 64)
    stream = sum(int(n) << (bits * i) for i, n in enumerate(numbers))
    words = np.frombuffer(stream.to_bytes(8 * bits, "little"), "<i4").copy()
    found = gptq.integers(torch.from_numpy(words)[:, None], bits)
    assert found[:, 0].tolist() == numbers.tolist()


def test_a_zero_point_of_0_is_refused():
    _, scales, zeros, weight = on_a_grid(2)
    zeros[3, 1] = 0
    with pytest.raises(QlabError, match=r"zero-points of 1 to 4 in 2 bits; these are 0 to"):
        gptq.pack(weight, scales, zeros, 2, 64)


@pytest.mark.parametrize("bits", (2, 3, 4, 8))
def test_scales_that_float16_rounds_are_within_the_tolerance_and_a_wrong_integer_is_not(bits):
    levels, scales, zeros, _ = on_a_grid(bits)
    scales = scales * 1.0003  # between two float16 numbers
    wide = [t.repeat_interleave(64, 1) for t in (scales, zeros)]
    weight = wide[0] * (levels - wide[1])
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
def test_scales_beyond_float16_are_seen(factor):
    _, scales, zeros, weight = on_a_grid(4)
    tensors = gptq.pack(weight * factor, scales * factor, zeros, 4, 64)
    with pytest.raises(QlabError, match="read back otherwise"):
        gptq.check_packed(tensors, weight * factor, 4)
