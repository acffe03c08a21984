"""The explore section of notebook 02: any passage, and what any variant predicts."""

import html
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.core import live, plot
from qlab.language import wrong_answers
from qlab.language.data import Task
from qlab.language.scoring import Scores

SHOWN = 5  # predictions of a passage
READ = 250  # characters of a passage's end


def by_loss(parent: Scores, variant: Scores) -> np.ndarray:
    """Passages by how much of the true word's probability is gone, most first."""
    gone = np.exp(parent.log_likelihood) - np.exp(variant.log_likelihood)
    return np.argsort(-gone, kind="stable")


def sentence(task: Task, at: int, scores: Mapping[str, Scores]) -> str:
    """A passage's end, and what each variant says to its last word."""
    passage, told = task.passages[at], []
    for name, one in scores.items():
        says = "says" if one.greedy[at] else "does not say"
        told.append(f"{name} {says} it ({np.exp(one.log_likelihood[at]):.1%})")
    end, word = (html.escape(s, quote=False) for s in (passage.context[-READ:], passage.word))
    return f"Passage {at + 1}: ... {end} <b>{word}</b><br>{'; '.join(told)}."


def picture(task: Task, at: int, scores: Mapping[str, Scores]) -> Figure:
    """The most probable first tokens of each variant; green is how the word begins."""
    plot.use_style()
    right = task.encoded[at].tokens[-task.encoded[at].targets]
    canvas, axes = subplots(ncols=len(scores), figsize=(4.4 * len(scores), 2.9), squeeze=False)
    for axis, (name, one) in zip(axes[0], scores.items(), strict=True):
        tokens = one.top_tokens[at, :SHOWN].tolist()
        shares = np.exp(one.top_log_p[at, :SHOWN])
        colours = [plot.PALETTE[4 if t == right else 7] for t in tokens]
        bars = axis.barh(range(SHOWN), shares, color=colours)
        axis.bar_label(bars, [f"{share:.1%}" for share in shares], padding=3, fontsize=9)
        words = wrong_answers.written(tokens, task.tokenizer)
        axis.set_yticks(range(SHOWN), words, parse_math=False)
        axis.set(xlim=(0, 1.2), xticks=[0, 0.5, 1], xlabel="probability", title=name)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    canvas.suptitle("The most probable first tokens; green: how the true word begins", fontsize=10)
    return canvas


def samples(task: Task, scores: Mapping[str, Scores]):
    """A box to choose variant and passage (its place in `by_loss`): `sentence` and `picture`."""
    parent, *others = scores
    others = others or [parent]

    def show(variant: str, place: int) -> tuple[str, Figure]:
        at = int(by_loss(scores[parent], scores[variant])[place - 1])
        pair = {v: scores[v] for v in (parent, variant)}
        return sentence(task, at, pair), picture(task, at, pair)

    count = live.counter(1, len(task.passages), "passage, most lost first")
    return live.follow(show, [live.choice(others, "variant", others[-1]), count])
