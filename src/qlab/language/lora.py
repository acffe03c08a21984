"""LoRA after quantization: what a notebook's training reads, and how a killed one goes on.

LoRA (Hu et al., arXiv 2106.09685) adds (alpha / rank) B A x to a layer's output W x; here W are the
quantized weights, dequantized once and frozen, as in QLoRA (Dettmers et al., arXiv 2305.14314). The
sum is on no quantization grid: an adapter is kept and computed beside packed weights, and its bytes
count.
"""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import streaming

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WEIGHTS, COST = "adapter_model.safetensors", "cost.json"
EVERY = 50  # steps between two checkpoints
NO_TARGET = -100  # PyTorch's label of a position that does not count


class Cost(NamedTuple):
    """What a recovery took, and what it adds to the model."""

    train_seconds: float  # over all runs, if some were killed
    parameters: int  # trained ones
    adapter_bytes: int  # the adapter's file
    losses: list[float]  # of each step, nats for a token


class Training:
    """The steps of a training, of which a killed run does only what is left.

    `passages` are token ids; `target` is where the adapter will lie, with a checkpoint beside it.
    """

    def __init__(self, target: Path, passages: Sequence[Sequence[int]], progress=iter):
        self.target, self._passages, self._progress = target, passages, progress
        self._kept = target.with_name(f"{target.name}.partial.pt")
        self.losses: list[float] = []
        self.seconds = 0.0

    def batches(
        self, model: PeftModel, optimizer, scheduler, steps: int, batch: int, seed: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Token ids and targets [batch, longest] of each step; what is padded has NO_TARGET.

        Call `after(loss)` after each step. On a CPU the same arguments give the same adapter.
        """
        self._resume(model, optimizer, scheduler)
        groups = _groups(self._passages, batch)
        before, started = self.seconds, time.perf_counter()
        for step in self._progress(range(len(self.losses), steps)):
            yield _padded(_chosen(groups, step, seed), model.device)
            self.seconds = before + time.perf_counter() - started
            if (step + 1) % EVERY == 0 and step + 1 < steps:
                self._checkpoint(model, optimizer, scheduler)

    def after(self, loss: torch.Tensor) -> None:
        """Note the loss of a step; QlabError where it is not finite."""
        if not torch.isfinite(loss):
            raise QlabError(
                f"The loss at step {len(self.losses) + 1} is {loss.item()}; lower the learning "
                "rate, or use float32 or bfloat16 where float16 was used."
            )
        self.losses.append(loss.item())

    def finish(self) -> None:
        """Remove the checkpoint."""
        self._kept.unlink(missing_ok=True)

    def _checkpoint(self, model: PeftModel, *others) -> None:
        adapter = get_peft_model_state_dict(model, save_embedding_layers=False)
        state = {"adapter": adapter, "others": [one.state_dict() for one in others]}
        with cache.written_whole(self._kept) as part:
            torch.save(state | {"seconds": self.seconds, "losses": self.losses}, part)

    def _resume(self, model: PeftModel, *others) -> None:
        if self._kept.is_file():
            state = torch.load(self._kept, weights_only=True, map_location=model.device)
            set_peft_model_state_dict(model, state["adapter"])
            for one, stored in zip(others, state["others"], strict=True):
                one.load_state_dict(stored)
            self.seconds, self.losses = state["seconds"], state["losses"]


def save(model: PeftModel, training: Training) -> Cost:
    """Write the adapter as peft does, without its empty model card, and its cost beside it."""
    with cache.written_whole(training.target) as folder:
        model.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        trained, _ = model.get_nb_trainable_parameters()
        losses = [round(loss, 5) for loss in training.losses]
        size = (folder / WEIGHTS).stat().st_size
        found = Cost(round(training.seconds, 3), trained, size, losses)
        (folder / COST).write_text(json.dumps(found._asdict()) + "\n")
    training.finish()
    return found


def cost(adapter: Path) -> Cost:
    """What an adapter's recovery took; QlabError where there is no adapter."""
    return Cost(**json.loads((_adapter(adapter) / COST).read_text()))


def load(
    folder: Path, adapter: Path, dtype: str = "float32", device: str = "cpu"
) -> "PreTrainedModel":
    """The quantized model as dense weights with an adapter added to them, which gives the same
    outputs; in eval mode."""
    dense = streaming.load_dense(folder, dtype, device)
    return PeftModel.from_pretrained(dense, str(_adapter(adapter))).merge_and_unload().eval()


def _adapter(folder: Path) -> Path:
    """The folder, if it holds an adapter; peft would look for a missing one on the hub."""
    if not (folder / WEIGHTS).is_file():
        raise QlabError(f"There is no adapter at {folder}; train one first.")
    return folder


def _groups(passages: Sequence[Sequence[int]], batch: int) -> list[list[list[int]]]:
    """Batches of passages of like length, so that little is padding."""
    ordered = sorted(map(list, passages), key=len)
    return [ordered[i : i + batch] for i in range(0, len(ordered), batch)]


def _chosen(groups: list[list[list[int]]], step: int, seed: int) -> list[list[int]]:
    """The batch of a step: each once an epoch, in an order that depends on seed and epoch alone."""
    epoch, place = divmod(step, len(groups))
    return groups[np.random.default_rng([seed, epoch]).permutation(len(groups))[place]]


def _padded(passages: list[list[int]], device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, passages))
    rows = [passage + [NO_TARGET] * (longest - len(passage)) for passage in passages]
    targets = torch.tensor(rows, device=device)
    # Padding stands behind the passage, where causal attention never looks: any token will do.
    return targets[:, :-1].clamp(min=0), targets[:, 1:]
