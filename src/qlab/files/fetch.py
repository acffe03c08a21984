"""Files from the network, each checked against a hash before it is used."""

import shutil
from pathlib import Path

import pooch
import yaml

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.core.progress import quiet

KNOWN = yaml.safe_load(Path(__file__).with_name("downloads.yaml").read_text("utf-8"))
pooch.get_logger().setLevel("WARNING")  # it announces every file, and there may be many


def get(name: str) -> Path:
    """The file or folder that `downloads.yaml` describes under a name: from QLAB_DATA, otherwise
    downloaded, once."""
    told = KNOWN[name]
    if there := paths.local(told["local"]):
        return there
    found = fetch(told["url"], told["hash"], "unpacked" in told)
    return found / told.get("unpacked", "")


def fetch(url: str, known_hash: str | None, unpack: bool = False) -> Path:
    """Download a file once into build/downloads and return it, or the folder it unpacks to.
    `known_hash` is "md5:..." or "sha256:..."; with None, the caller must check the file. Only .zip
    and .tar.gz unpack; no member can leave the folder. QlabError: wrong hash or no network."""
    folder, name = paths.build() / "downloads", url.rsplit("/", 1)[-1]
    target = folder / f"{name}.unpacked"
    if unpack and target.is_dir():
        return target
    shown = {"progressbar": unpack and not quiet()}
    try:
        found = Path(pooch.retrieve(url, known_hash, fname=name, path=folder, **shown))
    except (ValueError, OSError) as error:
        why = error if isinstance(error, ValueError) else error.strerror or type(error).__name__
        raise QlabError(
            f"{url} could not be downloaded ({why}); give local paths as parameters, put the files "
            "into a folder named by QLAB_DATA or, on Kaggle, attach a data set that has them."
        ) from error
    if not unpack:
        return found
    # Not unpacked by pooch, whose Untar has no filter (PEP 706) before Python 3.12; from a zip,
    # shutil leaves out members that would leave the folder.
    inside = {} if found.suffix == ".zip" else {"filter": "data"}
    with written_whole(target) as part:
        part.mkdir()
        shutil.unpack_archive(found, part, **inside)
    return target
