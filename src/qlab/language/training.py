"""Training that resumes where a killed run stopped; the notebook has the model, loss and loop."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from qlab.core.cache import written_whole
from qlab.core.errors import QlabError

EVERY = 50  # steps between two checkpoints
NO_TARGET = -100  # PyTorch's label for a position that does not count
COST = "cost.json"  # beside an adapter: what it cost (seconds over all runs) and adds, by metric


class Training:
    """The steps of a training; after a killed run, only those left are done, from a checkpoint
    beside `target`, where the result will lie. `passages` are token ids, for `batches`."""

    def __init__(self, target: Path, passages: Sequence[Sequence[int]] = (), progress=iter):
        self.target, self._passages, self._progress = target, passages, progress
        self._kept = target.with_name(f"{target.name}.partial.pt")
        self.losses: list[float] = []  # of each step
        self.seconds = 0.0  # over all runs, if some were killed

    def steps(self, model, optimizer, scheduler, steps: int) -> Iterator[int]:
        """Yield the numbers, from 0, of the steps that are left, after loading what a killed run
        had learned into model, optimizer and scheduler; call `after(loss)` in each."""
        if self._kept.is_file():
            state = torch.load(self._kept, weights_only=True, map_location=model.device)
            model.load_state_dict(state["learned"], strict=False)
            optimizer.load_state_dict(state["optimizer"])
            scheduler.load_state_dict(state["scheduler"])
            self.seconds, self.losses = state["seconds"], state["losses"]
        before, started = self.seconds, time.perf_counter()
        for step in self._progress(range(len(self.losses), steps)):
            yield step
            self.seconds = before + time.perf_counter() - started
            if (step + 1) % EVERY == 0 and step + 1 < steps:
                learned = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
                state = {"learned": learned, "seconds": self.seconds, "losses": self.losses}
                state |= {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
                with written_whole(self._kept) as part:
                    torch.save(state, part)

    def batches(
        self, model, optimizer, scheduler, steps: int, batch: int, seed: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield token ids and targets [batch, longest - 1] of each step, NO_TARGET where padded.
        Passages of similar length share a batch, and each batch comes once per epoch."""
        ordered = sorted(map(torch.tensor, self._passages), key=len)
        groups = [ordered[i : i + batch] for i in range(0, len(ordered), batch)]
        for step in self.steps(model, optimizer, scheduler, steps):
            epoch, place = divmod(step, len(groups))
            order = np.random.default_rng([seed, epoch]).permutation(len(groups))
            whole = pad_sequence(groups[order[place]], True, NO_TARGET).to(model.device)
            # Padding is at the end, where causal attention never looks: any token will do.
            yield whole[:, :-1].clamp(min=0), whole[:, 1:]

    def after(self, loss: torch.Tensor) -> None:
        """Note the loss of a step; QlabError where it is not finite."""
        if not torch.isfinite(loss):
            told = f"The loss at step {len(self.losses) + 1} is {loss.item()}; lower the learning"
            raise QlabError(f"{told} rate, or take float32 or bfloat16 in place of float16.")
        self.losses.append(loss.item())

    def finish(self) -> None:
        """Remove the checkpoint."""
        self._kept.unlink(missing_ok=True)


def save_adapter(model, training: Training) -> None:
    """Write a peft model's adapter, and its cost beside it."""
    with written_whole(training.target) as folder:
        model.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # an empty model card
        found = {"train_seconds": round(training.seconds, 3)}
        found["trained_parameters"] = model.get_nb_trainable_parameters()[0]
        found["adapter_bytes"] = (folder / "adapter_model.safetensors").stat().st_size
        (folder / COST).write_text(json.dumps(found) + "\n")
    training.finish()
