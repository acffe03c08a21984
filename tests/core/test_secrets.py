"""Secrets: what counts as one, and that it is in nothing that is written."""

import copy
import json
import os

from hypothesis import assume, example, given
from hypothesis import strategies as st

from qlab.core import secrets
from qlab.core.secrets import MARKER, redact

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


def test_a_copy_is_clean_everywhere_and_the_original_is_not_touched():
    given = {"title": SECRET, SECRET: {"deep": [f"login({SECRET})"]}, "execution_count": 123456}
    before = copy.deepcopy(given)
    assert secrets.redacted(given, [SECRET, "123456"]) == {
        "title": MARKER, MARKER: {"deep": [f"login({MARKER})"]},
        "execution_count": 123456,  # a number is no secret, though it may look like one
    }  # fmt: skip
    assert given == before
