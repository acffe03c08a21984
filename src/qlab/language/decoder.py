"""A causal decoder of any family that transformers knows: find its blocks, fill it, walk them.

Models are built empty and given their weights here, one tensor at a time, because `from_pretrained`
only warns of a missing tensor and fills it at random. Works with transformers 4.53 and 5.

What a block receives besides the hidden states depends on its family. So a walk runs the model
itself once for each number of tokens, its blocks replaced by ones that note what they are given.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from qlab.core.errors import QlabError
from qlab.language.checkpoint import Weights, quantized, read_config

Read = Callable[[str], torch.Tensor]  # a parameter's tensor, by its name in the model
Seen = Callable[[str, torch.Tensor, torch.Tensor], None]  # (linear layer, its inputs, outputs)


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
    """The linear layers of a block, or of several, by name; also GPT-2's, which are transposed."""
    return {n: m for n, m in module.named_modules() if isinstance(m, nn.Linear | Conv1D)}


def matrix(linear: nn.Module) -> torch.Tensor:
    """A linear layer's weight as [outputs, inputs]."""
    return oriented(linear, linear.weight.detach())


def oriented(linear: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    """A weight [outputs, inputs] in the layout of the linear layer, or the other way round."""
    return weight if hasattr(linear, "in_features") else weight.t().contiguous()


def shapes(config: PretrainedConfig) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of each linear layer of each decoder block, by its full name."""
    prefix, found = blocks(empty(config))
    return {f"{prefix}.{name}": tuple(matrix(m).shape) for name, m in linears(found).items()}


def tied(model: PreTrainedModel) -> set[str]:
    """Names of weights that are shared with another, and so are not stored."""
    return set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()


def count(model: PreTrainedModel) -> int:
    """Number of its parameters, tied ones counted once."""
    return sum(w.numel() for name, w in model.named_parameters() if name not in tied(model))


def embedding_name(model: PreTrainedModel) -> str:
    """Name of the weight that turns tokens into states."""
    wanted = model.get_input_embeddings()
    return next(f"{name}.weight" for name, module in model.named_modules() if module is wanted)


def filled(model: PreTrainedModel, read: Read, dtype: str, device: str) -> PreTrainedModel:
    """An empty model, filled with all of its parameters from `read`; in eval mode."""
    fill(model, read, dtype, device, without=tied(model))
    model.tie_weights()
    return model


def weights(folder: Path, model: PreTrainedModel) -> Weights:
    """A folder's tensors by the model's names: the files may leave out the trunk's prefix, as
    GPT-2's do, or store a tied head in place of the embedding, as auto-gptq's do."""
    found, prefix = Weights(folder), f"{blocks(model)[0].split('.')[0]}."
    if not any(name.startswith(prefix) for name in found.files):
        own = {name for name, _ in model.named_parameters()}
        found.files = {n if n in own else prefix + n: at for n, at in found.files.items()}
    if head := tied(model) & found.files.keys():
        found.files.setdefault(embedding_name(model), found.files[head.pop()])
    return found


def fill(
    module: nn.Module, read: Read, dtype: str, device: str, prefix="", without: Iterable[str] = ()
) -> None:
    """Give an empty module, whose names in the model begin with `prefix`, its parameters except
    those in `without`; its computed buffers move to the device."""
    for name, _ in list(module.named_parameters(remove_duplicate=False)):
        if name not in without:
            tensor = read(prefix + name).to(device, getattr(torch, dtype))
            module.load_state_dict({name: tensor}, strict=False, assign=True)
    for part in module.modules():
        there = {name: buffer for name, buffer in part._buffers.items() if buffer is not None}
        part._buffers |= {name: buffer.to(device) for name, buffer in there.items()}


def release(module: nn.Module) -> None:
    """Free the memory of a module's parameters; its computed buffers stay."""
    for part in module.modules():
        for name, _ in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(getattr(part, name).detach().to("meta"), False))


class _Enough(Exception):
    """The model has called its last block, or there is nothing new to note."""


class Walk:
    """The blocks of a float folder's model; `states` are the hidden states [1, tokens, width] of
    each passage (token ids) that enter the next one, on the host. Use within `torch.no_grad()`."""

    def __init__(self, folder: Path, passages: Sequence, dtype="float32", device="cpu"):
        self.dtype, self.device = dtype, device
        config = read_config(folder)
        if quantized(config):
            raise QlabError(f"{folder} is quantized already; give the float model that it is of.")
        self.model = empty(config)
        self.prefix, self.blocks = blocks(self.model)
        self.read = weights(folder, self.model).read
        self.states: list[torch.Tensor] = []
        self._calls: dict[int, list[tuple]] = {}  # tokens -> arguments of each block
        if passages:
            self._enter(passages)

    def each(self, progress=iter) -> Iterator[tuple[int, nn.Module, list[list[str]]]]:
        """Yield each block's index, the block while in memory, and the names of its linear layers
        in order of use, those with the same inputs grouped. Passages go through it afterwards."""
        for index in progress(range(len(self.blocks))):
            block = self.blocks[index]
            fill(block, self.read, self.dtype, self.device, f"{self.prefix}.{index}.")
            yield index, block, self._groups(index)
            for i, state in enumerate(self.states):  # so that there are never two copies
                self.states[i] = self._run(index, state).cpu()
            release(block)

    def observe(self, index: int, names: Iterable[str], seen: Seen) -> None:
        """Call `seen` with inputs and outputs of linear layers of a block, for each passage."""
        for state in self.states:
            self._run(index, state, names, seen)

    def _run(self, index: int, state: torch.Tensor, names: Iterable[str] = (), seen: Seen = None):
        """A block's output [1, tokens, width] for one passage, on the device."""
        block = self.blocks[index]

        def call(name: str, _, inputs: tuple, output: torch.Tensor) -> None:
            seen(name, inputs[0], output)

        hooks = [block.get_submodule(n).register_forward_hook(partial(call, n)) for n in names]
        arguments, named = self._calls[state.shape[1]][index]
        output = block(state.to(self.device), *arguments, **named)
        for hook in hooks:
            hook.remove()
        return output if isinstance(output, torch.Tensor) else output[0]

    def _groups(self, index: int) -> list[list[str]]:
        """The groups that `each` yields; without passages, one group of all layers."""
        names = list(linears(self.blocks[index]))
        if not self.states:
            return [names]
        calls: list[tuple[str, torch.Tensor]] = []
        self._run(index, self.states[0], names, lambda name, x, _: calls.append((name, x)))
        runs = itertools.groupby(calls, lambda call: id(call[1]))
        found = [[name for name, _ in run] for _, run in runs]
        return found + [[name] for name in names if name not in dict(calls)]

    def _enter(self, passages: Sequence) -> None:
        """Run everything before the blocks, and note what each block is given."""
        trunk, inside = self.prefix.split(".")[0], f"{self.prefix}."
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        later = {n for n in names if n.startswith(inside) or not n.startswith(f"{trunk}.")}
        fill(self.model, self.read, self.dtype, self.device, without=later)
        for index, block in enumerate(self.blocks):
            block.forward = partial(self._note, index)
        for tokens in passages:
            inputs = torch.tensor([list(tokens)], device=self.device)
            with contextlib.suppress(_Enough):
                self.model.get_submodule(trunk)(input_ids=inputs, use_cache=False)
        for block in self.blocks:
            del block.forward
        release(self.model)

    def _note(self, index: int, *arguments, **named):
        """Note a block's arguments and, for the first block, the hidden states."""
        first = [named.pop("hidden_states")] if "hidden_states" in named else []
        hidden, *arguments = first + list(arguments)
        if index == 0:
            self.states.append(hidden.cpu())
            if hidden.shape[1] in self._calls:
                raise _Enough
        self._calls.setdefault(self.states[-1].shape[1], []).append((arguments, named))
        if index + 1 == len(self.blocks):
            raise _Enough
        return (hidden,)  # some families unpack it; none computes with it before the last block
