"""A causal decoder of any family that transformers knows: opened, filled, its layers found.

Models are built empty and given their weights here, one tensor at a time: `from_pretrained` starts
a missing tensor at random, with a warning. Works with transformers 4.53 and 5.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from qlab.core.errors import QlabError
from qlab.language import configuration

Read = Callable[[str], torch.Tensor]  # of a parameter's name in the model


def empty(config: PretrainedConfig) -> PreTrainedModel:
    """The model in eval mode without memory for its weights; what is not stored but computed,
    such as the frequencies of rotary positions, is there."""
    config.torch_dtype = torch.float32
    with init_empty_weights(include_buffers=False):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()


def blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The decoder blocks and their name; QlabError where the model has none that can be found."""
    count = model.config.num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise QlabError(f"No {count} decoder blocks were found in {type(model).__name__}.")


def linears(module: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of a block, or of more, by name; GPT-2's too, which are transposed."""
    return {n: m for n, m in module.named_modules() if isinstance(m, nn.Linear | Conv1D)}


def matrix(linear: nn.Module) -> torch.Tensor:
    """A linear layer's weight as [outputs, inputs]."""
    return oriented(linear, linear.weight.detach())


def oriented(linear: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    """A weight [outputs, inputs] as the linear layer keeps it, or back."""
    return weight if hasattr(linear, "in_features") else weight.t().contiguous()


def shapes(config: PretrainedConfig) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of each linear layer of each decoder block, by its full name."""
    prefix, found = blocks(empty(config))
    return {f"{prefix}.{name}": tuple(matrix(m).shape) for name, m in linears(found).items()}


def tied(model: PreTrainedModel) -> set[str]:
    """Names of weights that are another's, and so are not stored."""
    return set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()


def count(model: PreTrainedModel) -> int:
    """Its parameters, tied ones once."""
    return sum(w.numel() for name, w in model.named_parameters() if name not in tied(model))


def embedding_name(model: PreTrainedModel) -> str:
    """Name of the weight that turns tokens into states."""
    wanted = model.get_input_embeddings()
    return next(f"{name}.weight" for name, module in model.named_modules() if module is wanted)


def load(folder: Path, dtype: str = "float32", device: str = "cpu") -> PreTrainedModel:
    """The model of a float folder in eval mode; QlabError: a quantized folder, a missing tensor."""
    model = empty(configuration.read(folder, of_float=True))
    return filled(model, weights(folder, model).read, dtype, device)


def filled(model: PreTrainedModel, read: Read, dtype: str, device: str) -> PreTrainedModel:
    """An empty model once each of its parameters has been read; in eval mode."""
    fill(model, read, dtype, device, without=tied(model))
    model.tie_weights()
    return model


def weights(folder: Path, model: PreTrainedModel) -> configuration.Weights:
    """A folder's tensors by the model's names: the files may leave out the trunk's, as GPT-2's do,
    or store a tied head in the place of the embedding, as auto-gptq's do."""
    found, prefix = configuration.Weights(folder), f"{blocks(model)[0].split('.')[0]}."
    if not any(name.startswith(prefix) for name in found.files):
        own = {name for name, _ in model.named_parameters()}
        found.files = {n if n in own else prefix + n: at for n, at in found.files.items()}
    if head := tied(model) & found.files.keys():
        found.files.setdefault(embedding_name(model), found.files[head.pop()])
    return found


def fill(
    module: nn.Module, read: Read, dtype: str, device: str, prefix="", without: Iterable[str] = ()
) -> None:
    """Give an empty module, whose names in the model begin with `prefix`, its parameters but those
    in `without`; what it computed itself moves to the device."""
    for name, _ in list(module.named_parameters(remove_duplicate=False)):
        if name not in without:
            tensor = read(prefix + name).to(device, torch_dtype(dtype))
            module.load_state_dict({name: tensor}, strict=False, assign=True)
    for part in module.modules():
        there = {name: buffer for name, buffer in part._buffers.items() if buffer is not None}
        part._buffers |= {name: buffer.to(device) for name, buffer in there.items()}


def release(module: nn.Module) -> None:
    """Give up the memory of a module's parameters; what it computed itself stays."""
    for part in module.modules():
        for name, _ in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(getattr(part, name).detach().to("meta"), False))


def torch_dtype(name: str) -> torch.dtype:
    """torch.float32, torch.float16 or torch.bfloat16 by name."""
    return getattr(torch, name)
