"""papermill, made strict: what is named is checked before a kernel starts, nothing is half-written.

papermill itself saves its output again and again while it runs, secrets and all. Here it fills a
notebook in memory, and a redacted copy of that is written once, at the end.
"""

import contextlib
import ctypes
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import filelock
import nbformat
import papermill
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError, strip_color
from papermill.execute import remove_error_markers
from traitlets import default

from qlab.core import paths
from qlab.core.cache import written_whole
from qlab.core.errors import QlabError
from qlab.core.secrets import known, redact, redacted
from qlab.run.parameters import find_notebook, parameters_of, parse_for, read_notebook

# qlab reports an error, once; whoever sets up logging still gets the libraries' records.
for name in ("papermill", "asyncio"):
    logging.getLogger(name).addHandler(logging.NullHandler())

_ENGINE = "qlab"
_INJECTED = "injected-parameters"
_PR_SET_PDEATHSIG = 1  # of Linux' prctl: the signal that a process gets when its parent dies


class NotebookFailed(QlabError):
    """The notebook ran but did not reach its end: a cell failed or the kernel died."""

    exit_code = 1


def run(
    notebook: str | Path, assignments: Iterable[str] = (), output: str | Path | None = None
) -> Path:
    """Execute a notebook (a path, a number or a stem) with parameters given as `name=value`.

    Returns the executed copy: `output`, or `build/<profile>/notebooks/<stem>.ipynb`. Raises
    QlabError before a kernel starts if a notebook, name or path is wrong, and NotebookFailed if a
    cell fails (an early one checks types and ranges) or the kernel dies: `<stem>.failed.ipynb` then
    has the notebook as far as it ran, and an earlier output is left untouched. Messages and files
    are free of secrets.
    """
    secrets = known()
    try:
        source = find_notebook(notebook)
        nb = read_notebook(source)
        declared = parameters_of(nb, source.name)
        values = parse_for(declared, assignments, source.name)
        for name, value in values.items():  # the kernel works in the notebook's folder
            if isinstance(value, str) and "/" in value and os.path.exists(value):
                values[name] = str(Path.cwd() / value)
        profile = redact(str((declared | values).get("profile", "none")), secrets)
        target = _target(source, output, profile)
        # What an earlier run injected would override the defaults.
        nb.cells = [cell for cell in nb.cells if _INJECTED not in cell.metadata.get("tags", [])]
        with _alone(target):
            _run(nb, values, source, target, secrets)
    except QlabError as error:
        # A message repeats what was given, which may be a secret; so may the chained errors.
        raise type(error)(redact(str(error), secrets)) from None
    return target


def _target(source: Path, output: str | Path | None, profile: str) -> Path:
    """The checked, absolute path of the executed notebook."""
    if output is None:
        if not re.fullmatch(r"\w[\w.-]*", profile):
            raise QlabError(f"The profile {profile!r} of {source.name} cannot name a folder.")
        return paths.build() / profile / "notebooks" / source.name
    target = Path(output).absolute()
    if target.suffix != ".ipynb" or os.path.isdir(target):
        raise QlabError(f"The output must be a file that ends in .ipynb, not {output}.")
    if os.path.exists(target) and target.samefile(source):
        raise QlabError(f"The output {output} is the notebook itself; give another path.")
    return target


def _alone(target: Path) -> contextlib.AbstractContextManager:
    """Lock the output. QlabError if another run holds the lock, or nothing can be written there."""
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"), timeout=0)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return lock.acquire()  # released at the end of the block
    except filelock.Timeout:
        raise QlabError(f"Another run is writing {target}; wait, or give an --output.") from None
    except OSError as error:
        why = f"{target.parent} cannot be written ({error.strerror}); give another --output."
        raise QlabError(why) from error


def _run(nb: Any, values: dict[str, Any], source: Path, target: Path, secrets: list[str]) -> None:
    """Execute `nb` and write it to `target`, or, if it fails, beside it."""
    failed, kept = target.with_suffix(".failed.ipynb"), []
    how = {"engine_name": _ENGINE, "kernel_name": NATIVE_KERNEL_NAME, "language": "python"}
    how |= {"progress_bar": sys.stderr.isatty() and "CI" not in os.environ}
    how |= {"cwd": source.parent, "start_timeout": 120}
    # For the engine and for nbclient behind it: a flush may cut a secret in two, and on a busy
    # machine the default 4 s are too short to collect the last output.
    how |= {"kept": kept, "kernel_manager_class": _kernel_manager(), "autosave_cell_every": 0}
    how |= {"coalesce_streams": True, "iopub_timeout": 60}
    try:
        papermill.execute_notebook(nb, None, values, **how)
    except (PapermillExecutionError, RuntimeError) as error:  # nbclient's DeadKernelError is one
        executed = remove_error_markers(kept[0])
        message = _failure(executed, error, source.name)
        try:
            _write(executed, failed, secrets)
        except QlabError as unwritten:
            raise NotebookFailed(f"{message}. It could not be kept: {unwritten}") from error
        raise NotebookFailed(f"{message}. The notebook as far as it ran: {failed}") from error
    _write(kept[0], target, secrets)
    failed.unlink(missing_ok=True)  # left by an earlier run, it would now mislead


class _Keeping(NBClientEngine):
    """papermill's own engine, but it hands out the notebook that it fills, even if a cell fails."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, kept: list[Any], **options: Any
    ) -> Any:
        kept.append(nb_man.nb)
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


papermill_engines.register(_ENGINE, _Keeping)


def _kernel_manager() -> type[AsyncKernelManager]:
    """A manager whose kernel is the running interpreter, and ends with this process.

    The name python3 means whatever `ipykernel install --user` was last run with, perhaps another
    environment. With no folder to search, it is ipykernel's own spec: sys.executable. The kernel
    gets qlab's folders as absolute paths; QLAB_QUIET keeps bars out of outputs.
    """
    folders = {"QLAB_HOME": paths.home(), "QLAB_DATA": paths.real_data()}
    environment = {**os.environ, **{k: str(v) for k, v in folders.items() if v}, "QLAB_QUIET": "1"}

    class ThisInterpreter(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _no_installed_specs(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[])

        def start_kernel(self, **options: Any) -> Any:
            # A kernel has a session of its own, so it survives when the process group is killed.
            # It looks for its parent once a second, but not while stopped or busy in native code.
            if sys.platform == "linux":
                libc = ctypes.CDLL(None)  # loaded here: little is safe after the fork
                options["preexec_fn"] = lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # The kernel's own log would not be redacted; what cells print comes another way.
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            return super().start_kernel(**options | silent | {"env": environment})

    return ThisInterpreter


def _write(nb: Any, target: Path, secrets: list[str]) -> None:
    """Write a notebook whole, without secrets and without papermill's notes (paths and times)."""
    nb = nbformat.from_dict(redacted(nb, secrets))
    for node in (nb, *nb.cells):
        notes = ("papermill", "execution")
        node.metadata = {k: v for k, v in node.metadata.items() if k not in notes and v != []}
    with written_whole(target) as part:
        # A lone surrogate, which UTF-8 cannot hold, becomes \udc80, which is JSON's name for it.
        part.write_text(nbformat.writes(nb) + "\n", encoding="utf-8", errors="backslashreplace")


def _failure(nb: Any, error: Exception, title: str) -> str:
    """Which cell stopped the notebook and why; cells count from 1 as in the notebook given."""
    cells = [cell for cell in nb.cells if _INJECTED not in cell.metadata.get("tags", [])]
    begun = [i for i, cell in enumerate(cells) if cell.metadata.papermill.get("start_time")]
    if not begun:
        return f"No kernel started ({error}); `{sys.executable} -m ipykernel_launcher` shows why"
    line, *_ = cells[begun[-1]].source.strip().splitlines()
    place = f"ell {begun[-1] + 1} of {title} (`{line}`)"
    if not isinstance(error, PapermillExecutionError):
        return f"The kernel died in c{place}, usually out of memory; try a smaller profile"
    *more, last = strip_color(error.evalue).strip().splitlines() or [""]
    return f"C{place} failed with {error.ename}: {'... ' if more else ''}{last}".rstrip(".: ")
