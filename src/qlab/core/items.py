"""What an experiment's intervals were computed from: one row an item and variant, compressed."""

from pathlib import Path

import pandas as pd

from qlab.core import paths
from qlab.core.cache import written_whole


def path(experiment: str, profile: str) -> Path:
    """Where they lie."""
    return paths.results(profile) / "items" / f"{experiment}.parquet"


def write(experiment: str, profile: str, items: pd.DataFrame) -> Path:
    """Keep a table of items; returns its file."""
    target = path(experiment, profile)
    with written_whole(target) as part:
        # Numbers take less room as they are than as places in a dictionary.
        labels = [c for c in items if not pd.api.types.is_numeric_dtype(items[c])]
        zstd = {"compression": "zstd", "compression_level": 19}
        items.to_parquet(part, engine="pyarrow", index=False, use_dictionary=labels, **zstd)
    return target


def read(experiment: str, profile: str) -> pd.DataFrame:
    """The items of an experiment; FileNotFoundError where there are none."""
    return pd.read_parquet(path(experiment, profile), engine="pyarrow")
