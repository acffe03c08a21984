"""The claims of the four sources, read from data/claims.yaml and checked; nothing is judged here.

A claim is a source's statement in our words and a rule that judges it from records. The file says
how it is written; what each kind of rule does is in `rules`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from qlab.claims.address import Checked, Text
from qlab.claims.rules import Counted, Difference, Published, Ratio, Value
from qlab.claims.sweeps import Depth, Trend
from qlab.core import paths
from qlab.core.errors import QlabError

NOTEBOOKS = {  # experiment: the notebook that writes its records
    "centernet_ptq": "01_compress_centernet_with_tflite_ptq",
    "llama_gptq": "02_compress_llama_with_gptq",
    "resnet_qat": "03_recover_resnet_with_partial_qat",
    "evidence_synthesis": "04_weigh_the_evidence",
}

TIERS = ("mini", "small", "full")  # profiles whose records judge, by how near they are to a source
EMBEDDED = TIERS[0]
Rule = Annotated[
    Value | Ratio | Difference | Published | Trend | Depth | Counted,
    Field(discriminator="kind"),
]


class Source(Checked):
    """Whom we judge."""

    name: Text
    title: Text


class Scope(Checked):
    """Of which models a source speaks, and the tiers whose models are such."""

    said: Text
    tiers: list[Literal[*TIERS]]


class Claim(Checked):
    """A statement of a source and the rule that judges it, from this profile on.

    Its kind: `identity`, bytes that are counted and no sample could change; `replay`, a source's
    table recomputed; `measured`. Where nothing recorded could judge it, there is no rule, and
    `untested` says why. `needs` says what a judgement would take that is not at hand here.
    """

    id: str = Field(pattern="^[a-z][a-z0-9_]*$")  # the variant of its record
    kind: Literal["identity", "replay", "measured"]
    source: Text
    scope: Text
    place: Text
    statement: Text
    experiment: Literal[*NOTEBOOKS]
    profile: Literal["mini", "mini-long", "full"]
    rule: Rule | None = None
    untested: str = ""
    needs: str = ""

    @model_validator(mode="after")
    def _judged_or_not(self) -> Self:
        if bool(self.rule) == bool(self.untested):
            raise ValueError("it must have either 'rule' or 'untested' (why it has none)")
        return self


class File(Checked):
    """data/claims.yaml."""

    sources: dict[str, Source]
    scopes: dict[str, Scope]
    claims: list[Claim]

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        ids = [claim.id for claim in self.claims]
        for i, claim in enumerate(self.claims):
            for what, known in (("source", self.sources), ("scope", self.scopes)):
                if (named := getattr(claim, what)) not in known:
                    raise ValueError(f"claim '{claim.id}': there is no {what} '{named}'")
            if claim.id in ids[:i]:
                raise ValueError(f"the id '{claim.id}' is given twice; ids are unique")
        return self


class _Strict(yaml.SafeLoader):
    """YAML's safe loader, which takes the last of two equal keys without a word: this refuses."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        if twice := [k for i, k in enumerate(keys) if k in keys[:i]]:
            raise yaml.YAMLError(f"the key '{twice[0]}' stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def path() -> Path:
    """Where the claims lie."""
    return paths.home() / "data" / "claims.yaml"


def read(file: Path | None = None) -> File:
    """The `sources` and `scopes` by id, and the `claims`, checked; in the file's order.

    QlabError names the file, the claim and the keys of what is wrong.
    """
    file = file or path()
    if not file.is_file():
        raise QlabError(f"There are no claims at {file}; get the file again with git checkout.")
    try:
        given = yaml.load(file.read_text(encoding="utf-8"), Loader=_Strict)
        return File.model_validate(given)
    except yaml.YAMLError as error:
        raise QlabError(f"{file} is no YAML: {error}") from None
    except ValidationError as error:
        told = [_told(one, given) for one in error.errors()[:3]]
        raise QlabError(f"{file.name}, {'; '.join(told)}.") from None


def _told(error: dict, given: Any) -> str:
    """One mistake: which claim, which key, pydantic's words for it."""
    keys = list(error["loc"])
    if keys[:1] == ["claims"] and len(keys) > 1:
        one = given["claims"][keys[1]]
        keys[:2] = [f"claim '{one.get('id', '?') if isinstance(one, dict) else one}'"]
    where = f"{', '.join(map(str, keys))}: " if keys else ""
    return f"{where}{error['msg'].removeprefix('Value error, ')}"
