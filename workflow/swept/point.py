"""What the points of all sweeps have in common."""

from typing import Annotated, Literal

from pydantic import Field

from qlab.core.parameters import Checked


class Point(Checked):
    """One point of a sweep: here the float model, for which other methods have classes."""

    method: Literal["float"]
    model: Annotated[str, Field(pattern=r"\S")]

    @property
    def variant(self) -> str:
        """Its name in the records."""
        return self.method
