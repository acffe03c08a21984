"""Secrets: what counts as one, and that it is in nothing that is written."""

import json
import os

import nbformat
from hypothesis import assume, example, given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output

from qlab.core import secrets
from qlab.core.secrets import MARKER, redact
from qlab.run import notebook

SECRET = 'hf_"pl/anted'


def test_variables_named_like_a_secret_but_for_switches(monkeypatch):
    hidden = ["HF_TOKEN", "KAGGLE_KEY", "wandb_api_key", "DB_PASSWORD_OLD", "token", "MYSQL_PASSWD"]
    plain = ["PWD", "KEYBOARD", "TOKENIZERS_PARALLELISM"]
    environ = {name: f" value of {name}\n" for name in (*hidden, *plain)} | {"USE_TOKEN": "true"}
    monkeypatch.setattr(os, "environ", environ)
    assert set(secrets.known()) == {f"value of {name}" for name in hidden}


values = st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=6)


@given(value=values)
@example(value=SECRET)
@example(value='"00000')  # its form as JSON ends in itself
def test_what_a_text_or_json_has_of_it_does_not_survive(value):
    assume(value not in MARKER)
    python = value.encode("unicode_escape").decode().replace('"', '\\"')  # a papermill parameter
    for shown in (value, json.dumps(value), f'"{python}"'):
        assert redact(f"<{shown}>", [value]) in (f"<{MARKER}>", f'<"{MARKER}">')
    assert redact("x abcdefgh x", ["abcdef", "abcdefgh"]) == f"x {MARKER} x"


def test_a_written_notebook_is_clean_everywhere_and_the_original_is_not_touched(tmp_path):
    outputs = [
        new_output("stream", name="stderr", text=f"{SECRET}\n"),
        new_output("display_data", {"text/html": SECRET, "application/json": [SECRET]}),
        new_output("error", ename="E", evalue=SECRET, traceback=[f"E: {SECRET}"]),
    ]
    code = new_code_cell(f"login({SECRET!r})", outputs=outputs, metadata={"note": SECRET})
    nb = new_notebook(metadata={"title": SECRET, SECRET: {"deep": [SECRET]}}, cells=[code])
    before = nbformat.writes(nb)
    notebook._write(nb, tmp_path / "clean.ipynb", [SECRET])
    text = (tmp_path / "clean.ipynb").read_text()
    assert "anted" not in text and "hf_" not in text
    assert text.count(MARKER) == 10  # one for each place it was planted
    assert nbformat.writes(nb) == before
    nbformat.validate(nbformat.reads(text, 4))
    nb.cells[0].execution_count = 123456  # a number is no secret, though it may look like one
    notebook._write(nb, tmp_path / "numbered.ipynb", ["123456"])
    assert '"execution_count": 123456' in (tmp_path / "numbered.ipynb").read_text()
