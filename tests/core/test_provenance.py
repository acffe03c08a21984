"""The commit that numbers come from is said as it is."""

import subprocess

from qlab.core import paths, provenance


def test_the_commit_and_whether_code_or_notebooks_differ_from_it(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def git(*arguments: str) -> str:
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        call = ["git", "-C", str(tmp_path), *name, *arguments]
        return subprocess.check_output(call, text=True).strip()

    assert provenance.commit() == "none"  # outside of a checkout
    git("init", "-q")
    code = ("src/a.py", "notebooks/a.ipynb")
    for place in (*code, "README.md"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    head = git("rev-parse", "HEAD")
    (tmp_path / "README.md").write_text("2")
    (tmp_path / "src" / "new.py").write_text("2")
    assert provenance.commit() == head  # neither tells what was run
    for place in code:
        (tmp_path / place).write_text("2")
        assert provenance.commit() == f"{head}+changes", place
        git("checkout", "-q", place)
