"""A loopback interface for a few processes alone, so that its byte counter counts only theirs.

Linux gives every network namespace its own `lo`; a user may make one inside a user namespace
(user_namespaces(7), network_namespaces(7)). A small process holds it open, others enter it.
"""

import contextlib
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from qlab.core.errors import QlabError

_SET_FLAGS, _UP = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP of netdevice(7)


@contextlib.contextmanager
def entered() -> Iterator[list[str] | None]:
    """Words to put before a command so that it runs in a network namespace made for the block.

    None where the machine does not let us make one (no util-linux, or containers that forbid it).
    """
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        yield None
        return
    holder = subprocess.Popen(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            sys.executable,
            "-m",
            "qlab.classifier.network_namespace",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with holder:  # closes its stdin at the end, whereupon it leaves
        if holder.stdout.readline().strip() == b"up":
            enter = ["nsenter", "--user", "--net", "--preserve-credentials", "--target"]
            yield [*enter, str(holder.pid)]
        else:
            yield None


def loopback_bytes(process: int | None = None) -> int:
    """Bytes sent so far over the loopback interface that a process (this one) sees, headers too.

    What is sent there is received there, so this counts every packet once. QlabError where there
    is no such counter: it is Linux's /proc/net/dev.
    """
    table = Path(f"/proc/{process or 'self'}/net/dev")
    try:
        lines = table.read_text().splitlines()
    except OSError as error:
        raise QlabError(
            f"Bytes on the network are counted with Linux's {table}, which cannot be read here "
            f"({error.strerror}); on other systems only the analytic sizes are to be had."
        ) from error
    fields = next(line for line in lines if line.strip().startswith("lo:")).split(":")[1].split()
    return int(fields[8])  # the first eight are of what was received


def _bring_up_loopback() -> None:
    """What `ip link set lo up` does; that program is often missing."""
    import fcntl  # there is none on Windows

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))


def main() -> None:
    """Hold the namespace that this process was started in until stdin is closed."""
    _bring_up_loopback()
    print("up", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
