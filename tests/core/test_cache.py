"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from qlab.core import cache
from qlab.core.errors import QlabError

pytestmark = pytest.mark.usefixtures("empty_home")


def test_made_once_and_addressed_by_content():
    made = []
    first = cache.artefact("kind", {"a": 1, "b": [2]}, made.append)
    assert cache.artefact("kind", {"b": [2], "a": 1}, made.append) == first
    assert cache.artefact("kind", {"a": 2, "b": [2]}, made.append) != first
    assert len(made) == 2 and (first / "recipe.json").is_file()


def test_what_a_killed_writer_left_is_removed_and_what_a_live_one_writes_is_not(empty_home):
    with cache.written_whole(empty_home / "a.txt") as live:
        live.write_text("half")
        left = shutil.copytree(live.parent, empty_home / ".part-left")  # whose lock nobody holds
        for age in ("young", "old"):
            with cache.written_whole(empty_home / "b.txt") as part:
                part.write_text("b")
            # A young one might be a writer's that has no lock yet.
            assert live.is_file() and left.is_dir() == (age == "young")
            for folder in empty_home.glob(".part-*"):
                os.utime(folder, (0, 0))


def test_two_makers_at_once_agree():
    def make(folder):
        cache.artefact("kind", {"a": 1}, lambda f: (f / "x").write_text("other"))
        (folder / "x").write_text("mine")

    found = cache.artefact("kind", {"a": 1}, make)
    assert (found / "x").read_text() == "other"  # the first that was whole stays


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_locked_disk_is_a_sentence_and_the_old_file_stays(empty_home, number):
    target = empty_home / "a.txt"
    target.write_text("old")
    why = f"could not be written .{os.strerror(number)}.*untouched"
    with pytest.raises(QlabError, match=why), cache.written_whole(target) as part:
        part.write_text("half")
        raise OSError(number, os.strerror(number))
    assert target.read_text() == "old"
    assert [p.name for p in empty_home.iterdir()] == ["a.txt"]


def test_a_folders_hash_sees_names_contents_and_places_in_any_order(empty_home, monkeypatch):
    for place in ("0/a 1", "1/b 1", "2/b 2", "3/x/b 2", "4/x/b 2", "4/c 3"):
        name, text = place.split()
        (empty_home / name).parent.mkdir(parents=True, exist_ok=True)
        (empty_home / name).write_text(text)
    found = [cache.file_sha256(empty_home / str(number)) for number in range(5)]
    assert len(set(found)) == 5
    listed = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *given: reversed(list(listed(*given))))
    assert cache.file_sha256(empty_home / "4") == found[4]
    with pytest.raises(FileNotFoundError):  # nothing has no hash: a recipe would take it for a file
        cache.file_sha256(empty_home / "5")
