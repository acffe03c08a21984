"""Where the records and figures of a run go: the profile's folder, or one of their own."""

import hashlib
import json
from collections.abc import Mapping


def place(
    profile: str, subject: str, chosen: Mapping[str, object], defaults: Mapping[str, object]
) -> str:
    """The profile, or a name of its own for a run with changed parameters.

    A parameter that `defaults` does not name is unchanged where it is empty or 0.
    """
    changed = {k: v for k, v in chosen.items() if v != defaults.get(k, type(v)())}
    return f"{profile}-{subject}-{hash_json(changed)[:8]}" if changed else profile


def hash_json(value: object) -> str:
    """sha256 of a value as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
