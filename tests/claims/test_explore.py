"""Each claim is shown with the verdict, figure and range that the ledger has."""

import html

import pytest
from explored import moves, stands_still

from qlab.claims import claims, explore, ledger
from qlab.claims.data import Evidence
from qlab.claims.plots import STYLE
from qlab.claims.verdicts import HOLDS, NOT

SOURCES, _ = claims.read()
EVIDENCE = Evidence("mini")
JUDGED = ledger.judge_all(EVIDENCE)


@pytest.fixture
def box():
    return explore.widget(JUDGED, SOURCES, EVIDENCE)


@pytest.mark.parametrize("one", JUDGED, ids=lambda j: j.claim.id)
def test_the_text_is_the_ledgers(one):
    told = html.unescape(explore.sentence(one, SOURCES[one.claim.source]))
    assert told.startswith(f"<b>{STYLE[one.verdict][2]}</b>: {one.claim.statement}")
    if one.term is None:
        assert one.reason in told
    else:
        assert f"Found {ledger.written(one.term)}, n = " in told
        assert f"wanted {ledger.wanted(one.term)}. Read from " in told
        assert f"{ledger.relative(one.file)}. Rule: kind {one.claim.rule.kind}; " in told


def test_figures_are_the_rules_with_the_deciding_one_first():
    by_id = {j.claim.id: j for j in JUDGED}
    found = explore.terms(by_id["every_detector_is_faster"], EVIDENCE)
    assert len(found) == 7 and found[0] == by_id["every_detector_is_faster"].term
    assert [t.margin for t in found[1:]] == sorted(t.margin for t in found[1:])
    assert {t.verdict(7) for t in found} >= {HOLDS, NOT}  # some may be undecided, by the machine
    counted = explore.terms(by_id["layer_before_gets_a_quantizer"], EVIDENCE)
    assert [t.unit for t in counted] == ["row"]


def test_every_control_moves_text_or_picture(box):
    claim = next(j.claim.id for j in JUDGED if (j.claim.source, j.verdict) == ("ssm_paper", NOT))
    moves(box, {"source": "ssm_paper", "verdict": NOT, "claim": "every_detector_is_faster"})
    assert claim in box.children[2].options
    stands_still(box)
