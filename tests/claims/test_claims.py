"""The file of claims: what is committed is whole, and every mistake in one is named."""

import re

import pytest
from conftest import ROOT

from qlab.claims import claims
from qlab.core.errors import QlabError

GOOD = """
sources:
  s: {name: Us, title: A study}
scopes:
  all: {said: all models, tiers: [mini, small]}
claims:
  - id: smaller
    kind: identity
    source: s
    scope: all
    place: results
    statement: It is smaller.
    experiment: centernet_ptq
    profile: mini
    rule: {kind: ratio, metric: size_bytes, variant: fp16, over: {variant: fp32}, below: 1}
"""


@pytest.fixture
def read(tmp_path):
    """Reads a changed copy of the good file: pairs of old and new text."""

    def changed(*pairs):
        text = GOOD
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "claims.yaml"
        file.write_text(text)
        return claims.read(file)

    return changed


def test_the_committed_claims_are_enough_and_every_source_has_some():
    file = claims.read(ROOT / "data" / "claims.yaml")
    sources, found = file.sources, file.claims
    assert len(found) >= 40
    assert {c.source for c in found} == set(sources) and len(sources) == 4
    assert {c.scope for c in found} == set(file.scopes)
    assert len({c.statement for c in found}) == len(found), "two claims read the same"


def test_the_ten_aggregated_effects_are_those_of_the_paper():
    """The paper's table, retyped: belief and intensity, -3 (SN) to 3 (SP)."""
    expected = {
        "accuracy": (0.90, -1, -1), "f1": (0.83, 0, 0), "storage_size": (1.00, 3, 3),
        "inference_latency": (0.98, 0, 1), "inference_energy": (0.69, 1, 1),
        "inference_power": (0.93, 1, 1), "gpu_energy": (0.95, 2, 3), "gpu_power": (0.96, 0, 1),
        "gpu_memory_utilisation": (0.71, 2, 3), "gpu_utilisation": (0.74, 0, 0),
    }  # fmt: skip
    found = claims.read(ROOT / "data" / "claims.yaml").claims
    rules = {c.id: c.rule for c in found if c.id.startswith("synthesis_")}
    assert set(rules) == {f"synthesis_{e}" for e in expected}
    for effect, numbers in expected.items():
        rule, names = rules[f"synthesis_{effect}"], ("belief", "intensity_low", "intensity_high")
        assert rule.part == effect and rule.values == dict(zip(names, numbers, strict=True))


MISTAKES = [
    ("place:", "plaice:", "claim 'smaller', place: Field required; .*plaice: Extra inputs are not"),
    ("source: s\n", "source: t\n", "claim 'smaller': there is no source 't'"),
    ("scope: all\n", "scope: few\n", "claim 'smaller': there is no scope 'few'"),
    ("kind: identity", "kind: guess", "kind: Input should be 'identity', 'replay' or 'measured'"),
    ("[mini, small]", "[tiny]", "scopes, all, tiers, 0: Input should be 'mini', 'small' or 'full'"),
    ("profile: mini", "profile: tiny", "profile: Input should be 'mini', 'mini-long' or 'full'"),
    ("kind: ratio", "kind: ration", "rule: Input tag 'ration' .* expected tags: 'value', 'ratio'"),
    ("over: {variant: fp32}, ", "", "claim 'smaller', rule, ratio, over: Field required"),
    (", below: 1", "", "just one of 'above', 'below' and 'between'"),
    ("below: 1", "between: [2, 1]", "'between' must be two numbers, the smaller first"),
    ("below: 1}", "below: 1}\n    untested: no one asks", "either 'rule' or 'untested'"),
    ("below: 1", "below: 1, below: 2", "'below' stands twice"),
    ("below: 1}\n", "below: 1}\n" + GOOD[GOOD.index("  - id:") :], "id 'smaller' is given twice"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), MISTAKES, ids=[m[2][:40] for m in MISTAKES])
def test_a_mistake_is_named_with_claim_and_key(read, old, new, sentence):
    with pytest.raises(QlabError) as error:
        read((old, new))
    assert re.search(sentence, str(error.value)), str(error.value)
