"""A float decoder on its way through memory: one block at a time, and passages as they enter it.

What a block is given besides the hidden states (positions, masks) depends on its family. So the
model itself is run once for each number of tokens, its blocks replaced by ones that note what they
are given and change nothing.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch

from qlab.core.errors import QlabError
from qlab.language import decoder

Seen = Callable[[str, torch.Tensor, torch.Tensor], None]  # (linear layer, its inputs, outputs)


class _Enough(Exception):
    """A forward pass has reached the last module it was run for."""


class Walk:
    """The blocks of a float folder's model and the states that enter the next one.

    `states` are the hidden states [1, tokens, width] of each passage (token ids) on the host; there
    are none without passages. Use within `torch.no_grad()`.
    """

    def __init__(
        self, folder: Path, passages: Sequence[Sequence[int]], dtype="float32", device="cpu"
    ):
        self.dtype, self.device = dtype, device
        self.model = decoder.empty(decoder.float_config(folder))
        self.prefix, self.blocks = decoder.blocks(self.model)
        self.read = decoder.reader(folder, self.model)
        self.states: list[torch.Tensor] = []
        self._calls: dict[int, dict[int, tuple]] = {}  # tokens -> block -> arguments
        if passages:
            self._enter(passages)

    def __len__(self) -> int:
        return len(self.blocks)

    @contextlib.contextmanager
    def block(self, index: int) -> Iterator[torch.nn.Module]:
        """A block with its weights, which leave the memory afterwards."""
        self._fill(f"{self.prefix}.{index}.", self.blocks[index])
        yield self.blocks[index]
        decoder.release(self.blocks[index])

    def run(self, index: int, state: torch.Tensor) -> torch.Tensor:
        """A block's output [1, tokens, width] for one passage, on the device."""
        arguments, named = self._calls[state.shape[1]][index]
        output = self.blocks[index](state.to(self.device), *arguments, **named)
        return output[0] if isinstance(output, tuple) else output  # transformers 4 gives a tuple

    def advance(self, index: int) -> None:
        """Let all passages through a block; one by one, so that there are never two copies."""
        for i, state in enumerate(self.states):
            self.states[i] = self.run(index, state).cpu()

    def groups(self, index: int) -> list[tuple[str, ...]]:
        """A block's linear layers in the order in which they are used, those with the same inputs
        together; without passages all of them together."""
        linears = decoder.linears(self.blocks[index])
        if not self.states:
            return [tuple(linears)]
        found: list[list[str]] = []
        last: list[torch.Tensor] = [torch.empty(0)]

        def seen(name: str, inputs: torch.Tensor, _) -> None:
            if inputs is not last[0]:
                found.append([])
            last[0] = inputs
            found[-1].append(name)

        with self._hooked(index, linears, seen):
            self.run(index, self.states[0])
        unused = [(name,) for name in linears if not any(name in group for group in found)]
        return [tuple(group) for group in found] + unused

    def observe(self, index: int, names: Iterable[str], seen: Seen) -> None:
        """Call `seen` with what linear layers of a block are given and give, for each passage; the
        rest of the block is not run."""
        waiting: set[str] = set()

        def until(name: str, inputs: torch.Tensor, output: torch.Tensor) -> None:
            seen(name, inputs, output)
            waiting.discard(name)
            if not waiting:
                raise _Enough

        with self._hooked(index, names, until):
            for state in self.states:
                waiting.update(names)
                with contextlib.suppress(_Enough):
                    self.run(index, state)

    @contextlib.contextmanager
    def _hooked(self, index: int, names: Iterable[str], seen: Seen) -> Iterator[None]:
        def hook(name: str):
            return lambda _, inputs, output: seen(name, inputs[0], output)

        block = self.blocks[index]
        hooks = [block.get_submodule(n).register_forward_hook(hook(n)) for n in names]
        try:
            yield
        finally:
            for handle in hooks:
                handle.remove()

    def _fill(self, prefix: str, module: torch.nn.Module, without: set[str] = frozenset()) -> None:
        def read(name: str, shape) -> torch.Tensor:
            return self.read(prefix + name, shape)

        decoder.fill(module, read, self.dtype, self.device, without)

    def _enter(self, passages: Sequence[Sequence[int]]) -> None:
        """Run all that comes before the blocks, and note what each block is given."""
        trunk, before = decoder.trunk(self.model)
        own = f"{self.prefix.removeprefix(f'{trunk}.')}."
        inside = {name for name, _ in before.named_parameters() if name.startswith(own)}
        self._fill(f"{trunk}.", before, inside)
        with self.block(0) as first:
            bare = self._returns_bare(first, passages[0])
        for index, block in enumerate(self.blocks):
            block.forward = self._noting(index, bare)
        try:
            for tokens in passages:
                with contextlib.suppress(_Enough):
                    self._run_model(tokens)
        finally:
            for block in self.blocks:
                del block.forward
        decoder.release(self.model)

    def _run_model(self, tokens: Sequence[int]) -> None:
        inputs = torch.tensor([list(tokens)], device=self.device)
        decoder.trunk(self.model)[1](input_ids=inputs, use_cache=False)

    def _returns_bare(self, block: torch.nn.Module, tokens: Sequence[int]) -> bool:
        """Whether this family's blocks return a tensor and not a tuple."""
        kinds: list[bool] = []

        def seen(_, __, output) -> None:
            kinds.append(isinstance(output, torch.Tensor))
            raise _Enough

        hook = block.register_forward_hook(seen)
        with contextlib.suppress(_Enough):
            self._run_model(tokens)
        hook.remove()
        return kinds[0]

    def _noting(self, index: int, bare: bool) -> Callable:
        """A forward that notes its arguments and returns the hidden states as they came."""

        def forward(*arguments, **named):
            hidden = named.pop("hidden_states") if "hidden_states" in named else arguments[0]
            rest = arguments if len(arguments) == 0 or hidden is not arguments[0] else arguments[1:]
            if index == 0:
                self.states.append(hidden.cpu())
                if len(self._calls.get(hidden.shape[1], ())) == len(self.blocks):
                    raise _Enough
            self._calls.setdefault(hidden.shape[1], {})[index] = (rest, named)
            if index + 1 == len(self.blocks):
                raise _Enough
            return hidden if bare else (hidden,)

        return forward


def checked(passages: Sequence[Sequence[int]], config, use: str = "Calibration", least=1) -> None:
    """QlabError unless there are passages, and the model can read each: `least` tokens or more."""
    longest = decoder.context(config)
    if not passages:
        raise QlabError(f"{use} has 0 passages, and some are needed; give some.")
    for number, tokens in enumerate(passages, 1):
        if not least <= len(tokens) <= longest:
            raise QlabError(
                f"{use} passage {number} has {len(tokens)} tokens; {least} to {longest} fit this "
                "model. Leave it out or cut it."
            )
