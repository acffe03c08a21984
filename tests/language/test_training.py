"""Adapters, trained by notebook 02's own cell on a tiny Llama; what happens after a kill."""

import json

import pytest
import shown
import tiny_llama
import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy

from qlab.core.errors import QlabError
from qlab.language import streaming, training
from qlab.language.gptq import RoundToNearest
from qlab.language.training import NO_TARGET, Training

SETTINGS = {"steps": 30, "seed": 5, "where": ("float32", "cpu"), "rank": 4, "rate": 1e-2}
# Counting from some number, in steps of one: easily learned; lengths differ.
PASSAGES = [[(start + i) % 64 for i in range(10 + start % 7)] for start in range(0, 60, 2)]


def killed(steps):
    """A progress bar during which the process is ended."""
    yield from steps[:17]
    raise KeyboardInterrupt


def recover(folder, steps: Training) -> None:
    cells = shown.run("02_", "from peft import", "def recover(", streaming=streaming)
    training.save_adapter(cells.recover(folder, steps, **SETTINGS), steps)


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    target = tmp_path_factory.mktemp("quantized")
    streaming.quantize_folder(source, RoundToNearest(2, 64), [], target)
    return target


@pytest.fixture(scope="module")
def recovered(folder, tmp_path_factory):
    steps = Training(tmp_path_factory.mktemp("recovered") / "adapter", PASSAGES)
    recover(folder, steps)
    return steps


def test_the_loss_falls_passages_are_told_better_and_the_cost_is_counted(folder, recovered):
    assert len(recovered.losses) == 30
    assert sum(recovered.losses[-5:]) < 0.9 * sum(recovered.losses[:5])
    tokens, target = torch.tensor([PASSAGES[3][:10]]), recovered.target
    learned = PeftModel.from_pretrained(streaming.load_dense(folder), str(target))
    with torch.no_grad():
        models = (streaming.load_dense(folder), learned.merge_and_unload())
        before, after = (float(model(tokens, labels=tokens).loss) for model in models)
    assert after < before - 0.3
    cost = json.loads((target / training.COST).read_text())
    stored = tiny_llama.stored(target).values()
    assert cost["trained_parameters"] == sum(tensor.numel() for tensor in stored)
    assert cost["adapter_bytes"] == (target / "adapter_model.safetensors").stat().st_size
    assert cost["train_seconds"] > 0


def test_a_killed_run_ends_with_the_same_adapter(folder, recovered, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "EVERY", 5)
    target, done = tmp_path / "adapter", []
    with pytest.raises(KeyboardInterrupt):
        recover(folder, Training(target, PASSAGES, killed))
    [kept] = tmp_path.iterdir()
    whole = (recovered.target / "adapter_model.safetensors").stat().st_size
    assert kept != target and kept.stat().st_size < 5 * whole  # no frozen weight is in it
    counted = Training(target, PASSAGES, lambda steps: (done.append(i) or i for i in steps))
    recover(folder, counted)
    assert done == list(range(15, 30))  # from the checkpoint of step 15, not from the start
    assert counted.losses == recovered.losses and list(tmp_path.iterdir()) == [target]
    ours, theirs = (tiny_llama.stored(t) for t in (target, recovered.target))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


@pytest.fixture
def batches(folder, tmp_path):
    """What makes the batches of some passages, and the model that they are of."""
    model = streaming.load_dense(folder)
    optimizer = torch.optim.AdamW(model.parameters())
    fitted = (model, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer))
    return lambda some, *how: Training(tmp_path / "t", some).batches(*fitted, *how), model


def test_padding_does_not_change_the_loss(batches):
    def total(some) -> tuple[float, int]:
        [(tokens, targets)] = batches[0](some, 1, 2, 0)
        with torch.no_grad():
            logits = batches[1](tokens).logits.flatten(0, 1)
        loss = cross_entropy(logits, targets.flatten(), reduction="sum")
        return float(loss), int((targets != NO_TARGET).sum())

    pair = [PASSAGES[0], PASSAGES[3]]
    apart, (loss, counted) = [total([passage]) for passage in pair], total(pair)
    assert len(pair[0]) != len(pair[1])
    assert counted == sum(n for _, n in apart) == sum(map(len, pair)) - 2
    assert loss == pytest.approx(sum(one for one, _ in apart), rel=1e-5)


def test_each_batch_comes_once_an_epoch_in_another_order(batches):
    found = [
        [sorted(tokens[:, 0].tolist()) for tokens, _ in batches[0](PASSAGES, 30, 2, seed)]
        for seed in (0, 1)
    ]
    first, second = found[0][:15], found[0][15:]
    assert sorted(sum(first, [])) == sorted(p[0] for p in PASSAGES)
    assert sorted(first) == sorted(second) == sorted(found[1][:15])
    assert first != second and first != found[1][:15]


def test_a_loss_that_is_not_finite_is_refused(tmp_path):
    steps = Training(tmp_path / "target")
    steps.after(torch.tensor(1.0))
    with pytest.raises(QlabError, match="loss at step 2 is nan; lower the learning rate"):
        steps.after(torch.tensor(torch.nan))
