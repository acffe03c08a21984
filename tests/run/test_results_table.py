"""README's table says what the records say, and cannot go stale unseen."""

import io
import subprocess

import pandas as pd
import pytest
from conftest import ROOT

from qlab.claims import chooser
from qlab.claims.chooser import KINDS, LONG
from qlab.core import records
from qlab.core.errors import QlabError
from qlab.run import results_table
from qlab.run.results_table import BEGIN, END, PROFILE

README = (ROOT / "README.md").read_text(encoding="utf-8")
HERE = chooser.read_all(PROFILE)


def committed(kind) -> pd.DataFrame:
    """A kind's variants from the last commit, for `make figures` times every machine anew."""
    for profile in (PROFILE + LONG, PROFILE):
        path = f"HEAD:data/results/{profile}/{kind.experiment}.csv"
        done = subprocess.run(["git", "-C", ROOT, "show", path], capture_output=True, text=True)
        if done.returncode == 0:
            table = pd.read_csv(io.StringIO(done.stdout), keep_default_na=False, na_values=[""])
            return chooser.variants(kind, records.check(table, path))
    pytest.skip("these records are not README's, and git gives no committed ones")


def test_readme_agrees_with_the_records():
    """With those here, or, once `make figures` has timed this machine, with those committed."""
    if results_table.rewritten(README, results_table.markdown(HERE)) != README:
        table = results_table.markdown({name: committed(kind) for name, kind in KINDS.items()})
        assert results_table.rewritten(README, table) == README, "stale: run make report"


def test_a_row_is_the_record_and_every_kind_has_some():
    told = results_table.markdown(HERE)
    rows = [line for line in told.splitlines() if line.startswith("| ")][1:]
    assert 10 <= len(rows) <= 14 and {row.split(" | ")[0].strip("| ") for row in rows} == set(KINDS)
    row = HERE["detector"].set_index("variant").loc["int8_static"]
    assert (
        f"| detector | `int8_static` | {row['share']:.3f} | {row['time']:.2f} "
        f"[{row['time_low']:.2f}, {row['time_high']:.2f}] | {100 * row['quality']:+.2f} "
        f"[{100 * row['quality_low']:+.2f}, {100 * row['quality_high']:+.2f}] | 400 images |"
    ) in told
    with pytest.raises(KeyError, match="fp16"):
        results_table.markdown(HERE | {"detector": HERE["detector"].query("variant != 'fp16'")})


def test_the_command_rewrites_what_stands_between_the_markers(tmp_path, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    (tmp_path / "data").symlink_to(ROOT / "data")
    readme = tmp_path / "README.md"
    for broken in (f"{BEGIN} old", f"{END} {BEGIN}"):
        with pytest.raises(QlabError, match="README.md must have a line"):
            results_table.rewritten(broken, "new")
    readme.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    results_table.main()
    table = results_table.markdown(HERE)
    assert readme.read_text() == f"above\n{BEGIN}\n{table}\n{END}\nbelow\n"
