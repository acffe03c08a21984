"""Adapters that were trained after quantization: kept, counted, and added to the dense weights.

LoRA (Hu et al., arXiv 2106.09685) adds (alpha / rank) B A x to a layer's output W x; here W are the
quantized weights, dequantized once and frozen, as in QLoRA (Dettmers et al., arXiv 2305.14314). The
sum is on no quantization grid: an adapter is kept and computed beside packed weights, and its bytes
count.
"""

import json
from pathlib import Path
from typing import NamedTuple

from peft import PeftModel
from transformers import PreTrainedModel

from qlab.core.cache import written_whole
from qlab.language import streaming
from qlab.language.training import Training

COST = "cost.json"  # beside the adapter


class Cost(NamedTuple):
    """What a recovery took, and what it adds to the model."""

    train_seconds: float  # over all runs, if some were killed
    parameters: int  # trained ones
    adapter_bytes: int  # the adapter's file
    losses: list[float]  # of each step, nats for a token


def save(model: PeftModel, training: Training) -> Cost:
    """Write the adapter as peft does, without its empty model card, and its cost beside it."""
    with written_whole(training.target) as folder:
        model.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        trained, _ = model.get_nb_trainable_parameters()
        losses = [round(loss, 5) for loss in training.losses]
        size = (folder / "adapter_model.safetensors").stat().st_size
        found = Cost(round(training.seconds, 3), trained, size, losses)
        (folder / COST).write_text(json.dumps(found._asdict()) + "\n")
    training.finish()
    return found


def cost(adapter: Path) -> Cost:
    """What an adapter's recovery took."""
    return Cost(**json.loads((adapter / COST).read_text()))


def load(folder: Path, adapter: Path, dtype="float32", device="cpu") -> PreTrainedModel:
    """The quantized model as dense weights with an adapter added to them, which gives the same
    outputs; in eval mode."""
    dense = streaming.load_dense(folder, dtype, device)
    return PeftModel.from_pretrained(dense, str(adapter)).merge_and_unload().eval()
