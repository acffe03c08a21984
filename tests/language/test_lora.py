"""LoRA recovery on a tiny Llama: what is trained and what not, and what happens after a kill."""

import pytest
import tiny_llama
import torch
from safetensors.torch import load_file

from qlab.language import gptq, lora, streaming

SETTINGS = {"steps": 30, "rank": 4, "rate": 1e-2, "batch": 4, "seed": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of two layers, rounded to 2 bits."""
    place = tmp_path_factory.mktemp("lora")
    tiny_llama.write(
        place / "float", hidden_size=64, intermediate_size=128, max_position_embeddings=32
    )
    nearest = gptq.METHODS["rtn_w2_g64"]
    streaming.quantize_folder(place / "float", nearest, [], place / "quantized")
    return place / "quantized"


@pytest.fixture(scope="module")
def passages():
    """Counting from some number, in steps of one: easily learned; lengths differ."""
    return [[(start + i) % 64 for i in range(10 + start % 7)] for start in range(0, 60, 2)]


@pytest.fixture(scope="module")
def recovered(folder, passages, tmp_path_factory):
    target = tmp_path_factory.mktemp("recovered") / "adapter"
    return target, lora.recover(folder, passages, target, **SETTINGS)


def test_the_loss_falls_and_passages_are_told_better(folder, passages, recovered):
    target, cost = recovered
    assert len(cost.losses) == 30
    assert sum(cost.losses[-5:]) < 0.9 * sum(cost.losses[:5])
    tokens = torch.tensor([passages[3][:10]])
    with torch.no_grad():
        before, after = (
            float(model(tokens, labels=tokens).loss)
            for model in (streaming.load_dense(folder), lora.load(folder, target))
        )
    assert after < before - 0.3


def test_the_cost_counts_every_linear_layer(recovered):
    target, cost = recovered
    widths = [(64, 64), (64, 32), (64, 32), (64, 64), (64, 128), (64, 128), (128, 64)]
    assert cost.parameters == 2 * 4 * sum(columns + rows for columns, rows in widths)
    assert cost.adapter_bytes == (target / "adapter_model.safetensors").stat().st_size
    assert cost.adapter_bytes >= 4 * cost.parameters
    assert cost.train_seconds > 0
    assert lora.cost(target) == cost


def test_a_killed_run_ends_with_the_same_adapter(
    folder, passages, recovered, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def killed_at_17(steps):
        for step in steps:
            if step == 17:
                raise Killed
            yield step

    monkeypatch.setattr(lora, "EVERY", 5)
    target = tmp_path / "adapter"
    with pytest.raises(Killed):
        lora.recover(folder, passages, target, progress=killed_at_17, **SETTINGS)
    assert not target.exists()
    done = []
    cost = lora.recover(
        folder, passages, target, progress=lambda s: (done.append(i) or i for i in s), **SETTINGS
    )
    assert done == list(range(15, 30))  # from the checkpoint of step 15, not from the start
    assert cost.losses == recovered[1].losses
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    ours, theirs = (load_file(t / "adapter_model.safetensors") for t in (target, recovered[0]))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_padding_does_not_change_the_loss(folder, passages):
    model = lora._with_adapter(streaming.load_dense(folder), rank=4, seed=0)
    short, long = passages[0], passages[3]
    with torch.no_grad():
        apart = [float(lora._loss(model, [p])) * (len(p) - 1) for p in (short, long)]
        together = float(lora._loss(model, [short, long]))
    assert len(short) != len(long)
    assert together == pytest.approx(sum(apart) / (len(short) + len(long) - 2), rel=1e-5)
