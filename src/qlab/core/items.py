"""What an experiment's intervals are computed from: a row for each item and variant, compressed."""

from pathlib import Path

import pandas as pd

from qlab.core import paths
from qlab.core.cache import written_whole


def path(experiment: str, profile: str) -> Path:
    """The file of an experiment's items in a profile."""
    return paths.results(profile) / "items" / f"{experiment}.parquet"


def write(experiment: str, profile: str, items: pd.DataFrame) -> None:
    """Write a table of items to its file."""
    with written_whole(path(experiment, profile)) as part:
        # Numbers take less room as they are than as indices into a dictionary.
        labels = [c for c in items if not pd.api.types.is_numeric_dtype(items[c])]
        zstd = {"compression": "zstd", "compression_level": 19}
        items.to_parquet(part, engine="pyarrow", index=False, use_dictionary=labels, **zstd)


def read(experiment: str, profile: str) -> pd.DataFrame:
    """The items of an experiment; FileNotFoundError if there are none."""
    return pd.read_parquet(path(experiment, profile), engine="pyarrow")
