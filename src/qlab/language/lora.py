"""LoRA after quantization: small float matrices, trained to make up for what rounding lost.

LoRA (Hu et al., arXiv 2106.09685) adds (alpha / rank) B A x to a layer's output W x; here W are the
quantized weights, dequantized once and frozen, as in QLoRA (Dettmers et al., arXiv 2305.14314), and
every linear layer of every decoder layer has its A [rank, in] and B [out, rank]. The sum is on no
quantization grid: an adapter is kept and computed beside packed weights, and its bytes count.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from qlab.core import cache
from qlab.core.errors import QlabError
from qlab.language import llama, streaming

WEIGHTS, COST = "adapter_model.safetensors", "cost.json"
EVERY = 50  # steps between two checkpoints
_NO_TARGET = -100  # PyTorch's label of a position that does not count


class Cost(NamedTuple):
    """What a recovery took, and what it adds to the model."""

    train_seconds: float  # over all runs, if some were killed
    parameters: int  # trained ones
    adapter_bytes: int  # the adapter's file
    losses: list[float]  # of each step, nats for a token


def recover(
    folder: Path,
    passages: Sequence[Sequence[int]],
    target: Path,
    *,
    steps: int = 300,
    rank: int = 8,
    rate: float = 1e-3,
    batch: int = 16,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    progress=iter,
) -> Cost:
    """Train an adapter for the quantized Llama in `folder` on `passages` (token ids) into `target`.

    Next-token loss over whole passages, AdamW, learning rate warmed up over a tenth of the steps
    and then down to 0. `target` is a folder that peft's `from_pretrained` takes, with cost.json.
    A killed run goes on from its last checkpoint, beside the target, and ends with the same
    adapter; a target that is there is left. On a CPU the same arguments give the same adapter.
    QlabError: no passages, one that the model cannot read, a loss that is not finite.
    """
    streaming.checked(passages, llama.check(folder), "Training", 2)
    groups = _groups(passages, batch)
    if target.exists():
        return cost(target)
    model = _with_adapter(streaming.load_dense(folder, dtype, device), rank, seed)
    kept = target.with_name(f"{target.name}.partial.pt")
    seconds, losses = _train(model, groups, kept, steps, rate, seed, progress)
    with cache.written_whole(target) as part:
        _save(model, part, seconds, losses)
    kept.unlink(missing_ok=True)
    return cost(target)


def cost(adapter: Path) -> Cost:
    """What an adapter's recovery took; QlabError where there is no adapter."""
    return Cost(**json.loads((_adapter(adapter) / COST).read_text()))


def load(
    folder: Path, adapter: Path, dtype: str = "float32", device: str = "cpu"
) -> LlamaForCausalLM:
    """The quantized model as dense weights with an adapter added to them, which gives the same
    outputs; in eval mode."""
    dense = streaming.load_dense(folder, dtype, device)
    return PeftModel.from_pretrained(dense, str(_adapter(adapter))).merge_and_unload().eval()


def _adapter(folder: Path) -> Path:
    """The folder, if it holds an adapter; peft would look for a missing one on the hub."""
    if not (folder / WEIGHTS).is_file():
        raise QlabError(f"There is no adapter at {folder}; make one with lora.recover.")
    return folder


def _with_adapter(model: LlamaForCausalLM, rank: int, seed: int) -> PeftModel:
    """The model, frozen, with A random from the seed and B = 0 at each linear layer, float32."""
    kinds = [kind.rsplit(".", 1)[1] for kind in llama.LINEARS]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=kinds, task_type="CAUSAL_LM")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def _train(
    model: PeftModel, groups: list, kept: Path, steps: int, rate: float, seed: int, progress
) -> tuple[float, list[float]]:
    """Train the adapter; seconds and the loss of each step, those of an earlier run included."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, rate, weight_decay=0.0)
    before, losses = _resume(kept, model, optimizer)
    started = time.perf_counter()
    for step in progress(range(len(losses), steps)):
        for group in optimizer.param_groups:
            group["lr"] = rate * _schedule(step, steps)
        loss = _loss(model, _chosen(groups, step, seed))
        if not torch.isfinite(loss):
            raise QlabError(
                f"The loss at step {step + 1} is {loss.item()}; lower the learning rate {rate:g}, "
                "or use float32 or bfloat16 where float16 was used."
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % EVERY == 0 and step + 1 < steps:
            _checkpoint(kept, model, optimizer, before + time.perf_counter() - started, losses)
    return before + time.perf_counter() - started, losses


def _schedule(step: int, steps: int) -> float:
    """Share of the full learning rate: up over the first tenth, then down in a straight line."""
    warm = max(steps // 10, 1)
    return min((step + 1) / warm, (steps - step) / max(steps - warm, 1))


def _groups(passages: Sequence[Sequence[int]], batch: int) -> list[list[list[int]]]:
    """Batches of passages of like length, so that little is padding."""
    ordered = sorted(map(list, passages), key=len)
    return [ordered[i : i + batch] for i in range(0, len(ordered), batch)]


def _chosen(groups: list[list[list[int]]], step: int, seed: int) -> list[list[int]]:
    """The batch of a step: each once an epoch, in an order that depends on seed and epoch alone."""
    epoch, place = divmod(step, len(groups))
    return groups[np.random.default_rng([seed, epoch]).permutation(len(groups))[place]]


def _loss(model: PeftModel, passages: list[list[int]]) -> torch.Tensor:
    """Mean cross-entropy of the next token, in nats, over all but the padding."""
    longest = max(map(len, passages))
    rows = [passage + [_NO_TARGET] * (longest - len(passage)) for passage in passages]
    targets = torch.tensor(rows, device=model.device)
    # Padding stands behind the passage, where causal attention never looks: any token will do.
    base = model.get_base_model()
    hidden = base.model(targets[:, :-1].clamp(min=0), use_cache=False).last_hidden_state
    logits = base.lm_head(hidden).flatten(0, 1).float()
    return cross_entropy(logits, targets[:, 1:].flatten(), ignore_index=_NO_TARGET)


def _checkpoint(kept: Path, model: PeftModel, optimizer, seconds: float, losses: list) -> None:
    adapter = get_peft_model_state_dict(model, save_embedding_layers=False)
    state = {"adapter": adapter, "optimizer": optimizer.state_dict()}
    state |= {"seconds": seconds, "losses": losses}
    with cache.written_whole(kept) as part:
        torch.save(state, part)


def _resume(kept: Path, model: PeftModel, optimizer) -> tuple[float, list[float]]:
    """Seconds and losses of an earlier run, its state put back; 0 and none without one."""
    if not kept.is_file():
        return 0.0, []
    state = torch.load(kept, weights_only=True, map_location=model.device)
    set_peft_model_state_dict(model, state["adapter"])
    optimizer.load_state_dict(state["optimizer"])
    return state["seconds"], state["losses"]


def _save(model: PeftModel, folder: Path, seconds: float, losses: list[float]) -> None:
    """The adapter's folder as peft writes it, without its empty model card; and the cost."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    trained, _ = model.get_nb_trainable_parameters()
    size = (folder / WEIGHTS).stat().st_size
    found = Cost(round(seconds, 3), trained, size, [round(loss, 5) for loss in losses])
    (folder / COST).write_text(json.dumps(found._asdict()) + "\n")
