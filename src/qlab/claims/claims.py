"""The claims of the four sources, read from data/claims.yaml and checked; none is judged here."""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from qlab.claims.address import Checked, Text
from qlab.claims.rules import Compared, Counted, Depth, Published, Trend, Value
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
    Value | Compared | Published | Trend | Depth | Counted, Field(discriminator="kind")
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
    """A statement of a source and the rule that judges it; data/claims.yaml explains the keys."""

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
    def _whole(self) -> Self:
        seen = set()
        for one in self.claims:
            if one.source not in self.sources or one.scope not in self.scopes:
                raise ValueError(
                    f"claim '{one.id}': no source '{one.source}' or scope '{one.scope}'"
                )
            if one.id in seen:
                raise ValueError(f"the id '{one.id}' is given twice; ids are unique")
            seen.add(one.id)
        return self


def path() -> Path:
    """Where the claims lie."""
    return paths.home() / "data" / "claims.yaml"


def read(file: Path | None = None) -> File:
    """The file, checked; QlabError names the claim and the key of what is wrong."""
    file = file or path()
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
        return File.model_validate(given)
    except (OSError, yaml.YAMLError) as error:
        raise QlabError(f"{file} is no YAML of claims: {error}") from None
    except ValidationError as error:
        (first, *_), where = error.errors(), ""
        if keys := list(first["loc"]):
            if keys[0] == "claims" and len(keys) > 1:
                one = given["claims"][keys[1]]
                keys[:2] = [f"claim {one.get('id', '?') if isinstance(one, dict) else one!r}"]
            where = f"{', '.join(map(str, keys))}: "
        raise QlabError(
            f"{file.name}, {where}{first['msg'].removeprefix('Value error, ')}."
        ) from None
