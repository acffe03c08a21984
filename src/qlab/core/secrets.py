"""Tokens and passwords, kept out of everything that is stored, logged or shown.

What counts as a secret is read off the environment, and asked of Kaggle's client in a session
there. A secret that reaches a notebook another way (typed in a cell, read from a file) is not
known here.
"""

import base64
import copy
import html
import json
import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from qlab.core import network, paths

MARKER = "***SECRET***"  # stands where a secret stood
_ENDINGS = ("TOKEN", "_KEY", "APIKEY", "SECRET")
_INSIDE = ("PASSWORD", "PASSWD", "PASSPHRASE")
# A shorter value ("1", "true", "none") is a switch rather than a secret, and hiding it
# would blank that word wherever it stands in a notebook.
_SHORTEST = 6
_OUTPUT_CONTENT = ("text", "data", "metadata", "ename", "evalue", "traceback")


ATTACHED = ("HF_TOKEN",)  # labels of Kaggle's secrets that qlab asks for


def known() -> list[str]:
    """The values to hide in this process: the environment's and, in a session there, Kaggle's."""
    attached = {f"KAGGLE_{label}": kaggle_secret(label) for label in ATTACHED}
    return secret_values({**os.environ, **attached})


def kaggle_secret(label: str) -> str:
    """A secret attached to a Kaggle notebook, or an empty text: elsewhere, or none attached.

    It is kept in this process only: in no variable that a child would inherit.
    """
    if paths.kaggle() is None or network.hub_offline():  # the client waits 40 s for a network
        return ""
    try:
        from kaggle_secrets import UserSecretsClient
    except ImportError:
        return ""
    try:
        return (UserSecretsClient().get_secret(label) or "").strip()
    except Exception:  # Kaggle's client has several errors of no common class for "not attached"
        return ""


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """The values to hide, longest first: of variables named like a secret.

    Those are names that end in TOKEN, SECRET, _KEY or APIKEY (HF_TOKEN, KAGGLE_KEY) or contain
    PASSWORD, PASSWD or PASSPHRASE, in either case. Values shorter than six characters are left
    alone.
    """
    values = {value.strip() for name, value in environ.items() if _names_a_secret(name)}
    return sorted((v for v in values if len(v) >= _SHORTEST), key=lambda v: (-len(v), v))


def _names_a_secret(name: str) -> bool:
    name = name.upper()
    return name.endswith(_ENDINGS) or any(part in name for part in _INSIDE)


def redact(text: str, values: Iterable[str]) -> str:
    """`text` with each secret, also when escaped or encoded, replaced by `***SECRET***`."""
    pattern = _pattern(tuple(values))
    return pattern.sub(MARKER, text) if pattern else text


@cache
def _pattern(values: tuple[str, ...]) -> re.Pattern[str] | None:
    """One expression for all forms; longest first, so no form leaves another's tail behind."""
    forms = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, forms))) if forms else None


def _forms(value: str) -> set[str]:
    """How a value may look in a notebook: as it is, escaped for JSON, Python, HTML, URL, base64."""
    raw = value.encode("utf-8", "surrogateescape")
    quoted = {urllib.parse.quote(raw, safe=safe) for safe in ("", "/")}
    return {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        # papermill writes a str parameter this way, and escapes the quotes besides.
        value.encode("unicode_escape").decode().replace('"', '\\"'),
        html.escape(value),
        urllib.parse.quote_plus(raw),
        *quoted,
        *_base64_forms(raw),
    }


def _base64_forms(raw: bytes) -> set[str]:
    """The base64 characters that `raw` alone decides, at each of its three alignments.

    Inside a longer text ("user:token") the first and last characters also depend on the
    neighbours, so only those between them can be looked for.
    """
    forms = set()
    for before in range(3):
        bits = 8 * before, 8 * (before + len(raw))
        inside = slice(-(-bits[0] // 6), bits[1] // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(bytes(before) + raw).decode()[inside])
    return forms


def redact_notebook(nb: Any, values: Iterable[str]) -> Any:
    """A copy of the notebook without the secrets: sources, outputs, attachments, metadata.

    Only content is looked at, never the names and types that make it a notebook, so it
    stays valid even if a secret reads like one of them.
    """
    values, clean = tuple(values), copy.deepcopy(nb)
    clean.metadata = _redacted(clean.metadata, values)
    for cell in clean.cells:
        _redact_parts(cell, ("source", "metadata", "attachments"), values)
        if "outputs" in cell:
            cell.outputs = _joined_streams(cell.outputs)
        for output in cell.get("outputs", []):
            _redact_parts(output, _OUTPUT_CONTENT, values)
    return clean


def _redact_parts(node: Any, parts: tuple[str, ...], values: tuple[str, ...]) -> None:
    for part in parts:
        if part in node:
            node[part] = _redacted(node[part], values)


def _redacted(content: Any, values: tuple[str, ...]) -> Any:
    """Strings anywhere in nested lists and dicts (keys too), of the same types as before."""
    if isinstance(content, str):
        return redact(content, values)
    if isinstance(content, list):
        return [_redacted(item, values) for item in content]
    if isinstance(content, dict):
        pairs = ((redact(str(k), values), _redacted(v, values)) for k, v in content.items())
        return type(content)(pairs)
    return content


def _joined_streams(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one output: a flush may cut a secret in two."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined
