"""The file of claims: what is committed is whole, and every mistake in one is named."""

import re

import pytest
import shown
from conftest import ROOT

from qlab.claims import claims
from qlab.core.errors import QlabError
from qlab.evidence import intensity

GOOD = """
sources:
  s: {name: Us, title: A study}
scopes:
  all: {said: all models, tiers: [mini, small]}
claims:
  smaller:
    kind: identity
    source: s
    scope: all
    place: results
    statement: It is smaller.
    experiment: centernet_ptq
    profile: mini
    rule: {kind: ratio, metric: size_bytes, variant: fp16, over: {variant: fp32}, below: 1}
"""


def test_the_committed_claims_are_enough_and_every_source_has_some():
    file = claims.read(ROOT / "data" / "claims.yaml")
    assert len(file.claims) >= 40 and len(file.sources) == 4
    assert {c.source for c in file.claims.values()} == set(file.sources)
    assert {c.scope for c in file.claims.values()} == set(file.scopes)
    assert len({c.statement for c in file.claims.values()}) == len(file.claims)
    rules = [c.rule for name, c in file.claims.items() if name.startswith("synthesis_")]
    names = ("belief", "intensity_low", "intensity_high")
    assert {r.part: tuple(r.values[name] for name in names) for r in rules} == {
        effect: (belief, *intensity.ends(intensity.parse(strength)))
        for effect, (strength, belief) in shown.published().items()
    }


MISTAKES = [
    ("source: s\n", "source: t\n", "smaller: no source 't'"),
    ("scope: all\n", "scope: few\n", "smaller: no source 's' or scope 'few'"),
    ("kind: ratio", "kind: ration", "rule: Input tag 'ration' .* expected tags: 'value', 'ratio'"),
    ("over: {variant: fp32}, ", "", "claims, smaller, rule, ratio: a ratio must have 'over'"),
    (", below: 1", "", "just one of 'above', 'below' and 'between'"),
    ("below: 1", "between: [2, 1]", "'between' must be two numbers, the smaller first"),
    ("below: 1}", "below: 1}\n    untested: no one asks", "either 'rule' or 'untested'"),
    ("below: 1}\n", "below: 1}\n" + GOOD[GOOD.index("  smaller:") :], "'smaller' in line 16 is"),
    ("kind: ratio,", "kind: ratio, kind: value,", "the key 'kind' in line 15 is given twice"),
    ("sources:", "sources: {", "is no YAML of claims"),
]


@pytest.mark.parametrize(("old", "new", "told"), MISTAKES, ids=[m[2][:40] for m in MISTAKES])
def test_a_mistake_is_named_with_claim_and_key(tmp_path, old, new, told):
    (tmp_path / "claims.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(QlabError) as error:
        claims.read(tmp_path / "claims.yaml")
    assert re.search(told, str(error.value)), str(error.value)
