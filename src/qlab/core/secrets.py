"""Tokens and passwords, kept out of everything that is stored, logged or shown.

What counts as a secret is read off the environment's names and asked of Kaggle's client in a
session there. One that a notebook has another way (typed in a cell, encoded) is not known here.
"""

import json
import os
import re
from collections.abc import Iterable

from qlab.core import paths

MARKER = "***SECRET***"  # stands where a secret stood
# HF_TOKEN, KAGGLE_KEY, db_password_old and the like.
_NAMED = re.compile("(TOKEN|_KEY|APIKEY|SECRET)$|PASSWORD|PASSWD|PASSPHRASE", re.I)
_SHORTEST = 6  # a shorter value ("1", "true") is a switch, and its word stands everywhere


def known() -> list[str]:
    """The values to hide in this process: of its variables that are named like secrets, but for
    switches ("true"), and, in a session there, Kaggle's."""
    variables = {**os.environ, "KAGGLE_HF_TOKEN": kaggle_secret("HF_TOKEN")}
    named = {v.strip() for name, v in variables.items() if _NAMED.search(name)}
    return [v for v in named if len(v) >= _SHORTEST]


def hub_offline() -> bool:
    """Whether Hugging Face's own switch, HF_HUB_OFFLINE, forbids asking the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def kaggle_secret(label: str) -> str:
    """A secret attached to a Kaggle notebook, or an empty text: elsewhere, or none attached. It is
    kept in this process only: in no variable that a child would inherit."""
    if paths.kaggle() is None or hub_offline():
        return ""  # the client would wait 40 s for a network
    try:
        from kaggle_secrets import UserSecretsClient

        return (UserSecretsClient().get_secret(label) or "").strip()
    except Exception:  # Kaggle's client has several errors of no common class for "not attached"
        return ""


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with each secret, as it is or as JSON has it, replaced by `***SECRET***`."""
    for value in sorted(values, key=len, reverse=True):  # the whole before a part of it
        for form in (value, json.dumps(value)[1:-1]):
            text = text.replace(form, MARKER)
    return text
