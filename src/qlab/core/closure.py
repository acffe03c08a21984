"""What code depends on: the qlab modules that it imports, directly or through others.

Found with the standard library's `modulefinder`, which imports nothing, so no framework is loaded.
"""

import io
from modulefinder import ModuleFinder
from pathlib import Path


def package() -> Path:
    """The folder of the qlab package."""
    return Path(__file__).resolve().parents[1]


def imported(code: str, name: str = "code") -> dict[str, Path]:
    """Files, by module name, of the qlab modules that Python code imports, directly or not; imports
    inside functions count. SyntaxError in the code, whose file is called `name`, or in a module."""
    finder = _Finder()
    finder.load_module("__main__", io.StringIO(code), name, ("", "r", 1))  # 1: source
    del finder.modules["__main__"]
    return {name: Path(found.__file__) for name, found in finder.modules.items() if found.__file__}


class _Finder(ModuleFinder):
    """Follows only the package's own modules, whatever else is installed."""

    def find_module(self, name, path, parent=None):
        if path is None and name != package().name:  # a top level
            raise ImportError(name)
        return super().find_module(name, path or [str(package().parent)], parent)
