"""Tokens per second of language models, measured three ways on the kernels they are used with.

Reading a prompt is bound by arithmetic, writing by memory: each metric says what it counts.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from qlab.core import timing
from qlab.core.errors import QlabError

# What each metric counts, over the wall time of the model alone: no tokenization, no loading.
COUNTS = {
    "tokens_per_s": "tokens read, one passage at a time; after each the next token is chosen",
    "tokens_per_s_prefill": "tokens of one prompt, read at once; then the next token is chosen",
    "tokens_per_s_decode": "tokens written one by one after that prompt, each the most probable",
}


def measure(
    models: Mapping[str, object],
    passages: Sequence[Sequence[int]],
    written: int = 32,
    repeats: int = 5,
    warmup: int = 1,
    progress=iter,
) -> dict[str, dict[str, np.ndarray]]:
    """Tokens/s by variant and metric of COUNTS, [repeats]; all variants and metrics take turns.

    `models` are Hugging Face causal models, `passages` token numbers; `tokens_per_s` reads them one
    by one, as Caringi and Girardet did. The longest is the prompt of the other two, after which
    `written` tokens are written; it is cut to leave room for them. QlabError where a passage is
    longer than a model's context.
    """
    import torch

    if not passages or not min(map(len, passages)):
        raise QlabError("Tokens per second needs passages of 1 token or more.")
    longest = max(passages, key=len)
    context = min(model.config.max_position_embeddings for model in models.values())
    if len(longest) > context:
        raise QlabError(
            f"The longest passage has {len(longest)} tokens, more than the model's context of "
            f"{context}; give shorter passages."
        )
    if written >= context:
        raise QlabError(f"{written} tokens and a prompt do not fit a context of {context}.")
    prompt = longest[: context - written]
    sizes = dict(zip(COUNTS, (sum(map(len, passages)), len(prompt), written), strict=True))
    calls = {}
    with torch.inference_mode():
        for variant, model in models.items():
            works = (_read(model, passages), _read(model, [prompt]), _write(model, prompt, written))
            calls |= {(variant, m): work for m, work in zip(COUNTS, works, strict=True)}
        seconds = timing.interleaved(calls, repeats, warmup, progress)
    return {v: {m: sizes[m] / seconds[v, m] for m in COUNTS} for v in models}


def _read(model, passages: Sequence[Sequence[int]]) -> Callable[[], None]:
    """A call that reads passages one by one and waits for the token chosen after each."""
    inputs = [_on(model, tokens) for tokens in passages]

    def call() -> None:
        for tokens in inputs:
            _choice(model(input_ids=tokens, use_cache=True, logits_to_keep=1)).item()

    return call


def _write(model, prompt: Sequence[int], count: int) -> Callable[[], None]:
    """A call that writes `count` tokens after a prompt that was read before."""
    start = model(input_ids=_on(model, prompt), use_cache=True, logits_to_keep=1)
    cache, first = start.past_key_values, _choice(start)

    def call() -> None:
        token = first
        for _ in range(count):
            output = model(input_ids=token, past_key_values=cache, use_cache=True, logits_to_keep=1)
            token = _choice(output)
        token.item()  # waits for a GPU
        cache.crop(-count)  # back to the prompt, for the next call

    return call


def _on(model, tokens: Sequence[int]):
    """Token numbers as a batch of one, int64 [1, n], where the model is."""
    import torch

    return torch.tensor([list(tokens)], device=model.device)


def _choice(output):
    """The most probable next token, [1, 1]; still on its way where a GPU computes it."""
    return output.logits[:, -1:].argmax(dim=-1)
