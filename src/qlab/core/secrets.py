"""Tokens and passwords, kept out of everything that is stored, logged or shown.

Secrets are recognized by the names of environment variables. A secret that a notebook gets in
another way (typed into a cell, encoded) is not known here.
"""

import json
import os
import re
from collections.abc import Iterable
from typing import Any

MARKER = "***SECRET***"  # takes the place of a secret
# HF_TOKEN, KAGGLE_KEY, db_password_old and the like.
_NAMED = re.compile("(TOKEN|_KEY|APIKEY|SECRET)$|PASSWORD|PASSWD|PASSPHRASE", re.I)
_SHORTEST = 6  # a shorter value ("1", "true") is a switch, and occurs everywhere


def known() -> list[str]:
    """The values to hide in this process: those of environment variables named like secrets."""
    named = {v.strip() for name, v in os.environ.items() if _NAMED.search(name)}
    return [v for v in named if len(v) >= _SHORTEST]


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with each secret, plain or as JSON or Python writes it, replaced by `***SECRET***`."""
    forms = set()
    for value in values:
        python = value.encode("unicode_escape").decode("ascii")  # as papermill writes them
        jsons = [json.dumps(value, ensure_ascii=a)[1:-1] for a in (False, True)]
        forms |= {value, *jsons, python, python.replace('"', '\\"')}
    for form in sorted(forms, key=len, reverse=True):  # longer ones before their parts
        text = text.replace(form, MARKER)
    return text


def redacted(content: Any, values: Iterable[str]) -> Any:
    """A copy of nested lists and dicts, such as a notebook, without secrets in values or keys;
    numbers stay, because they are no secrets."""
    if isinstance(content, str):
        return redact(content, values)
    if isinstance(content, list):
        return [redacted(item, values) for item in content]
    if isinstance(content, dict):
        return {redact(str(k), values): redacted(v, values) for k, v in content.items()}
    return content
