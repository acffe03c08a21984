"""What the site is made of: figures and the cells that draw them, tables (README's too), starts."""

import re
import sys

import committed
import nbformat
import pytest
import yaml
from conftest import ROOT

from qlab.claims import chooser
from qlab.claims.chooser import KINDS, LONG
from qlab.core import records
from qlab.core.errors import QlabError

for folder in ("workflow/site", "workflow"):
    sys.path.append(str(ROOT / folder))
import drawn  # noqa: E402
import executed  # noqa: E402
import make as site  # noqa: E402
import results_table  # noqa: E402
import tables  # noqa: E402
from launch import make as launch  # noqa: E402

FIGURES = drawn.figures(ROOT)
BY_CALL = executed.drawing(ROOT, {name for _, name in FIGURES})
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = {"by_hand": "by_hand", "detector": "centernet_ptq", "language": "llama_gptq",
         "classifier": "resnet_qat", "evidence": "evidence_synthesis",
         "transformer": "transformer_qat"}  # fmt: skip
COPIES = sorted((ROOT / "docs" / "executed" / "small").glob("*.ipynb"))


@pytest.mark.parametrize("file", COPIES, ids=lambda file: file.stem[:2])
def test_every_figure_stands_under_its_cell_with_its_origin(file):
    own = {n: f for (p, n), f in FIGURES.items() if (p, f.notebook) == ("small", file.stem)}
    book = executed.page(file, own, BY_CALL, ROOT, "Start it")
    assert book.cells[0].source.splitlines()[2] == "Start it"
    text = "\n".join(cell.source for cell in book.cells)
    for one in own.values():
        assert text.count(f"({one.label})=\n") == 1, one.name
    pictures = 0
    for cell in book.cells:
        data = [o.data for o in cell.get("outputs", []) if "data" in o]
        assert all(executed.WIDGET not in d for d in data)
        if any("image/png" in d for d in data):
            pictures += 1
            assert cell.metadata["mystnb"]["image"]["alt"].strip()
    assert pictures >= len(own)
    told = drawn.about(next(iter(own.values())), ROOT, "here")
    assert re.search(r"Commit `[0-9a-f]{7}(\+changes)?`, .+, n = [\d,]+", told)
    assert f"make figures PROFILE=small ARGS=notebook_{file.stem}`" in told


def test_missing_notebooks_are_named_and_every_method_is_of_the_records(monkeypatch, tmp_path):
    monkeypatch.setattr(site, "ROOT", tmp_path)
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "notebooks.yaml").write_text("00_a: {experiment: a}\n")
    with pytest.raises(QlabError, match="lacks 00_a.ipynb: run make figures PROFILE=mini first"):
        site.notebooks("mini")
    listed = yaml.safe_load((ROOT / "docs" / "site" / "methods.yaml").read_text())
    shown = tables.methods(ROOT / "docs" / "site" / "methods.yaml")
    assert shown.count("<tr>") == len(listed) + 1 and "nan" not in shown
    kernels = tables.kernels(ROOT)
    assert kernels.count("<tr>") == 16 and "nan" not in kernels


@pytest.mark.parametrize("room", [*ROOMS])
def test_committed_records_are_of_metrics_as_their_room_defines_and_explains_them(room):
    here = ROOT / "src" / "qlab" / room / "metrics.yaml"
    metrics, told = records.metrics(str(here)) | records.COMPARED, tables.metrics(ROOT)
    for file in (ROOT / "data" / "results").glob(f"*/{ROOMS[room]}.csv"):
        for row in records.read_file(file).drop_duplicates("metric").itertuples():
            unit, better, clock = metrics[row.metric]
            assert (row.unit, row.better) == (unit, better), (file, row.metric)
            assert room == "evidence" or row.clock == clock, (file, row.metric)
            assert f"<code>{row.metric}</code>" in told


def test_starts_have_their_first_cell_and_readme_has_their_addresses(tmp_path):
    services = launch.services()
    for file in launch.write(tmp_path):
        book = nbformat.read(file, 4)
        [place] = [i for i, cell in enumerate(book.cells) if cell.id == "launch"]
        assert "parameters" in book.cells[place + 1].metadata["tags"]
        if file.parent.name != "lite":
            compile(book.cells[place].source, file.name, "exec")
            assert services["colab"]["repository"] in book.cells[place].source
    for name in ("colab", "kaggle", "binder"):
        assert all(address in README for address in services[name]["addresses"].values())


@pytest.fixture(scope="module")
def here():
    """Variants by profile and kind, of the records that lie here."""
    return {profile: tables.read_all(profile) for profile in results_table.PROFILES}


def at_head(name: str, profile: str):
    """A kind's variants from the last commit, for `make figures` times every machine anew."""
    long = ROOT / "data" / "results" / (profile + LONG) / f"{KINDS[name].experiment}.csv"
    place = profile + LONG if long.is_file() else profile
    return chooser.variants(KINDS[name], committed.table(KINDS[name].experiment, place))


def test_readme_agrees_with_the_records(here):
    """With those here, or, once `make figures` has timed this machine, with those committed."""
    rows = re.findall(r"^\| `(?:small|mini)`", README, re.M)
    assert len(rows) == len(results_table.ROW.findall(README))
    if results_table.readme(README, here) != README:
        head = {p: {name: at_head(name, p) for name in kinds} for p, kinds in here.items()}
        assert results_table.readme(README, head) == README, "stale: run make table"


def test_a_row_is_the_record_and_nothing_else_is_rewritten(here):
    told = results_table.readme("above\n| `mini` | detector | `int8_static` | old |\nbelow\n", here)
    row = here["mini"]["detector"].set_index("variant").loc["int8_static"]
    assert told.startswith("above\n| `mini` | detector | `int8_static` | ")
    assert f" | {row['share']:.3f} | {row['time']:.2f} [" in told and told.endswith("\nbelow\n")
    quality = [f"{100 * row[name]:+.2f}" for name in ("quality", "quality_low", "quality_high")]
    assert "| {} [{}, {}] | 400 images |\n".format(*quality) in told and "old" not in told
    for wrong, words in {"| none |": "has no row", "| `mini` | detector | `x` |": "of x,"}.items():
        with pytest.raises(QlabError, match=words):
            results_table.readme(wrong, here)
