"""The committed tables, the rules of belief, and tables of one's own."""

import pandas as pd
import pytest
from conftest import ROOT

from qlab.core.errors import QlabError
from qlab.evidence import models as evidence_models
from qlab.evidence.models import COLUMNS

EVIDENCE = ROOT / "data" / "evidence"
SIX = evidence_models.read(EVIDENCE / "six_studies.csv")
GOOD = {
    "study": "mine", "configuration": "w8a8", "technique": "int8_static", "effect": "accuracy",
    "metric": "top-1", "improvement": "-0.8", "iqr": "", "std": "", "standard_error": "",
    "runs": "1", "base": "0.5", "quality": "0.6", "belief": "", "intensity": "", "citation": "Me",
}  # fmt: skip


def written(folder, change: dict):
    path = folder / "mine.csv"
    pd.DataFrame([GOOD, {**GOOD, "configuration": "c", **change}]).to_csv(path, index=False)
    return path


def test_beliefs_by_the_papers_rule_and_by_the_authors_later_one():
    def discount(improvement, iqr):
        row = {"base": 0.5, "quality": 0.851841, "improvement": improvement, "iqr": iqr}
        return 1 - evidence_models.published_rule(row) / evidence_models.study_belief(row)

    def later(improvement, std, runs):
        row = {"base": 0.5, "quality": 0.4, "improvement": improvement, "std": std, "runs": runs}
        return evidence_models.later_rule(row) / 0.6

    # effects.json of Alizadeh 2025, int4, accuracy: mean 0.485, IQR 15.192, discount 0.956
    assert discount(0.485, 15.192) == pytest.approx(0.956, abs=5e-4)
    assert discount(5, 0) == 0 == discount(0, 0) and discount(0, 1) == 1
    assert discount(-4, 1) == discount(4, 1)
    assert later(10, 0, 1) == pytest.approx(1 - 2.718281828 ** (-1 / 3))
    assert later(10, 9, 4) == later(10, 0, 4) and later(10, 9, 5) < later(10, 0, 5)
    row = SIX.query(
        "study == 'alizadeh_2025' and configuration == 'w4a16' and effect == 'accuracy'"
    )
    assert row["belief"].item() == 0.031
    # 0.644 in the authors' later package (tests/test_forestplot_belief_parity.py)
    assert evidence_models.later_rule(row.iloc[0]) == pytest.approx(0.644, abs=5e-4)


def test_belief_and_intensity_may_be_left_to_the_rules(tmp_path):
    table = evidence_models.read(written(tmp_path, {"improvement": "6", "iqr": "3", "runs": "5"}))
    assert list(table.columns) == COLUMNS and table["runs"].tolist() == [1, 5]
    assert table["intensity"].tolist() == ["IF", "WP"]
    assert table["belief"].tolist() == pytest.approx([0.65, 0.65 * 2.718281828**-0.05])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"study": " "}, "row 3, column 'study': Field required"),
        ({"improvement": "-0,8"}, "column 'improvement': .* valid number.*; found '-0,8'"),
        ({"effect": "speed"}, "row 3, column 'effect': Input should be 'accuracy'.*found 'speed'"),
        ({"effect": "storage_size", "improvement": "101"}, "improvement of a resource is at most"),
        ({"runs": "0"}, "column 'runs': .* greater than or equal to 1"),
        ({"base": "0.75"}, "row 3: base must be one of 0.0, 0.25, 0.5, not 0.75"),
        ({"belief": "0.9"}, "row 3: belief is not .*, which is 0.650"),
        ({"intensity": "SP"}, "row 3: intensity is not IF, which the cut points give"),
        ({"configuration": "w8a8", "improvement": "-1"}, "row 3: .* has this effect twice"),
        (b"", "no CSV file"),
        (b"\xff\xfe\x00", "no CSV file"),
        (b"a,b\n1,2\n", "columns must be study,"),
    ],
)
def test_what_is_wrong_is_said_with_row_and_column(tmp_path, change, told):
    path = tmp_path / "mine.csv"
    path.write_bytes(change) if isinstance(change, bytes) else written(tmp_path, change)
    with pytest.raises(QlabError, match=f"mine.csv.*{told}"):
        evidence_models.read(path)
