"""Tokens and passwords, kept out of everything that is stored, logged or shown.

What counts as a secret is read off the environment's names. One that a notebook has another way
(typed in a cell, encoded) is not known here.
"""

import json
import os
import re
from collections.abc import Iterable

MARKER = "***SECRET***"  # stands where a secret stood
# HF_TOKEN, KAGGLE_KEY, db_password_old and the like.
_NAMED = re.compile("(TOKEN|_KEY|APIKEY|SECRET)$|PASSWORD|PASSWD|PASSPHRASE", re.I)
_SHORTEST = 6  # a shorter value ("1", "true") is a switch, and its word stands everywhere


def known() -> list[str]:
    """The values to hide in this process: of its variables that are named like secrets."""
    named = {v.strip() for name, v in os.environ.items() if _NAMED.search(name)}
    return [v for v in named if len(v) >= _SHORTEST]


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with each secret, as it is or as JSON has it, replaced by `***SECRET***`."""
    for value in sorted(values, key=len, reverse=True):  # the whole before a part of it
        for form in (value, json.dumps(value)[1:-1]):
            text = text.replace(form, MARKER)
    return text
