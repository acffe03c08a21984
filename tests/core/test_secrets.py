"""Secrets: what counts as one, and that none of its forms survives."""

import json
import urllib.parse

import nbformat
from hypothesis import assume, example, given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from qlab.core import secrets
from qlab.core.secrets import MARKER, redact, redacted, secret_values
from qlab.run import notebook

KAGGLES = "hf_attached_on_kaggle"
SECRET = 'hf_"pl/anted'


def test_variables_named_like_a_secret():
    hidden = ["HF_TOKEN", "KAGGLE_KEY", "wandb_api_key", "DB_PASSWORD_OLD", "token", "MYSQL_PASSWD"]
    plain = ["PWD", "KEYBOARD", "TOKENIZERS_PARALLELISM"]
    environ = {name: f" value of {name}\n" for name in (*hidden, *plain)} | {"USE_TOKEN": "true"}
    found = secret_values(environ)  # the last is a switch
    assert set(found) == {f"value of {name}" for name in hidden}
    assert found == sorted(found, key=len, reverse=True)  # a part is not hidden before the whole


values = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=6)


@given(value=values)
@example(value=SECRET)
@example(value="ünï\ncödé")
@example(value="two words/and 'more'")
def test_no_form_that_a_file_or_a_log_may_have_survives(value):
    assume(value not in MARKER)
    papermills = value.encode("unicode_escape").decode().replace('"', '\\"')
    json_forms = (json.dumps(value), json.dumps(value, ensure_ascii=False))
    for shown in (value, *json_forms, urllib.parse.quote(value, safe=""), papermills):
        clean = redact(f"<{shown}>", [value])
        assert MARKER in clean and value not in clean and shown not in clean


@given(st.text(" .,;:()\n"), st.lists(values))
def test_other_text_is_left_alone(text, hidden):
    assert redact("x abcdefgh x", ["abcdef", "abcdefgh"]) == f"x {MARKER} x"
    assume(not any(value in text for value in hidden))
    assert redact(text, hidden) == text


def test_notebook_is_clean_everywhere_and_the_original_is_not_touched():
    outputs = [
        new_output("stream", name="stderr", text=SECRET),
        new_output("display_data", {"text/html": SECRET, "application/json": [SECRET]}),
        new_output("error", ename="E", evalue=SECRET, traceback=[f"E: {SECRET}"]),
    ]
    code = new_code_cell(f"login({SECRET!r})", outputs=outputs, metadata={"note": SECRET})
    nb = new_notebook(metadata={"title": SECRET, SECRET: {"deep": [SECRET]}}, cells=[code])
    before = nbformat.writes(nb)
    clean = redacted(nb, [SECRET])
    text = nbformat.writes(clean)
    assert "anted" not in text and "hf_" not in text
    assert text.count(MARKER) == 10  # one for each place it was planted
    assert nbformat.writes(nb) == before
    nbformat.validate(clean)


def test_kaggles_secret_never_reaches_an_executed_notebook(tmp_path, home, monkeypatch):
    """It is in no variable of the environment: the runner too asks Kaggle's client."""
    module = "class UserSecretsClient:\n    def get_secret(self, label):\n        return VALUE\n"
    (tmp_path / "kaggle_secrets.py").write_text(f"VALUE = {KAGGLES!r}\n{module}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert {KAGGLES, "hf_of_the_environment"} <= set(secrets.known())
    code = "from qlab.core.secrets import kaggle_secret\nprint(kaggle_secret('HF_TOKEN'))"
    cells = [new_code_cell(c) for c in ('profile: str = "smoke"  # how much', code)]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=cells), tmp_path / "telling.ipynb")
    executed = notebook.run(tmp_path / "telling.ipynb", [], tmp_path / "done.ipynb").read_text()
    assert MARKER in executed and KAGGLES not in executed
