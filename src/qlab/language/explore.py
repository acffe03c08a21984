"""The explore section of notebook 02: passages with what any variant predicts, and top-k curves."""

import html
from collections.abc import Mapping

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.pyplot import subplots

from qlab.core import live, plot
from qlab.core.errors import QlabError
from qlab.core.records import interval
from qlab.language import plots as draw
from qlab.language import wrong_answers
from qlab.language.data import Task
from qlab.language.lambada import Passage
from qlab.language.scoring import TOP, Scores

SHOWN = 5  # predictions of a passage
READ = 250  # characters of a passage's end
_FIRST = ("autoround_w2_g64", "gptq_w4_g64")  # shown at first, if there


def by_loss(parent: Scores, variant: Scores) -> np.ndarray:
    """Passages by how much of the true word's probability is gone, most first."""
    gone = np.exp(parent.log_likelihood) - np.exp(variant.log_likelihood)
    return np.argsort(-gone, kind="stable")


def sentence(passage: Passage, at: int, scores: Mapping[str, Scores]) -> str:
    """A passage's end, what float and a variant say to its last word, and how often they differ."""
    end = ("... " if len(passage.context) > READ else "") + passage.context[-READ:]
    told = []
    for name, one in scores.items():
        p, says = np.exp(one.log_likelihood[at]), "says" if one.greedy[at] else "does not say"
        told.append(f"{name} gives it {f'{p:.1%}' if p > 1e-3 else 'less than 0.1%'} and {says} it")
    said = (
        f"Passage {at + 1}: {html.escape(end, quote=False)} "
        f"<b>{html.escape(passage.word, quote=False)}</b><br>Of the whole word: {'; '.join(told)}."
    )
    if len(scores) == 1:
        return said
    (parent, variant), (before, after) = scores, (one.greedy for one in scores.values())
    return (
        f"{said}<br>Of all {len(before):,} words {variant} no longer says "
        f"{(before & ~after).sum():,} that {parent} says, and says {(after & ~before).sum():,} "
        "that it does not."
    )


def picture(task: Task, at: int, scores: Mapping[str, Scores]) -> Figure:
    """The most probable first tokens of float and variant; green is how the word begins."""
    plot.use_style()
    right = task.encoded[at].tokens[-task.encoded[at].targets]
    canvas, axes = subplots(ncols=len(scores), figsize=(4.4 * len(scores), 2.9), squeeze=False)
    for axis, (name, one) in zip(axes[0], scores.items(), strict=True):
        tokens = [t for t in one.top_tokens[at, :SHOWN] if t >= 0]
        shares = np.exp(one.top_log_p[at, : len(tokens)])
        colours = [plot.PALETTE[4 if t == right else 7] for t in tokens]
        bars = axis.barh(range(len(tokens)), shares, color=colours)
        axis.bar_label(bars, [f"{share:.1%}" for share in shares], padding=3, fontsize=9)
        words = wrong_answers.written(tokens, task.tokenizer)
        axis.set_yticks(range(len(tokens)), words, parse_math=False)
        axis.set(xlim=(0, 1.2), xticks=[0, 0.5, 1], xlabel="probability", title=name)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    canvas.suptitle("The most probable first tokens; green: how the true word begins", fontsize=10)
    return canvas


def samples(task: Task, scores: Mapping[str, Scores]):
    """A box to choose variant and passage (its place in `by_loss`): `sentence` and `picture`."""
    parent = next(iter(scores))
    others = [v for v in scores if v != parent] or [parent]

    def show(variant: str, place: int) -> tuple[str, Figure]:
        at = int(by_loss(scores[parent], scores[variant])[place - 1])
        pair = {v: scores[v] for v in (parent, variant)}
        return sentence(task.passages[at], at, pair), picture(task, at, pair)

    first = next((v for v in _FIRST if v in others), others[-1])
    count = live.counter(1, len(task.passages), "passage, most lost first")
    return live.follow(show, [live.choice(others, "variant", first), count])


def curves(table: pd.DataFrame):
    """A box to choose reading, k, variants, and whether float's is subtracted: top-k over k."""
    variants = draw.variants_of(draw.in_order(draw.curve_rows(table, "top_first_token")))

    def show(reading: str, k: int, picked: tuple[str, ...], minus: bool) -> tuple[str, Figure]:
        rows = draw.curve_rows(table, f"{reading}_difference" if minus else reading)
        rows = rows[rows["variant"].isin(picked)]
        if rows.empty:
            raise QlabError(f"Pick one or more variants; there are {', '.join(variants)}.")
        here = draw.in_order(rows[rows["k"] == k])
        told = "; ".join(f"{row['variant']} {interval(row)}" for _, row in here.iterrows())
        plot.use_style()
        canvas, axis = subplots(figsize=(8.2, 3.8))
        axis.axvline(k, color="#444444", lw=1, ls="--")
        draw.topk_lines(axis, rows)
        if minus:
            axis.axhline(0, color="#444444", lw=1)
            axis.set_ylabel("top-k minus float's, 95 % bands")
        else:
            axis.set(ylabel="share of the passages, 95 % bands", ylim=draw.WHOLE)
        return f"Top-{k}: {told} (n = {here['n'].max():,}).", canvas

    picked = [v for v in variants if v in draw.CURVES or v == variants[0]]
    controls = [
        live.choice([(label, metric) for metric, label in draw.READINGS.items()], "reading"),
        live.counter(5, TOP, "k"),
        live.several(variants, "variants", picked),
        ipywidgets.Checkbox(False, description="minus float's, on the same passages"),
    ]
    return live.follow(show, controls)
