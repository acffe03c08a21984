"""Laws of notebook 00's arithmetic, and its agreement with what it stands for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize

from qlab.by_hand import data, gptq, training
from qlab.by_hand import grid as by_hand
from qlab.by_hand.grid import Grid
from qlab.core.errors import QlabError
from qlab.files import embedded
from qlab.images import shapes32

MODELS = ("resnet8_shapes32", "resnet20_shapes32")
BITS = (2, 3, 4, 5, 6, 7, 8)
matrices = arrays(np.float64, (3, 5), elements=st.floats(-9, 9, width=32))
schemes = st.sampled_from(sorted(by_hand.SCHEMES))


@pytest.fixture(scope="module", params=MODELS)
def real(request):
    """The layer's weights and its inputs' moments, of calibration images and of others."""
    seen, other = (
        data.moments(data.patches(shapes32.kept(split, 24).images)).mean(0)
        for split in ("calibration", "test")
    )
    return data.first_layer(request.param).weight, seen, other


@given(matrices, schemes, st.sampled_from(BITS), st.booleans(), st.floats(0.3, 1))
def test_a_weight_moves_by_half_a_step_and_what_is_on_the_grid_stays(w, scheme, bits, own, clip):
    grid = by_hand.SCHEMES[scheme](w, bits, own, clip)
    once, kept = by_hand.round_trip(w, grid), by_hand.inside(w, grid)
    moved = np.abs(once - w)
    assert (moved <= grid.scale * 0.5000001)[kept].all()
    assert (moved >= grid.scale * 0.4999999)[~kept].all() and (kept.all() or clip < 1)
    assert np.array_equal(by_hand.quantize(once, grid), by_hand.quantize(w, grid))
    assert (by_hand.round_trip(np.zeros_like(w), grid) == 0).all()
    assert (np.abs(once[:, :, None] - grid.levels()[:, None]).min(-1) == 0).all()


@given(matrices, schemes, st.sampled_from(BITS))
def test_signs_are_alike_and_a_channels_step_is_never_wider_than_the_tensors(w, scheme, bits):
    there, back = (by_hand.round_trip(s * w, by_hand.symmetric(w, bits)) for s in (1, -1))
    assert np.array_equal(there, -back)
    w[:, 0] = 1  # a row of zeros has an arbitrary step
    make = by_hand.SCHEMES[scheme]
    assert (make(w, bits, True).scale <= make(w, bits).scale * 1.0000001).all()


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
    for wrong in ((1,), (4, True, 0)):
        with pytest.raises(QlabError, match="bits; 1 were|above 0 to 1; not 0"):
            by_hand.asymmetric(weight, *wrong)
    clipped = np.array([[-3.0, -1.2, 0.3, 1.2, 1.3]])
    grid = Grid(np.array([[0.5]]), np.array([[0.0]]), -2, 2)
    found = training.straight_through(clipped, np.full((1, 5), 2.0), grid)
    assert found.tolist() == [[0, 2, 2, 2, 0]]


def test_the_output_error_is_that_of_the_outputs(real):
    weight, patches = real[0], data.patches(shapes32.kept("test", 2).images)
    other = by_hand.round_trip(weight, by_hand.symmetric(weight, 3))
    x = patches.reshape(-1, 27)
    direct = np.sqrt((((other - weight) @ x.T) ** 2).sum() / ((weight @ x.T) ** 2).sum())
    found = by_hand.output_error(weight, other, data.moments(patches).mean(0))
    assert found == pytest.approx(direct)


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
    assert np.array_equal(gptq.gptq(weight, np.eye(27), grid), nearest)


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


def test_straight_through_learns_down_the_losss_own_gradient(real):
    weight, seen, other = real
    for bits in (2, 3, 4):
        grid = by_hand.symmetric(weight, bits, per_channel=True)
        trained, nearest = training.train(weight, seen, grid), by_hand.round_trip(weight, grid)
        assert np.array_equal(trained.weight, by_hand.round_trip(trained.latent, grid))
        assert len(trained.errors) == 301 and trained.errors[-1] < 0.6 * trained.errors[0]
        judged = [by_hand.output_error(weight, m, other) for m in (trained.weight, nearest)]
        assert judged[0] < 0.6 * judged[1]

    def loss(flat):
        return by_hand.energy(flat.reshape(weight.shape) - weight, seen) / 2

    slope = optimize.approx_fprime(nearest.ravel(), loss, 1e-6).reshape(weight.shape)
    latent = training.train(weight, seen, grid, steps=1).latent
    wanted = weight - 0.05 / np.linalg.eigvalsh(seen)[-1] * slope
    np.testing.assert_allclose(latent, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_the_matrix_computes_what_the_networks_first_layer_does():
    from qlab.classifier.model import keras
    from qlab.tflite.tf import tf

    model, images = MODELS[0], shapes32.kept("test", 3).images
    network = keras.models.load_model(embedded.model_folder(model) / "weights.h5")
    first = keras.Model(network.input, network.get_layer("stem_relu1").output)
    theirs = first(tf.constant(images, tf.float32)).numpy().reshape(3, -1, 16)
    layer = data.first_layer(model)
    np.testing.assert_allclose(layer.outputs(data.patches(images)), theirs, rtol=1e-4, atol=1e-4)
