"""Whether a server can be reached, asked for some seconds and not for minutes."""

import contextlib
import os
import threading

PATIENCE = 8  # seconds for a name to be looked up and a server to answer


def hub_offline() -> bool:
    """Whether Hugging Face's own switch, HF_HUB_OFFLINE, forbids asking the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def reachable(address: str) -> bool:
    """Whether whoever serves an address answers at all, with whatever status.

    Asked in a thread of its own, because looking up a name knows no time-out.
    """
    import requests

    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.head(address, timeout=PATIENCE)
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(PATIENCE)
