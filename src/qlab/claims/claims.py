"""The claims of the four sources, read from data/claims.yaml and checked; none is judged here."""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from qlab.claims.address import Text
from qlab.claims.rules import Counted, Published, Trend, Value
from qlab.core import paths
from qlab.core.errors import QlabError
from qlab.core.parameters import Checked

TIERS = ("mini", "small", "full")  # profiles whose records judge, the nearest to a source last
EMBEDDED = TIERS[0]
EXPERIMENTS = ("centernet_ptq", "llama_gptq", "resnet_qat", "evidence_synthesis", "transformer_qat")
Rule = Annotated[Value | Published | Trend | Counted, Field(discriminator="kind")]
Id = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]  # the variant of a claim's record


class Source(Checked):
    """A source whose claims are judged."""

    name: Text
    title: Text


class Scope(Checked):
    """The models that a source speaks of, in words, and the tiers that have such models."""

    said: Text
    tiers: list[Literal[*TIERS]]


class Claim(Checked):
    """A statement of a source and the rule that judges it; data/claims.yaml explains the keys."""

    kind: Literal["identity", "replay", "measured"]
    source: Text
    scope: Text
    place: Text
    statement: Text
    experiment: Literal[*EXPERIMENTS]
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
    """The content of data/claims.yaml."""

    sources: dict[str, Source]
    scopes: dict[str, Scope]
    claims: dict[Id, Claim]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name, one in self.claims.items():
            if one.source not in self.sources or one.scope not in self.scopes:
                raise ValueError(f"{name}: no source '{one.source}' or scope '{one.scope}'")
        return self


class KeysOnce(yaml.SafeLoader):
    """A loader that refuses a repeated key, of which YAML would silently keep the last."""

    def compose_mapping_node(self, anchor):
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"the key '{key.value}' in line {line} is given twice.")
            seen.add(key.value)
        return node


def path() -> Path:
    """Where the claims file is."""
    return paths.home() / "data" / "claims.yaml"


def read(file: Path | None = None) -> File:
    """The claims file, checked; QlabError names the claim and the key of what is wrong."""
    file = file or path()
    try:
        return File.model_validate(yaml.load(file.read_text(encoding="utf-8"), KeysOnce))
    except (OSError, yaml.YAMLError) as error:
        raise QlabError(f"{file} is no YAML of claims: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where, what = map(str, first["loc"]), first["msg"].removeprefix("Value error, ")
        raise QlabError(f"{', '.join([file.name, *where])}: {what}.") from None
