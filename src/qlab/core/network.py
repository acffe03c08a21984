"""Whether a server can be reached, asked for some seconds and not for minutes.

A machine without a network may answer at once, or let every name wait for its time-out: a session
on Kaggle with the internet switched off, for instance. Nothing is downloaded here.
"""

import os
import threading

PATIENCE = 8  # seconds for a name to be looked up and a server to answer
_answered: set[str] = set()  # addresses; who did not answer is asked again


def hub_offline() -> bool:
    """Whether Hugging Face's own switch, HF_HUB_OFFLINE, forbids asking the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def reachable(address: str) -> bool:
    """Whether whoever serves an address answers at all, with whatever status.

    Asked in a thread of its own, because looking up a name knows no time-out.
    """
    import requests

    def ask() -> None:
        try:
            requests.head(address, timeout=PATIENCE)
        except requests.RequestException:
            return
        _answered.add(address)

    if address not in _answered:
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(PATIENCE)
    return address in _answered
