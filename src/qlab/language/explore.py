"""The explore section of notebook 02: any passage, and what any variant predicts."""

import html
from collections.abc import Mapping

import ipywidgets
import numpy as np
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.core import live, plot
from qlab.language import wrong_answers
from qlab.language.data import Task
from qlab.language.scoring import Scores


def samples(task: Task, scores: Mapping[str, Scores]):
    """A box to choose variant and passage, those first that lost most of the true word's
    probability: its end, what float and variant say, and their most probable first tokens."""
    parent, *others = scores
    others = others or [parent]

    def show(variant: str, place: int) -> tuple[str, Figure]:
        before, after = (np.exp(scores[v].log_likelihood) for v in (parent, variant))
        at, told = int(np.argsort(after - before, kind="stable")[place - 1]), []
        pair = {v: scores[v] for v in (parent, variant)}
        for name, one in pair.items():
            says = "says" if one.greedy[at] else "does not say"
            told.append(f"{name} {says} it ({np.exp(one.log_likelihood[at]):.1%})")
        passage = task.passages[at]
        end, word = (html.escape(s, quote=False) for s in (passage.context[-250:], passage.word))
        text = f"Passage {at + 1}: ... {end} <b>{word}</b><br>{'; '.join(told)}."
        return text, _picture(task, at, pair)

    controls = [
        ipywidgets.Dropdown(options=others, value=others[-1], description="variant"),
        ipywidgets.IntSlider(1, 1, len(task.passages), description="passage, most lost first"),
    ]
    return live.follow(show, controls)


def _picture(task: Task, at: int, scores: Mapping[str, Scores], shown: int = 5) -> Figure:
    """The most probable first tokens of each variant; green is how the word begins."""
    plot.use_style()
    right = task.encoded[at].tokens[-task.encoded[at].targets]
    canvas, axes = subplots(ncols=len(scores), figsize=(4.4 * len(scores), 2.9), squeeze=False)
    for axis, (name, one) in zip(axes[0], scores.items(), strict=True):
        tokens, shares = one.top_tokens[at, :shown].tolist(), np.exp(one.top_log_p[at, :shown])
        colours = [plot.PALETTE[4 if t == right else 7] for t in tokens]
        bars = axis.barh(range(shown), shares, color=colours)
        axis.bar_label(bars, fmt="{:.1%}", padding=3, fontsize=9)
        words = wrong_answers.written(tokens, task.tokenizer)
        axis.set_yticks(range(shown), words, parse_math=False)
        axis.set(xlim=(0, 1.2), xticks=[0, 0.5, 1], xlabel="probability", title=name)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    canvas.suptitle("The most probable first tokens; green: how the true word begins", fontsize=10)
    return canvas
