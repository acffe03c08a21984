"""The figures of notebook 02: records as points or lines."""

from pathlib import Path

import pandas as pd
import yaml
from matplotlib import ticker

from qlab.core import plot, records

# Axes and scales, by metric.
ABOUT = yaml.safe_load(Path(__file__).with_name("metrics.yaml").read_text("utf-8"))
METHODS = ["float", "gptq", "gptq_lora", "lora", "rtn", "bnb", "autoround", "other"]
COLOUR = dict(zip(METHODS, (plot.PALETTE[i] for i in (0, 1, 5, 7, 6, 4, 3, 2)), strict=True))
MARKER = {32: "o", 16: "v", 8: "s", 4: "D", 3: "^", 2: "X"}


def _kind(method: str | None) -> str:
    return "float" if pd.isna(method) else method if method in METHODS else "other"


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by bits, most first, then by method and variant; a variant's rows keep their order."""
    places = {"bits": lambda c: -c, "method": lambda c: c.map(lambda m: METHODS.index(_kind(m)))}
    return table.sort_values(
        ["bits", "method", "variant"], key=lambda c: places.get(c.name, lambda same: same)(c)
    )


def whole(table: pd.DataFrame) -> pd.DataFrame:
    """Rows about whole variants of the model itself, whose sizes are recorded, on whole passages:
    no twin, no other model, no last sentences, no part of the layers."""
    plain = table[["condition", "part", "where"]].isna().all(axis=1)
    return table[plain & table["model"].isin(table.loc[table["metric"] == "size_bytes", "model"])]


def told(rows: pd.DataFrame, columns: str | list[str] = "metric", form=".3g") -> pd.DataFrame:
    """Values with their intervals as text: a row per variant, a column per value of `columns`;
    empty where a variant has none."""
    forms = [form if most < 1000 else ",.0f" for most in rows[["value", "ci_high"]].max(axis=1)]
    texts = [records.interval(r, f) for (_, r), f in zip(rows.iterrows(), forms, strict=True)]
    where = {"index": "variant", "columns": columns, "values": "told"}
    wide = rows.assign(told=texts).pivot_table(**where, aggfunc="first", sort=False)
    return wide.rename_axis(index=None).fillna("")


def _points(axis, places, rows: pd.DataFrame, along: str):
    """Draw one variant's values, with intervals `along` the x or y axis, at `places` on the other
    one: colour by method, marker by bits, hollow for groups of 128. Values along y are joined."""
    first, joined = rows.iloc[0], along == "y" and len(rows) > 1
    style = {"color": COLOUR[_kind(first["method"])], "marker": MARKER.get(first["bits"], "P")}
    style |= {"mfc": "none"} if rows["group_size"].eq(128).any() else {}
    style |= {"ls": "-" if joined else "none", "lw": 1 if joined else 1.5}
    ends = [(rows[end] - rows["value"]).abs().fillna(0) for end in ("ci_low", "ci_high")]
    at = (places, rows["value"]) if along == "y" else (rows["value"], places)
    return axis.errorbar(*at, ms=6, capsize=2, **{f"{along}err": ends}, **style)


def _axis(axes, letter: str, name: str, zero: bool = True) -> None:
    """Set label and scale of the x or y axis for a metric or column, with ticks written out (large
    ones as 12 k) where it is not linear, and draw a line at zero where the scale has one."""
    about = ABOUT.get(name, {})
    scale, label = about.get("scale", "linear"), "block" if name == "depth" else name
    axes.set(**{f"{letter}label": about.get("axis", label)})
    if scale != "linear":
        linear = {"linthresh": 0.1} if scale == "symlog" else {}
        getattr(axes, f"set_{letter}scale")(scale, **linear)
        axis = getattr(axes, f"{letter}axis")
        low, high = axis.get_view_interval()
        ticks = ticker.FixedLocator([-10, -1, -0.1, 0, 0.1, 1, 10])
        if scale == "log":
            # Over a range this small, a LogLocator sets as many ticks as will fit, and more.
            several = ticker.LogLocator(subs=(1, 3) if high < 1000 * low else (1,))
            ticks = several if high > 20 * low else ticker.MaxNLocator(4)
        axis.set_major_locator(ticks)
        axis.set_major_formatter(ticker.EngFormatter() if high >= 10_000 else "{x:,.10g}")
        axis.set_minor_formatter(ticker.NullFormatter())
    if zero and scale != "log":
        (axes.axvline if letter == "x" else axes.axhline)(0, color="#444444", lw=1)


def about(rows: pd.DataFrame) -> str:
    """The rows' models and data set, their number of items, and what their intervals are."""
    least, most = rows["n"].min(), rows["n"].max()
    n = f", n = {least:,} to {most:,}" if least < most else f", n = {most:,}" * int(most > 1)
    first, *others = rows["model"].unique()
    models = ", ".join([first, *(others if len(others) < 2 else [f"{len(others)} others"])])
    sure = ", 95 % intervals" if "ci_low" in rows and rows["ci_low"].notna().any() else ""
    return f"{models} on {rows['dataset'].iloc[0]}{n}{sure}"


def points(
    name: str, place: str, rows: pd.DataFrame, title: str, x: str = "", panel: str = "metric"
) -> None:
    """Draw each variant's value with its interval, on a line of its own or, joined, over the column
    `x`; one panel per value of the column `panel`, and a panel of one variant has its own scale.
    Without rows there is no figure."""
    if rows.empty:
        return
    rows, alone, handles = in_order(rows), panel == "variant", {}
    shown, parts = list(rows["variant"].unique()), dict(iter(rows.groupby(panel, sort=False)))
    size = (1.6 + 2.9 * len(parts), 1.6 + 0.28 * len(shown))
    size = (max(8.4, 1.5 + 1.7 * len(parts)), 4.2) if x else size
    layout = {"figsize": size, "sharey": not alone, "squeeze": False, "ncols": len(parts)}
    with plot.figure(name, place, rows, **layout) as (canvas, [axes]):
        canvas.suptitle(f"{title}\n{about(rows)}", x=0.01, ha="left", fontsize=11)
        for axis, (of, some) in zip(axes, parts.items(), strict=True):
            for variant in some["variant"].unique():
                line = some[some["variant"] == variant].sort_values(x or "value")
                places = line[x].to_numpy(float) if x else [shown.index(variant)] * len(line)
                handles[variant] = _points(axis, places, line, "y" if x else "x")
            _axis(axis, "y" if x else "x", some["metric"].iloc[0])
            if x:
                _axis(axis, "x", x, zero=False)
                axis.set_ylabel(axis.get_ylabel() if axis is axes[0] else "")
            else:
                axis.grid(axis="y", visible=False)
            if panel != "metric":
                axis.set_title(of.replace(" minus ", "\nminus "), size=9)
        if not x:
            axes[0].set_yticks(range(len(shown)), shown)
            axes[0].set_ylim(len(shown) - 0.5, -0.5)
        elif not alone:
            where = {"loc": "outside right center", "frameon": False, "fontsize": 9}
            canvas.legend([handles[v] for v in shown], shown, **where)
