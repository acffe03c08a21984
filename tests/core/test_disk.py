"""What a run will write is compared with what can be written, before it starts."""

import pytest

from qlab.core import disk as disk_space
from qlab.core import paths
from qlab.core.errors import QlabError


@pytest.fixture
def disk(monkeypatch):
    """A disk with 30 GB free."""
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: Usage())


class Usage:
    free = 30 * 10**9


def test_elsewhere_the_disk_decides(disk, home):
    assert disk_space.free(paths.build() / "not" / "there" / "yet") == 30 * 10**9
    disk_space.refuse(28 * 10**9, "It", "Take less")
    with pytest.raises(QlabError) as refused:
        disk_space.refuse(29 * 10**9, "Quantizing it", "Take less")
    assert str(refused.value) == (
        f"Quantizing it will take about 29.0 GB in {paths.build()}, where 30.0 GB can be written; "
        "nothing was started. Take less, free some space, or set QLAB_HOME to a folder with more."
    )


def test_what_kaggle_keeps_has_a_limit_of_its_own(disk, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("QLAB_KAGGLE", str(tmp_path))
    home = tmp_path / "working" / "qlab"
    home.mkdir(parents=True)
    (home / "made").write_bytes(bytes(3000))
    (home / "link").symlink_to(home / "nowhere")
    left = disk_space.KAGGLE_LIMIT - 3000 - len(str(home / "nowhere"))
    assert disk_space.free(home / "build") == left
    assert disk_space.free(tmp_path / "temp") == 30 * 10**9
    monkeypatch.setattr(disk_space, "KAGGLE_LIMIT", 1000)
    assert disk_space.free(home) == 0


@pytest.mark.parametrize(
    "count, words", [(1_440_000_000, "1.4 GB"), (23_400_000, "23 MB"), (900, "1 KB")]
)
def test_bytes_in_words(count, words):
    assert disk_space.in_words(count) == words
