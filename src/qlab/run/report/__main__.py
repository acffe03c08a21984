"""`python -m qlab.run.report [--profile mini]` writes build/report/report.html and says where."""

import argparse
import sys
from pathlib import Path

from qlab.core import paths
from qlab.core.errors import QlabError
from qlab.run.report import page


def main() -> None:
    """Write the report; what is wrong with the records is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m qlab.run.report", description=page.__doc__)
    parser.add_argument("--profile", default="mini", help="whose records and figures (mini)")
    parser.add_argument("--output", type=Path, default=paths.build() / "report" / "report.html")
    given = parser.parse_args()
    try:
        print(page.write(given.profile, given.output))
    except QlabError as error:
        sys.exit(f"qlab: {error}")


if __name__ == "__main__":
    main()
