"""Each claim is shown with the verdict, figure and range that the ledger has."""

import html

import pytest
from explored import moves, shown, stands_still

from qlab.claims import claims, explore, ledger
from qlab.claims.data import Evidence
from qlab.claims.explore import ALL_SOURCES, ANY_VERDICT
from qlab.claims.plots import STYLE
from qlab.claims.verdicts import HOLDS, NOT, UNTESTED

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


def test_only_claims_of_source_and_verdict_are_on_offer(box):
    source, verdict, claim, text, _ = box.children
    assert len(claim.options) == len(JUDGED)
    source.value, verdict.value = "qat_midterm", HOLDS
    assert list(claim.options) == [
        j.claim.id for j in JUDGED if (j.claim.source, j.verdict) == ("qat_midterm", HOLDS)
    ]
    source.value, verdict.value = ALL_SOURCES, ANY_VERDICT
    assert len(claim.options) == len(JUDGED)


def test_what_was_not_tested_says_why_and_draws_nothing(box):
    _, verdict, claim, text, _ = box.children
    verdict.value = UNTESTED
    assert claim.value in {j.claim.id for j in JUDGED if j.term is None}
    assert text.value.startswith("<b>not tested here</b>") and "Needs:" in text.value
    assert len(shown(box)[1]) < 2000


def test_where_no_claim_is_left_a_sentence_says_so():
    few = [j for j in JUDGED if j.claim.source == "qat_article" and j.verdict == HOLDS]
    box = explore.widget(few, SOURCES, EVIDENCE)
    box.children[1].value = NOT
    assert box.children[-2].value == (
        "all sources: there is no claim with the verdict 'does not hold'."
    )
    box.children[0].value = "qat_article"
    assert box.children[-2].value.startswith(f"{SOURCES['qat_article'].name}: there is no claim")


def test_figures_of_unlike_units_have_axes_of_their_own():
    one = next(j for j in JUDGED if j.claim.id == "synthesis_accuracy")
    canvas = explore.picture(explore.terms(one, EVIDENCE))
    assert [len(axis.get_yticks()) for axis in canvas.axes] == [1, 2]
    shaded = canvas.axes[0].patches[0]
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == pytest.approx(
        (one.term.low, one.term.high)
    )
