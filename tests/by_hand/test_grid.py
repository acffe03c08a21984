"""Laws of notebook 00's arithmetic, and its agreement with what it stands for."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qlab.by_hand import data, gptq, training
from qlab.by_hand import grid as by_hand
from qlab.by_hand.grid import Grid
from qlab.core import embedded, shapes32
from qlab.core.errors import QlabError

MODELS = ("resnet8_shapes32", "resnet20_shapes32")
BITS = (2, 3, 4, 5, 6, 7, 8)
matrices = arrays(np.float64, (3, 5), elements=st.floats(-9, 9, width=32))
grids = {
    "scheme": st.sampled_from(sorted(by_hand.SCHEMES)),
    "bits": st.sampled_from(BITS),
    "per_channel": st.booleans(),
    "clip": st.floats(0.3, 1),
}


@pytest.fixture(scope="module", params=MODELS)
def real(request):
    """The layer's weights and its inputs' moments, of calibration images and of others."""
    seen, other = (
        data.moments(data.patches(shapes32.kept(split, 24).images)).mean(0)
        for split in ("calibration", "test")
    )
    return data.first_layer(request.param).weight, seen, other


# The grid


@settings(deadline=None)
@given(weight=matrices, **grids)
def test_inside_the_range_a_weight_moves_by_half_a_step_at_most(
    weight, scheme, bits, per_channel, clip
):
    grid = by_hand.SCHEMES[scheme](weight, bits, per_channel, clip)
    moved = np.abs(by_hand.round_trip(weight, grid) - weight)
    kept = by_hand.inside(weight, grid)
    assert (moved <= grid.scale * 0.5000001)[kept].all()
    assert (moved >= grid.scale * 0.4999999)[~kept].all()
    if clip == 1:
        assert kept.all()


@settings(deadline=None)
@given(weight=matrices, **grids)
def test_what_is_on_the_grid_stays_and_zero_is_on_it(weight, scheme, bits, per_channel, clip):
    grid = by_hand.SCHEMES[scheme](weight, bits, per_channel, clip)
    once = by_hand.round_trip(weight, grid)
    assert np.array_equal(by_hand.quantize(once, grid), by_hand.quantize(weight, grid))
    assert (by_hand.round_trip(np.zeros_like(weight), grid) == 0).all()
    assert (np.abs(once[:, :, None] - grid.levels()[:, None]).min(-1) == 0).all()


@given(weight=matrices, bits=st.sampled_from(BITS))
def test_the_symmetric_grid_treats_both_signs_alike(weight, bits):
    there, back = (by_hand.round_trip(s * weight, by_hand.symmetric(weight, bits)) for s in (1, -1))
    assert np.array_equal(there, -back)


@settings(deadline=None)
@given(weight=matrices, scheme=grids["scheme"], bits=grids["bits"])
def test_a_channels_own_step_is_never_wider_than_the_tensors(weight, scheme, bits):
    weight[:, 0] = 1  # a row of zeros has an arbitrary step
    make = by_hand.SCHEMES[scheme]
    assert (make(weight, bits, True).scale <= make(weight, bits).scale * 1.0000001).all()


def test_known_numbers():
    weight = np.array([[-0.9, 0.0, 0.31, 1.5]])
    grid = by_hand.asymmetric(weight, 4)
    assert (grid.scale.item(), grid.zero.item()) == (pytest.approx(0.16), 6)
    assert by_hand.quantize(weight, grid).tolist() == [[0, 6, 8, 15]]
    grid = by_hand.symmetric(weight, 3)
    assert grid.scale.item() == 0.5 and grid.levels().tolist() == [[-1.5, -1, -0.5, 0, 0.5, 1, 1.5]]
    assert by_hand.quantize(weight, grid).tolist() == [[-2, 0, 1, 3]]
    for sign, zero in ((1, 0), (-1, 255)):  # a range that leaves out zero is stretched to it
        grid = by_hand.asymmetric(sign * np.array([[3.0, 5.0]]), 8)
        assert grid.zero.item() == zero and {0, 5 * sign} == set(grid.levels()[0, [0, -1]])


@pytest.mark.parametrize("make", by_hand.SCHEMES.values())
def test_what_cannot_be_quantized_gets_a_sentence(make):
    fine = np.ones((2, 2))
    assert (by_hand.round_trip(0 * fine, make(0 * fine, 4, True)) == 0).all()
    for arguments, told in (
        ((fine, 1), "2 to 16 bits; 1 were"),
        ((fine, 4, True, 0), "above 0 to 1; not 0"),
        ((fine[0], 4), r"the shape \(2,\)"),
        ((fine * np.nan, 4), "infinite or not a number"),
    ):
        with pytest.raises(QlabError, match=told):
            make(*arguments)


@pytest.mark.parametrize("scheme", sorted(by_hand.SCHEMES))
def test_on_the_real_layer_per_channel_is_nearer_and_a_bit_halves_the_error(real, scheme):
    weight, make = real[0], by_hand.SCHEMES[scheme]
    made = [[by_hand.round_trip(weight, make(weight, b, p)) for b in BITS] for p in (False, True)]
    shared, own = np.array([[by_hand.weight_error(weight, one) for one in part] for part in made])
    assert (own < shared).all()
    ratios = own[1:] / own[:-1]
    assert (ratios > 0.3).all() and (ratios < 0.56).all()


def test_the_output_error_is_that_of_the_outputs(real):
    import torch

    from qlab.language import layer_errors

    weight = real[0]
    other = by_hand.round_trip(weight, by_hand.symmetric(weight, 3))
    patches = data.patches(shapes32.kept("test", 2).images)
    moments = data.moments(patches)
    assert moments.shape == (2, 27, 27)
    x = patches.reshape(-1, 27)
    direct = np.sqrt((((other - weight) @ x.T) ** 2).sum() / ((weight @ x.T) ** 2).sum())
    found = by_hand.output_error(weight, other, moments.mean(0))
    assert found == pytest.approx(direct)
    theirs = layer_errors.relative_error(
        *(torch.tensor(matrix) for matrix in (weight, other, moments.mean(0)))
    )
    assert found == pytest.approx(theirs)


# GPTQ


def test_with_an_identity_hessian_gptq_is_rounding(real):
    weight = real[0]
    grid = by_hand.symmetric(weight, 3, per_channel=True)
    found = gptq.gptq(weight, np.eye(27), grid)
    assert np.array_equal(found, by_hand.round_trip(weight, grid))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("scheme", sorted(by_hand.SCHEMES))
def test_gptq_beats_rounding_on_its_objective_and_on_other_images(real, bits, per_channel, scheme):
    weight, seen, other = real
    grid = by_hand.SCHEMES[scheme](weight, bits, per_channel)
    nearest, chosen = by_hand.round_trip(weight, grid), gptq.gptq(weight, seen, grid)
    for moments in (seen, other):
        ours, theirs = (by_hand.output_error(weight, m, moments) for m in (chosen, nearest))
        assert ours < theirs
    assert by_hand.weight_error(weight, chosen) >= by_hand.weight_error(weight, nearest)
    assert (np.abs(chosen[:, :, None] - grid.levels()[:, None]).min(-1) == 0).all()


@pytest.mark.parametrize("bits", (8, 4, 3, 2))
def test_gptq_is_auto_gptqs(bits):
    import torch

    from qlab.language.gptq import Gptq

    torch.manual_seed(0)
    layer = torch.nn.Linear(128, 64, bias=False).requires_grad_(False)
    x = torch.randn(1, 400, 32) @ torch.randn(32, 128) + 0.3 * torch.randn(1, 400, 128)
    method = Gptq(bits, 128)
    observer = method.observe(layer.weight)
    observer.add_batch(x, None)
    weight, moments = layer.weight.numpy().astype(float), observer.H.numpy().astype(float)
    high = 2**bits - 1  # auto-gptq's symmetric grid: all 2^bits levels, one more below 0 than above
    scale = 2 * np.abs(weight).max(1, keepdims=True) / high
    ours = gptq.gptq(weight, moments, Grid(scale, np.full_like(scale, 2 ** (bits - 1)), 0, high))
    theirs = method.quantize(layer.weight, observer).dense.numpy()
    same = np.isclose(ours, theirs, rtol=0, atol=1e-3 * scale).mean()
    assert same > 0.98  # theirs is float32: where a weight is on the edge, the two part
    errors = [by_hand.output_error(weight, m, moments) for m in (ours, theirs)]
    assert errors[0] == pytest.approx(errors[1], rel=0.02)


def test_one_weight_is_compensated_as_well_as_can_be(real):
    weight, moments, _ = real
    moved = gptq.compensate(weight[0], moments, 5, 0.25)
    free = np.delete(np.arange(27), 5)
    best = np.linalg.solve(moments[np.ix_(free, free)], moments[free, 5] * (weight[0, 5] - 0.25))
    assert moved[5] == pytest.approx(0.25)
    np.testing.assert_allclose(moved[free], weight[0, free] + best, rtol=1e-6, atol=1e-9)


# Training


def test_straight_through_learns_and_the_true_gradient_does_not(real):
    weight, seen, other = real
    for bits in (2, 3, 4):
        grid = by_hand.symmetric(weight, bits, per_channel=True)
        trained = training.train(weight, seen, grid)
        assert len(trained.errors) == 301
        assert np.array_equal(trained.weight, by_hand.round_trip(trained.latent, grid))
        assert trained.errors[-1] < 0.6 * trained.errors[0]
        nearest = by_hand.round_trip(weight, grid)
        judged = [by_hand.output_error(weight, m, other) for m in (trained.weight, nearest)]
        assert judged[0] < 0.6 * judged[1]
        stuck = training.train(weight, seen, grid, gradient=training.true_gradient, steps=5)
        assert np.array_equal(stuck.latent, weight) and len(set(stuck.errors)) == 1


def test_the_first_step_goes_down_the_losss_own_gradient(real):
    weight, moments, _ = real
    grid = by_hand.symmetric(weight, 3, per_channel=True)
    rounded = by_hand.round_trip(weight, grid)

    def loss(candidate):
        return by_hand.energy(candidate - weight, moments) / 2

    nudge, found = 1e-5, np.zeros_like(weight)
    for place in np.ndindex(weight.shape):
        step = np.zeros_like(weight)
        step[place] = nudge
        found[place] = (loss(rounded + step) - loss(rounded - step)) / (2 * nudge)
    rate = 0.05 / np.linalg.eigvalsh(moments)[-1]
    latent = training.train(weight, moments, grid, steps=1, rate=0.05).latent
    np.testing.assert_allclose(latent, weight - rate * found, rtol=1e-5, atol=1e-7)


def test_clipped_weights_get_no_gradient():
    grid = Grid(np.array([[0.5]]), np.array([[0.0]]), -2, 2)
    latent = np.array([[-3.0, -1.2, 0.3, 1.2, 1.3]])
    found = training.straight_through(latent, np.full((1, 5), 2.0), grid)
    assert found.tolist() == [[0, 2, 2, 2, 0]]


# The layer


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_matrix_computes_what_the_networks_first_layer_does(model):
    from qlab.classifier import resnet
    from qlab.core.tf import tf

    images = shapes32.kept("test", 3).images
    network = resnet.keras.models.load_model(embedded.resnet_file(model))
    first = resnet.keras.Model(network.input, network.get_layer("stem_relu1").output)
    theirs = first(tf.constant(images, tf.float32)).numpy().reshape(3, -1, 16)
    layer = data.first_layer(model)
    np.testing.assert_allclose(layer.outputs(data.patches(images)), theirs, rtol=1e-4, atol=1e-4)


def test_patches_are_the_neighbours_by_row_column_and_colour():
    images = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(1, 4, 4, 3)
    found = data.patches(images) * 255
    assert found.shape == (1, 16, 27)
    np.testing.assert_allclose(found[0, 5], images[0, :3, :3].ravel())
    assert (found[0, 0].reshape(3, 3, 3)[0] == 0).all()  # beyond the upper edge
    np.testing.assert_allclose(found[0, 0].reshape(3, 3, 3)[1, 1], images[0, 0, 0])


def test_the_notebooks_modules_pull_in_no_framework():
    code = "from qlab.by_hand import data, exercises, measure, plots, widgets\nimport sys\n"
    code += "data.prepare(data.Parameters(profile='smoke'))\n"
    code += "print({'tensorflow', 'torch', 'keras', 'tf_keras'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
