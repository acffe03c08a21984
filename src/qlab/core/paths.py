"""Where things are: the project, its outputs, the user's real data."""

import os
from pathlib import Path


def home() -> Path:
    """The folder where everything is read and written: `QLAB_HOME`, else the checkout that this
    package was installed from, else the working folder."""
    if chosen := os.environ.get("QLAB_HOME"):
        return Path(chosen).expanduser().resolve()
    return checkout() or Path.cwd()


def checkout() -> Path | None:
    """The checkout that this code lies in, or None for a plain install."""
    folder = Path(__file__).resolve().parents[3]
    return folder if (folder / "pyproject.toml").is_file() else None


def build() -> Path:
    """Folder of caches, converted models and executed notebooks; may be deleted at any time."""
    return home() / "build"


def models() -> Path:
    """Folder that holds a folder for each embedded model."""
    return home() / "data" / "models"


def results(profile: str) -> Path:
    """Folder of a profile's records."""
    return home() / "data" / "results" / profile


def figures(profile: str) -> Path:
    """Folder of a profile's figures."""
    return home() / "figures" / profile


def real_data() -> Path | None:
    """The folder named by `QLAB_DATA`, with real data in the usual layouts, or None."""
    chosen = os.environ.get("QLAB_DATA")
    return Path(chosen).expanduser().resolve() if chosen else None


def local(part: str) -> Path | None:
    """A file or folder below QLAB_DATA, if it is there."""
    home = real_data()
    return home / part if home and (home / part).exists() else None


def kaggle() -> Path | None:
    """The folder /kaggle in a Kaggle session, else None; `QLAB_KAGGLE` names a stand-in."""
    if "KAGGLE_KERNEL_RUN_TYPE" not in os.environ:
        return None
    return Path(os.environ.get("QLAB_KAGGLE", "/kaggle"))
