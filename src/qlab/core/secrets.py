"""Tokens and passwords, kept out of everything that is stored, logged or shown.

What counts as a secret is read off the environment's names and asked of Kaggle's client in a
session there. One that a notebook has another way (typed in a cell, encoded) is not known here.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from qlab.core import paths

MARKER = "***SECRET***"  # stands where a secret stood
# HF_TOKEN, KAGGLE_KEY, db_password_old and the like.
_NAMED = re.compile("(TOKEN|_KEY|APIKEY|SECRET)$|PASSWORD|PASSWD|PASSPHRASE", re.I)
_SHORTEST = 6  # a shorter value ("1", "true") is a switch, and its word stands everywhere


def known() -> list[str]:
    """The values to hide in this process: the environment's and, in a session there, Kaggle's."""
    return secret_values({**os.environ, "KAGGLE_HF_TOKEN": kaggle_secret("HF_TOKEN")})


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


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """The values to hide, longest first: of variables named like secrets, no switches ("true")."""
    named = {v.strip() for name, v in environ.items() if _NAMED.search(name)}
    return sorted((v for v in named if len(v) >= _SHORTEST), key=lambda v: (-len(v), v))


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with each secret, also as JSON, Python or a URL has it, replaced by `***SECRET***`."""
    for value in sorted(values, key=len, reverse=True):
        python = value.encode("unicode_escape").decode("ascii")  # so papermill writes parameters
        forms = [value, *(json.dumps(value, ensure_ascii=a)[1:-1] for a in (False, True)), python]
        forms += [
            python.replace('"', '\\"'),
            quote(value.encode("utf-8", "surrogateescape"), safe=""),
        ]
        for form in forms:
            text = text.replace(form, MARKER)
    return text


def redacted(content: Any, values: Iterable[str]) -> Any:
    """A copy of nested lists and dicts, such as a notebook, without the secrets (keys neither)."""
    if isinstance(content, str):
        return redact(content, values)
    if isinstance(content, list):
        return [redacted(item, values) for item in content]
    if isinstance(content, dict):
        pairs = ((redact(str(k), values), redacted(v, values)) for k, v in content.items())
        return type(content)(pairs)
    return content
