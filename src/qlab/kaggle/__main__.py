"""`python -m qlab.kaggle`: install (on Kaggle), bundle and kernels (at home)."""

import argparse
import sys
from pathlib import Path

from qlab.core import paths
from qlab.core.errors import QlabError
from qlab.kaggle import bundle, install, kernels


def main() -> None:
    """Do what the arguments say; what is wrong is one sentence."""
    parser = argparse.ArgumentParser(prog="python -m qlab.kaggle", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("install", help="on Kaggle: install what the image lacks")
    add.add_argument("project", type=Path, help="the project's folder")
    add.set_defaults(command=_install)
    add = commands.add_parser("bundle", help="make the dataset to attach: project and wheels")
    add.add_argument("--user", required=True, help="your user name on Kaggle")
    add.add_argument("--wheels", type=Path, help="a folder of wheels to take before asking PyPI")
    add.add_argument("folder", type=Path, help="a folder to make")
    add.set_defaults(command=_bundle)
    add = commands.add_parser("kernels", help="make a folder per notebook for kaggle kernels push")
    add.add_argument("--user", required=True, help="your user name on Kaggle")
    add.add_argument("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE")
    add.add_argument("folder", type=Path, nargs="?", help="default: build/kaggle/kernels")
    add.set_defaults(command=_kernels)
    given = parser.parse_args()
    try:
        given.command(given)
    except QlabError as error:
        sys.exit(f"qlab: {error}")


def _install(given: argparse.Namespace) -> None:
    kaggle = paths.kaggle() or Path("/kaggle")
    print("\n".join(install.install(given.project, kaggle / "input")))


def _bundle(given: argparse.Namespace) -> None:
    bundle.write(given.folder, given.user, _project(), given.wheels)
    print(given.folder)


def _kernels(given: argparse.Namespace) -> None:
    folder = given.folder or kernels.default_folder()
    for path in kernels.write(folder, given.user, _project(), given.parameter):
        print(path)


def _project() -> Path:
    if (checkout := paths.checkout()) is None:
        raise QlabError("This needs the whole project: run it in a checkout of it.")
    return checkout


if __name__ == "__main__":
    main()
