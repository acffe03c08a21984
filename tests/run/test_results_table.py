"""README's table says what the records say, and cannot go stale unseen."""

import re

import committed
import pytest
from conftest import ROOT

from qlab.claims import chooser
from qlab.claims.chooser import KINDS, LONG
from qlab.core.errors import QlabError
from qlab.run import table

README = (ROOT / "README.md").read_text(encoding="utf-8")
HERE = {profile: chooser.read_all(profile) for profile in table.PROFILES}


def at_head(name: str, profile: str):
    """A kind's variants from the last commit, for `make figures` times every machine anew."""
    long = ROOT / "data" / "results" / (profile + LONG) / f"{KINDS[name].experiment}.csv"
    place = profile + LONG if long.is_file() else profile
    return chooser.variants(KINDS[name], committed.table(KINDS[name].experiment, place))


def test_readme_agrees_with_the_records():
    """With those here, or, once `make figures` has timed this machine, with those committed."""
    assert len(re.findall(r"^\| `(?:small|mini)`", README, re.M)) == len(table.ROW.findall(README))
    if table.readme(README, HERE) != README:
        tables = {p: {name: at_head(name, p) for name in kinds} for p, kinds in HERE.items()}
        assert table.readme(README, tables) == README, "stale: run make table"


def test_a_row_is_the_record_and_nothing_else_is_rewritten():
    told = table.readme("above\n| `mini` | detector | `int8_static` | old |\nbelow\n", HERE)
    row = HERE["mini"]["detector"].set_index("variant").loc["int8_static"]
    assert told.startswith("above\n| `mini` | detector | `int8_static` | ")
    assert f" | {row['share']:.3f} | {row['time']:.2f} [" in told and told.endswith("\nbelow\n")
    quality = [f"{100 * row[name]:+.2f}" for name in ("quality", "quality_low", "quality_high")]
    assert "| {} [{}, {}] | 400 images |\n".format(*quality) in told and "old" not in told
    for wrong, words in (
        ("| none |", "has no row"),
        ("| `mini` | detector | `x` |", "a row of x,"),
    ):
        with pytest.raises(QlabError, match=words):
            table.readme(wrong, HERE)
