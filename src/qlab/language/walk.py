"""A float decoder on its way through memory: one block at a time, and passages as they enter it.

What a block is given besides the hidden states depends on its family. So the model itself is run
once for each number of tokens, its blocks replaced by ones that note what they are given.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from qlab.language import configuration, decoder

Seen = Callable[[str, torch.Tensor, torch.Tensor], None]  # (linear layer, its inputs, outputs)


class _Enough(Exception):
    """The model has called its last block, or there is nothing new to note."""


class Walk:
    """The blocks of a float folder's model and `states`, the hidden states [1, tokens, width] of
    each passage (token ids) that enter the next, on the host. Use within `torch.no_grad()`."""

    def __init__(self, folder: Path, passages: Sequence, dtype="float32", device="cpu"):
        self.dtype, self.device = dtype, device
        self.model = decoder.empty(configuration.read(folder, of_float=True))
        self.prefix, self.blocks = decoder.blocks(self.model)
        self.read = decoder.weights(folder, self.model).read
        self.states: list[torch.Tensor] = []
        self._calls: dict[int, list[tuple]] = {}  # tokens -> arguments of each block
        if passages:
            self._enter(passages)

    def __len__(self) -> int:
        return len(self.blocks)

    @contextlib.contextmanager
    def block(self, index: int) -> Iterator[torch.nn.Module]:
        """A block with its weights, which leave the memory afterwards."""
        found = self.blocks[index]
        decoder.fill(found, self.read, self.dtype, self.device, f"{self.prefix}.{index}.")
        yield found
        decoder.release(found)

    def each(self, progress=iter) -> Iterator[tuple[int, torch.nn.Module, list[list[str]]]]:
        """Each block's number, itself while it is in memory, and the names of its linear layers in
        the order of their use, those with the same inputs together. Passages go through it last."""
        for index in progress(range(len(self))):
            with self.block(index) as block:
                yield index, block, self._groups(index)
                for i, state in enumerate(self.states):  # so that there are never two copies
                    self.states[i] = self._run(index, state).cpu()

    def observe(self, index: int, names: Sequence[str], seen: Seen) -> None:
        """Call `seen` with what linear layers of a block are given and give, for each passage."""
        for state in self.states:
            self._run(index, state, names, seen)

    def _run(self, index: int, state: torch.Tensor, names: Sequence[str] = (), seen: Seen = None):
        """A block's output [1, tokens, width] for one passage, on the device."""
        linears = decoder.linears(self.blocks[index])

        def call(name: str, _, inputs: tuple, output: torch.Tensor) -> None:
            seen(name, inputs[0], output)

        hooks = [linears[name].register_forward_hook(partial(call, name)) for name in names]
        arguments, named = self._calls[state.shape[1]][index]
        output = self.blocks[index](state.to(self.device), *arguments, **named)
        for hook in hooks:
            hook.remove()
        return output if isinstance(output, torch.Tensor) else output[0]

    def _groups(self, index: int) -> list[list[str]]:
        """As of `each`; without passages all layers together."""
        linears = list(decoder.linears(self.blocks[index]))
        if not self.states:
            return [linears]
        calls: list[tuple[str, torch.Tensor]] = []
        self._run(index, self.states[0], linears, lambda name, x, _: calls.append((name, x)))
        runs = itertools.groupby(calls, lambda call: id(call[1]))
        found = [[name for name, _ in run] for _, run in runs]
        return found + [[name] for name in linears if name not in dict(calls)]

    def _enter(self, passages: Sequence) -> None:
        """Run all that comes before the blocks, and note what each block is given."""
        trunk, inside = self.prefix.split(".")[0], f"{self.prefix}."
        names = [name for name, _ in self.model.named_parameters(remove_duplicate=False)]
        later = {n for n in names if n.startswith(inside) or not n.startswith(f"{trunk}.")}
        decoder.fill(self.model, self.read, self.dtype, self.device, without=later)
        for index, block in enumerate(self.blocks):
            block.forward = partial(self._note, index)
        for tokens in passages:
            inputs = torch.tensor([list(tokens)], device=self.device)
            with contextlib.suppress(_Enough):
                self.model.get_submodule(trunk)(input_ids=inputs, use_cache=False)
        for block in self.blocks:
            del block.forward
        decoder.release(self.model)

    def _note(self, index: int, *arguments, **named):
        """Note a block's arguments, and of the first one the hidden states."""
        if "hidden_states" in named:
            hidden = named.pop("hidden_states")
        else:
            hidden, *arguments = arguments
        if index == 0:
            self.states.append(hidden.cpu())
            if hidden.shape[1] in self._calls:
                raise _Enough
        self._calls.setdefault(self.states[-1].shape[1], []).append((arguments, named))
        if index + 1 == len(self.blocks):
            raise _Enough
        return (hidden,)  # some families unpack it; none computes with it before the last block
