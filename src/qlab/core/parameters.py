"""The parameters of a notebook as one checked value."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qlab.core.cache import hash_json
from qlab.core.errors import QlabError

ENDLESS = 2**31  # TensorFlow, PyTorch and LiteRT take no larger whole numbers
Count = Annotated[int, Field(ge=0, lt=ENDLESS)]  # 0 often means "the profile's own"
Positive = Annotated[int, Field(ge=1, lt=ENDLESS)]
Size = Annotated[float, Field(ge=0, lt=ENDLESS, allow_inf_nan=False)]
# Parameters that name files, and so stay out of provenance, which holds the files' hashes.
PATHS = {"model", "parent", "data", "annotations", "images", "calibration_images"}
PATHS |= {"passages", "calibration", "training"}


class Checked(BaseModel):
    """Base of what is read from cells and files: strict, frozen, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Parameters(Checked):
    """Names, types, ranges and defaults; a test keeps them equal to the notebook's cell."""

    @classmethod
    def of(cls, names: Mapping[str, Any]) -> Self:
        """The values in a notebook's cell, from `globals()`; QlabError if one is out of range."""
        try:
            return cls(**{name: names[name] for name in cls.model_fields if name in names})
        except ValidationError as error:
            first = error.errors()[0]
            raise QlabError(
                f"The parameter '{first['loc'][0]}': {first['msg']}, not {first['input']!r}."
            ) from None

    def place(self, subject: str, without: Iterable[str] = ()) -> str:
        """Folder name for records and figures: the profile's, or a changed run's own."""
        others = {"profile", *without}
        changed = self.model_dump(mode="json", exclude_defaults=True, exclude=others)
        return f"{self.profile}-{subject}-{hash_json(changed)[:8]}" if changed else self.profile


class Training(Parameters):
    """Parameters of a notebook that trains an embedded model."""

    profile: Literal["smoke", "mini", "full"] = "mini"
    seed: Count = 7
