"""README's table says what the records say, and cannot go stale unseen."""

import subprocess

import pytest
from conftest import ROOT

from qlab.claims.chooser import KINDS
from qlab.core.errors import QlabError
from qlab.run import results_table
from qlab.run.results_table import BEGIN, END

HERE = results_table.here()


def test_readme_agrees_with_the_records():
    """With those here, or, once `make figures` has timed this machine, with those committed."""
    table = results_table.between((ROOT / "README.md").read_text(encoding="utf-8"))
    if table == results_table.markdown(HERE):
        return
    if subprocess.run(["git", "-C", str(ROOT), "rev-parse"], capture_output=True).returncode:
        pytest.skip(
            "these records are not README's, and without git the committed ones are unknown"
        )
    assert table == results_table.markdown(results_table.committed(ROOT)), (
        "README's table is stale: run python -m qlab.run.results_table (or make report)"
    )


def test_the_table_is_of_a_size_to_read_and_of_every_kind():
    rows = [r for r in results_table.markdown(HERE).splitlines() if r.startswith("| ")][1:]
    assert 10 <= len(rows) <= 14
    assert {row.split(" | ")[0].strip("| ") for row in rows} == set(KINDS)
    assert all(row.count("|") == 7 for row in rows)


def test_a_row_is_the_record():
    table = HERE["detector"]
    row = table.set_index("variant").loc["int8_static"]
    told = results_table.markdown(HERE)
    assert (
        f"| detector | `int8_static` | {row['share']:.3f} | {row['time']:.2f} "
        f"[{row['time_low']:.2f}, {row['time_high']:.2f}] | {100 * row['quality']:+.2f} "
        f"[{100 * row['quality_low']:+.2f}, {100 * row['quality_high']:+.2f}] | 400 images |"
    ) in told
    other = HERE | {"detector": table.assign(quality=table["quality"] + 0.01)}
    assert results_table.markdown(other) != told


def test_a_row_without_records_is_an_error():
    lacking = HERE["detector"].query("variant != 'fp16'")
    with pytest.raises(
        QlabError, match=r"a row of fp16 \(detector\), which the records of centernet"
    ):
        results_table.markdown(HERE | {"detector": lacking})


def test_the_committed_records_are_read_from_git(tmp_path):
    """A working tree whose records changed still finds those of its last commit."""
    results = tmp_path / "data" / "results" / "mini"
    results.mkdir(parents=True)
    for kind in KINDS.values():
        source = ROOT / "data" / "results" / "mini" / f"{kind.experiment}.csv"
        (results / source.name).write_bytes(source.read_bytes())
    with pytest.raises(QlabError, match="git gives no committed records"):
        results_table.committed(tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for call in (["init", "-q"], ["add", "."], ["commit", "-qm", "records"]):
        subprocess.run([*git, *call], check=True)
    before = results_table.markdown(results_table.committed(tmp_path))
    table = results / "centernet_ptq.csv"
    table.write_text("changed\n")
    assert results_table.markdown(results_table.committed(tmp_path)) == before


def test_only_what_stands_between_the_markers_is_rewritten():
    text = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    assert results_table.rewritten(text, "new") == f"above\n{BEGIN}\nnew\n{END}\nbelow\n"
    assert results_table.between(text) == "old"
    for broken in (f"{BEGIN} old", f"{END} {BEGIN}", f"{text}{text}"):
        with pytest.raises(QlabError, match="README.md must have one line"):
            results_table.rewritten(broken, "new")


def test_the_command_rewrites_the_readme_of_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    (tmp_path / "data").symlink_to(ROOT / "data")
    with pytest.raises(SystemExit, match="README.md"):
        results_table.main()
    readme = tmp_path / "README.md"
    readme.write_text(f"a\n{BEGIN}\n{END}\nb\n")
    results_table.main()
    first = readme.read_text()
    assert results_table.between(first) == results_table.markdown(HERE)
    results_table.main()
    assert readme.read_text() == first
