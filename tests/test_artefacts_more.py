"""A folder's hash is its content's, in whatever order the file system lists it."""

from pathlib import Path

from qlab import artefacts


def test_a_folder_hash_does_not_depend_on_the_order_of_listing(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_text(name)
    first = artefacts.file_sha256(tmp_path)
    listed = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *given: reversed(list(listed(*given))))
    assert artefacts.file_sha256(tmp_path) == first


def test_folders_whose_files_lie_elsewhere_are_different(tmp_path):
    for place in ("a/x/1", "b/y/1"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("1")
    assert artefacts.file_sha256(tmp_path / "a") != artefacts.file_sha256(tmp_path / "b")
