"""A short name for a value of many parts."""

import hashlib
import json


def hash_json(value: object) -> str:
    """sha256 of a value as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
