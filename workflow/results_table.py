"""README's table of results: `make table` rewrites the numbers in its rows from the committed
records. A new row is begun by hand, with profile, kind of model and variant."""

import re
import sys
from collections.abc import Mapping

import pandas as pd

from qlab.claims import chooser
from qlab.claims.chooser import KINDS
from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError

PROFILES = ("small", "mini")
ROW = re.compile(  # a row of README: profile, kind, variant, numbers
    rf"^\| `({'|'.join(PROFILES)})` \| ({'|'.join(KINDS)}) \| `(\w+)` \|.*$", re.MULTILINE
)


def readme(text: str, tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> str:
    """README's text with the numbers from `chooser.variants`, by profile and kind of model;
    QlabError if it has no such rows, or one for a variant that the records lack."""

    def row(found: re.Match) -> str:
        profile, name, variant = found.groups()
        table = tables[profile][name].set_index("variant")
        if variant not in table.index:
            raise QlabError(f"README.md has a row of {variant}, but {profile} no records.")
        one = table.loc[variant]
        seeds = f", {one['seeds']:.0f} seeds" if one["seeds"] > 1 else ""
        told = f"{chooser.time(one)} | {chooser.quality(one)} | {one['n']:,.0f} {KINDS[name].items}"
        return f"| `{profile}` | {name} | `{variant}` | {one['share']:.3f} | {told}{seeds} |"

    made, count = ROW.subn(row, text)
    if not count:
        raise QlabError("README.md has no row that begins with a profile, a kind and a variant.")
    return made


def main() -> None:
    """Rewrite README's table, whole or not at all."""
    file = paths.home() / "README.md"
    try:
        tables = {profile: chooser.read_all(profile) for profile in PROFILES}
        text = readme(file.read_text(encoding="utf-8"), tables)
        with written_whole(file) as part:
            part.write_text(text, encoding="utf-8")
        print(file)
    except (QlabError, OSError) as error:
        sys.exit(f"qlab: {error}")


if __name__ == "__main__":
    main()
