"""Adapters, trained by notebook 02's own cell on a tiny Llama; what happens after a kill."""

import nbformat
import pytest
import tiny_llama
import torch
from conftest import ROOT
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from qlab.core.errors import QlabError
from qlab.language import lora, streaming, training
from qlab.language.gptq import RoundToNearest
from qlab.language.training import NO_TARGET, Training

CELLS = nbformat.read(ROOT / "notebooks" / "02_compress_llama_with_gptq.ipynb", 4).cells
SETTINGS = {"steps": 30, "seed": 5, "where": ("float32", "cpu"), "rank": 4, "rate": 1e-2}


class Killed(BaseException):
    """What no code catches."""


def killed_at(last):
    """A progress bar during which the process dies."""

    def progress(steps):
        for step in steps:
            if step == last:
                raise Killed
            yield step

    return progress


def recover(folder, steps: Training) -> lora.Cost:
    """An adapter as the notebook trains it."""
    names = {"torch": torch, "streaming": streaming, "cross_entropy": cross_entropy}
    names |= {"LoraConfig": LoraConfig, "get_peft_model": get_peft_model}
    exec(next(c.source for c in CELLS if "def recover(" in c.source), names)
    return lora.save(names["recover"](folder, steps, **SETTINGS), steps)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of two layers, rounded to 2 bits."""
    place = tmp_path_factory.mktemp("lora")
    tiny_llama.write(
        place / "float", hidden_size=64, intermediate_size=128, max_position_embeddings=32
    )
    nearest = RoundToNearest(bits=2, group_size=64)
    (place / "quantized").mkdir()
    streaming.quantize_folder(place / "float", nearest, [], place / "quantized")
    return place / "quantized"


@pytest.fixture(scope="module")
def passages():
    """Counting from some number, in steps of one: easily learned; lengths differ."""
    return [[(start + i) % 64 for i in range(10 + start % 7)] for start in range(0, 60, 2)]


@pytest.fixture(scope="module")
def recovered(folder, passages, tmp_path_factory):
    target = tmp_path_factory.mktemp("recovered") / "adapter"
    return target, recover(folder, Training(target, passages))


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
    monkeypatch.setattr(training, "EVERY", 5)
    target, done = tmp_path / "adapter", []
    with pytest.raises(Killed):
        recover(folder, Training(target, passages, killed_at(17)))
    assert not target.exists()
    [kept] = tmp_path.iterdir()
    assert kept.stat().st_size < 5 * recovered[1].adapter_bytes  # no frozen weight is in it
    counted = Training(target, passages, lambda steps: (done.append(i) or i for i in steps))
    cost = recover(folder, counted)
    assert done == list(range(15, 30))  # from the checkpoint of step 15, not from the start
    assert cost.losses == recovered[1].losses
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    ours, theirs = (load_file(t / "adapter_model.safetensors") for t in (target, recovered[0]))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_padding_does_not_change_the_loss(folder, passages, tmp_path):
    model = streaming.load_dense(folder)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    chosen = [passages[0], passages[3]]

    def total(some) -> tuple[float, int]:
        steps = Training(tmp_path / "target", some)
        [(tokens, targets)] = steps.batches(model, optimizer, schedule, 1, 2, 0)
        with torch.no_grad():
            logits = model(tokens).logits.flatten(0, 1)
        loss = cross_entropy(logits, targets.flatten(), reduction="sum")
        return float(loss), int((targets != NO_TARGET).sum())

    apart = [total([passage]) for passage in chosen]
    loss, counted = total(chosen)
    assert len(set(map(len, chosen))) == 2
    assert counted == sum(n for _, n in apart) == sum(map(len, chosen)) - 2
    assert loss == pytest.approx(sum(one for one, _ in apart), rel=1e-5)


def test_each_batch_comes_once_an_epoch_in_another_order(folder, passages, tmp_path):
    model = streaming.load_dense(folder)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    found = {}
    for seed in (0, 1):
        steps = Training(tmp_path / "target", passages)
        batches = steps.batches(model, optimizer, schedule, 30, 2, seed)
        found[seed] = [sorted(tokens[:, 0].tolist()) for tokens, _ in batches]
    first, second = found[0][:15], found[0][15:]
    assert sorted(sum(first, [])) == sorted(p[0] for p in passages)
    assert sorted(first) == sorted(second) == sorted(found[1][:15])
    assert first != second and first != found[1][:15]


def test_a_loss_that_is_not_finite_is_refused(tmp_path):
    steps = Training(tmp_path / "target")
    steps.after(torch.tensor(1.0))
    with pytest.raises(QlabError, match="loss at step 2 is nan; lower the learning rate"):
        steps.after(torch.tensor(torch.nan))


def test_a_killed_training_of_all_weights_ends_with_the_same(tmp_path, monkeypatch):
    """As the embedded Llama's; its head is its embedding, which is kept once."""
    monkeypatch.setattr(training, "EVERY", 2)

    def trained(steps: Training):
        model = tiny_llama.write(tmp_path / "float")
        optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        for step in steps.steps(model, optimizer, schedule, 6):
            tokens = torch.tensor([tiny_llama.PASSAGES[step]])
            loss = model(tokens, labels=tokens).loss
            steps.after(loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        return model.state_dict(), steps.losses

    expected, losses = trained(Training(tmp_path / "whole"))
    with pytest.raises(Killed):
        trained(Training(tmp_path / "killed", progress=killed_at(5)))
    found, again = trained(Training(tmp_path / "killed"))
    assert again == losses and len(losses) == 6
    assert all(torch.equal(found[name], expected[name]) for name in expected)
