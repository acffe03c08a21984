"""The explore section of notebook 02: any passage, and what any variant predicts."""

import html
from collections.abc import Mapping

import numpy as np

from qlab.core import live
from qlab.language import wrong_answers
from qlab.language.data import Task
from qlab.language.scoring import Scores


def samples(task: Task, scores: Mapping[str, Scores]):
    """A box to choose variant and passage, those first that lost most of the true word's
    probability: the passage's end, what float and variant say, and their likeliest first tokens."""
    parent, *others = scores
    others = others or [parent]

    def show(variant: str, place: int):
        before, after = (np.exp(scores[v].log_likelihood) for v in (parent, variant))
        at = int(np.argsort(after - before, kind="stable")[place - 1])
        context, word = task.passages[at].context[-250:], task.passages[at].word
        told = [f"Passage {at + 1}: ... {_plain(context)} <b>{_plain(word)}</b>"]
        for name in dict.fromkeys((parent, variant)):
            one = scores[name]
            says = "says" if one.greedy[at] else "does not say"
            tokens = wrong_answers.written(one.top_tokens[at, :5], task.tokenizer)
            shares = np.exp(one.top_log_p[at, :5])
            first = (f"{_plain(t)} {p:.1%}" for t, p in zip(tokens, shares, strict=True))
            said = f"{name} {says} it ({np.exp(one.log_likelihood[at]):.1%})"
            told.append(f"{said}; its most probable first tokens: {', '.join(first)}")
        return "<br>".join(told), live.nothing()

    count = live.counter(1, len(task.passages), "passage, most lost first")
    return live.follow(show, [live.choice(others, "variant", others[-1]), count])


def _plain(text: str) -> str:
    return html.escape(text, quote=False)
