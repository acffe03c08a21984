"""The claims of the four sources, read from data/claims.yaml and checked.

A claim is a source's statement in our words and a rule that judges it from records. The file says
how it is written; what each kind of rule does is in `claim_rules`. Nothing is judged here.
"""

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from qlab.core import paths
from qlab.core.errors import QlabError

PROFILES = ("mini", "mini-long", "full")  # whose records may judge
NOTEBOOKS = {  # experiment: the notebook that writes its records
    "centernet_ptq": "01_compress_centernet_with_tflite_ptq",
    "llama_gptq": "02_compress_llama_with_gptq",
    "resnet_qat": "03_recover_resnet_with_partial_qat",
    "evidence_synthesis": "04_weigh_the_evidence",
}
_RECORDS = {"metric", "variant"}
NEEDED = {  # kind of rule: the keys it must have
    "value": _RECORDS,
    "ratio": _RECORDS | {"over"},
    "difference": _RECORDS | {"minus"},
    "ordering": _RECORDS,
    "published": {"values", "tolerance", "variant"},
    "trend": _RECORDS,
    "places": {"test", "method", "bits"},
    "share": {"figure", "variant", "counted"},
    "count": {"figure", "where"},
}
_BOUNDS = {"above", "below", "between"}
_CHOSEN = {"model", "dataset", "exact", "quantifier"}
_BOUNDLESS = {"published", "ordering"}  # their bounds follow from the rule itself
_KEYS = {"id", "source", "place", "statement", "experiment", "profile", "rule", "untested", "needs"}
_REQUIRED = ("id", "source", "place", "statement", "experiment", "profile")


class Source(NamedTuple):
    """Whom we judge: the short name and the title."""

    name: str
    title: str


@dataclass(frozen=True)
class Claim:
    """A statement of a source and the rule that judges it.

    `place` says where in the source, as exactly as it is known. `profile` is the smallest that can
    judge it. `rule` is empty where nothing recorded could: then `untested` says why. `needs` says
    what a judgement would take that is not at hand here.
    """

    id: str  # small letters, digits, underscores: the variant of its record
    source: str
    place: str
    statement: str
    experiment: str  # whose records judge it
    profile: str
    rule: dict[str, Any] = field(default_factory=dict)
    untested: str = ""
    needs: str = ""


def path() -> Path:
    """Where the claims lie."""
    return paths.home() / "data" / "claims.yaml"


def read(file: Path | None = None) -> tuple[dict[str, Source], list[Claim]]:
    """The sources by id, and the claims, checked; in the file's order.

    QlabError names the file, the claim and the key of the first mistake.
    """
    file = file or path()
    if not file.is_file():
        raise QlabError(f"There are no claims at {file}; get the file again with git checkout.")
    try:
        found = yaml.load(file.read_text(encoding="utf-8"), Loader=_Strict)
    except yaml.YAMLError as error:
        raise QlabError(f"{file} is no YAML: {error}") from None
    if not isinstance(found, dict) or set(found) != {"sources", "claims"}:
        raise QlabError(f"{file} must hold 'sources' and 'claims', and nothing else.")
    sources = {i: _source(i, given, file.name) for i, given in found["sources"].items()}
    claims = [_claim(given, sources, file.name) for given in found["claims"]]
    names = [c.id for c in claims]
    if twice := {n for n in names if names.count(n) > 1}:
        raise QlabError(f"{file.name}: the id '{min(twice)}' is given twice; ids are unique.")
    return sources, claims


class _Strict(yaml.SafeLoader):
    """YAML's safe loader, which takes the last of two equal keys without a word: this refuses."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if twice := [k for i, k in enumerate(keys) if k in keys[:i]]:
            raise yaml.YAMLError(
                f"the key '{twice[0]}' stands twice in one mapping{node.start_mark}"
            )
        return super().construct_mapping(node, deep)


def _source(name: str, given: Any, file: str) -> Source:
    texts = given.values() if isinstance(given, dict) else []
    if not isinstance(given, dict) or set(given) != set(Source._fields) or not all(texts):
        raise QlabError(
            f"{file}, source '{name}': it must have 'name' and 'title'; found {given!r}."
        )
    return Source(**given)


def _claim(given: Any, sources: dict[str, Source], file: str) -> Claim:
    if not isinstance(given, dict):
        raise QlabError(f"{file}: a claim is a mapping with an id; found {given!r}.")
    where = f"{file}, claim '{given.get('id', '?')}'"
    _known(set(given), _KEYS, where)
    for key in _REQUIRED:
        if not isinstance(given.get(key), str) or not given[key].strip():
            raise QlabError(f"{where}: '{key}' must be a text; found {given.get(key)!r}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", given["id"]):
        raise QlabError(f"{where}: 'id' must be of small letters, digits and underscores.")
    for key, choices in (("source", sources), ("experiment", NOTEBOOKS), ("profile", PROFILES)):
        if given[key] not in choices:
            raise QlabError(
                f"{where}: '{key}' must be one of {', '.join(choices)}; found '{given[key]}'."
            )
    if ("rule" in given) == ("untested" in given):
        raise QlabError(f"{where}: it must have either 'rule' or 'untested' (why it has none).")
    if "rule" in given:
        _check_rule(given["rule"], f"{where}, rule")
    return Claim(**given)


def _check_rule(rule: Any, where: str) -> None:
    kind = rule.get("kind") if isinstance(rule, dict) else None
    if kind not in NEEDED:
        raise QlabError(f"{where}: 'kind' must be one of {', '.join(NEEDED)}; found {kind!r}.")
    bounds = set() if kind in _BOUNDLESS else _BOUNDS
    _known(set(rule), {"kind"} | NEEDED[kind] | bounds | _CHOSEN, where)
    if missing := sorted(NEEDED[kind] - set(rule)):
        raise QlabError(f"{where}: '{missing[0]}' is missing; '{kind}' needs it.")
    if bounds and len(bounds & set(rule)) != 1:
        raise QlabError(f"{where}: it must have just one of 'above', 'below' and 'between'.")
    for key in bounds & set(rule):
        _check_bound(key, rule[key], where)
    if rule.get("quantifier", "all") not in ("all", "any"):
        raise QlabError(f"{where}: 'quantifier' must be all or any; found {rule['quantifier']!r}.")


def _check_bound(key: str, found: Any, where: str) -> None:
    numbers = found if key == "between" and isinstance(found, list) else [found]
    right = all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
    if key == "between":
        right = right and len(numbers) == 2 and numbers[0] < numbers[1]
    if not right:
        expected = "two numbers, the smaller first" if key == "between" else "a number"
        raise QlabError(f"{where}: '{key}' must be {expected}; found {found!r}.")


def _known(found: set[str], known: set[str], where: str) -> None:
    if unknown := sorted(map(str, found - known)):
        near = difflib.get_close_matches(unknown[0], known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}."
        raise QlabError(f"{where}: there is no key '{unknown[0]}'; {hint}")
