"""Each claim is shown with the verdict, figure and range that the ledger has."""

from qlab.claims import explore, ledger
from qlab.claims.data import Evidence
from qlab.claims.verdicts import HOLDS, NOT

EVIDENCE = Evidence("mini")
JUDGED = ledger.judge_all(EVIDENCE)


def test_figures_are_the_rules_with_the_deciding_one_first():
    by_id = {j.claim.id: j for j in JUDGED}
    found = explore.terms(by_id["every_detector_is_faster"], EVIDENCE)
    assert len(found) == 7 and found[0] == by_id["every_detector_is_faster"].term
    assert [t.margin for t in found[1:]] == sorted(t.margin for t in found[1:])
    assert {t.verdict(7) for t in found} >= {HOLDS, NOT}  # some may be undecided, by the machine
    counted = explore.terms(by_id["layer_before_gets_a_quantizer"], EVIDENCE)
    assert [t.unit for t in counted] == ["row"]
