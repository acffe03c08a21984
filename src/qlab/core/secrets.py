"""Tokens and passwords, kept out of everything that is stored, logged or shown.

What counts as a secret is read off the environment, and asked of Kaggle's client in a session
there. A secret that reaches a notebook another way (typed in a cell, read from a file) is not
known here, nor is one that a cell encodes (base64).
"""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from qlab.core import paths

MARKER = "***SECRET***"  # stands where a secret stood
_ENDINGS = ("TOKEN", "_KEY", "APIKEY", "SECRET")
_INSIDE = ("PASSWORD", "PASSWD", "PASSPHRASE")
_SHORTEST = 6  # a shorter value ("1", "true") is a switch, and its word stands everywhere
ATTACHED = ("HF_TOKEN",)  # labels of Kaggle's secrets that qlab asks for


def known() -> list[str]:
    """The values to hide in this process: the environment's and, in a session there, Kaggle's."""
    attached = {f"KAGGLE_{label}": kaggle_secret(label) for label in ATTACHED}
    return secret_values({**os.environ, **attached})


def kaggle_secret(label: str) -> str:
    """A secret attached to a Kaggle notebook, or an empty text: elsewhere, or none attached.

    It is kept in this process only: in no variable that a child would inherit.
    """
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if paths.kaggle() is None or offline:  # the client waits 40 s for a network
        return ""
    try:
        from kaggle_secrets import UserSecretsClient

        return (UserSecretsClient().get_secret(label) or "").strip()
    except Exception:  # Kaggle's client has several errors of no common class for "not attached"
        return ""


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """The values to hide, longest first: of variables named like a secret, from six characters on.

    Those are names that end in TOKEN, SECRET, _KEY or APIKEY (HF_TOKEN, KAGGLE_KEY) or contain
    PASSWORD, PASSWD or PASSPHRASE, in either case.
    """
    named = {
        value.strip()
        for name, value in environ.items()
        if name.upper().endswith(_ENDINGS) or any(part in name.upper() for part in _INSIDE)
    }
    return sorted((v for v in named if len(v) >= _SHORTEST), key=lambda v: (-len(v), v))


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with each secret, also as JSON, Python or a URL has it, replaced by `***SECRET***`."""
    for value in sorted(values, key=len, reverse=True):
        for form in _forms(value):
            text = text.replace(form, MARKER)
    return text


def _forms(value: str) -> list[str]:
    """A secret as it stands, as JSON with and without letters beyond ASCII, in Python, in a URL."""
    plain, ascii_only = json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]
    python = value.encode("unicode_escape").decode("ascii")  # so papermill writes parameters
    url = quote(value.encode("utf-8", "surrogateescape"), safe="")
    return [value, plain, ascii_only, python, python.replace('"', '\\"'), url]


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
