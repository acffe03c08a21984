"""README's table says what the records say, and cannot go stale unseen."""

import committed
import pytest
from conftest import ROOT

from qlab.claims import chooser
from qlab.claims.chooser import KINDS, LONG
from qlab.core.errors import QlabError
from qlab.run import table

README = (ROOT / "README.md").read_text(encoding="utf-8")
HERE = {profile: chooser.read_all(profile) for profile in table.ROWS}


def at_head(name: str, profile: str):
    """A kind's variants from the last commit, for `make figures` times every machine anew."""
    long = ROOT / "data" / "results" / (profile + LONG) / f"{KINDS[name].experiment}.csv"
    place = profile + LONG if long.is_file() else profile
    return chooser.variants(KINDS[name], committed.table(KINDS[name].experiment, place))


def test_readme_agrees_with_the_records():
    """With those here, or, once `make figures` has timed this machine, with those committed."""
    if table.readme(README, HERE) != README:
        tables = {p: {name: at_head(name, p) for name in kinds} for p, kinds in table.ROWS.items()}
        assert table.readme(README, tables) == README, "stale: run make table"


def test_a_row_is_the_record_and_only_what_stands_between_the_markers_is_rewritten():
    first, last = (line for line in README.splitlines() if line.startswith("<!-- results:"))
    told = table.readme(f"above\n{first}\nold\n{last}\nbelow\n", HERE)
    assert told.startswith(f"above\n{first}\n| profile") and told.endswith(f"{last}\nbelow\n")
    row = HERE["mini"]["detector"].set_index("variant").loc["int8_static"]
    quality = [f"{100 * row[name]:+.2f}" for name in ("quality", "quality_low", "quality_high")]
    assert f"| `mini` | detector | `int8_static` | {row['share']:.3f} | {row['time']:.2f} [" in told
    assert "| {} [{}, {}] | 400 images |".format(*quality) in told and "old" not in told
    with pytest.raises(QlabError, match="README.md must have a line"):
        table.readme("no markers", HERE)
