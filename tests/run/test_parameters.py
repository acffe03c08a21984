"""The parameters cell: what is read from it, what is refused, and that the room's model is it."""

import ast
import re
from typing import Literal

import nbformat
import pytest
from conftest import NOTEBOOKS
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from qlab.core import parameters
from qlab.core.errors import QlabError
from qlab.run import cli
from qlab.run.parameters import find_notebook, parameters_of, parse_for, read_notebook

CELL = """\
from typing import Literal

# A comment on a line of its own describes no parameter.
bits: Literal[8, 4, 2] = 8  # bits of a weight
threads: int = 2  # CPU threads # and a hash
ratio: float = 1  # a whole number will do
layers: list[int] = [  # the first
    1,
    2,
]  # the last
either: int | str = 3  # a number, or a word
"""
DEFAULTS = {"flag": True, "count": 0, "scale": 0.0, "text": "", "ints": []}
numbers = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {"flag": st.booleans(), "count": st.integers(), "scale": numbers, "text": st.text()}
VALUES["ints"] = st.lists(st.integers())


def read_parameters(path):
    return parameters_of(read_notebook(path), path.name)


def written(path, source):
    cells = new_markdown_cell("# T"), new_code_cell(source, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[*cells, new_code_cell("1 + 1")]), path)
    return path


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_cell_is_the_model_that_travels(notebook):
    """Names, order, types and defaults are the same; and no line of the cell is overlooked."""
    declared = read_parameters(notebook)
    cells = [c for c in read_notebook(notebook).cells if c.cell_type == "code"]
    lines = [x for x in ast.parse(cells[0].source).body if isinstance(x, ast.AnnAssign)]
    types = {x.target.id: eval(ast.unparse(x.annotation), {"Literal": Literal}) for x in lines}
    model = built("\n".join(c.source for c in cells))
    assert issubclass(model, parameters.Parameters)
    fields = model.model_fields
    assert list(fields) == list(declared) == list(types)
    assert {n: (f.annotation, f.default) for n, f in fields.items()} == {
        n: (types[n], value) for n, value in declared.items()
    }
    assert all(type(fields[n].default) is type(value) for n, value in declared.items())


def built(code: str) -> type:
    """The class X of the one `X.of(globals())` in a notebook's code; only its import is run."""
    [found] = re.findall(r"([\w.]+)\.of\(globals\(\)\)", code)
    first, scope = found.split(".")[0], {}
    imports = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
    [one] = [(n.module, a) for n in imports for a in n.names if (a.asname or a.name) == first]
    exec(f"from {one[0]} import {ast.unparse(one[1])}", scope)
    return eval(found, scope)


def test_cell_is_read(tmp_path, capsys):
    declared = read_parameters(path := written(tmp_path / "01_look.ipynb", CELL))
    assert cli.main(["parameters", str(path)]) == 0 and capsys.readouterr().out == f"{CELL}\n"
    assert list(declared) == re.findall(r"^(\w+):", CELL, re.M)
    assert declared == {"bits": 8, "threads": 2, "ratio": 1, "layers": [1, 2], "either": 3}


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_text_of_a_value_gives_the_value_back(name, data):
    value = data.draw(VALUES[name])
    text = value if isinstance(value, str) else repr(value)
    read = parse_for(DEFAULTS, [f"{name}={text}"], "n")[name]
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("text", ["two", "NaN", "-Infinity", "[" * 100_000])
def test_a_text_that_means_nothing_goes_on_to_the_notebook_which_refuses_it(text):
    assert parse_for(DEFAULTS, [f"count={text}"], "n") == {"count": text}


def test_notebooks_are_found_by_path_number_and_stem(empty_home):
    for name in ("01_look", "02_a", "02_b", "training/make_a", ".ipynb_checkpoints/01_look"):
        place = empty_home / "notebooks" / f"{name}.ipynb"
        place.parent.mkdir(parents=True, exist_ok=True)
        written(place, "")
    look = empty_home / "notebooks" / "01_look.ipynb"
    assert {find_notebook(n) for n in ("01", "01_look", "01_look.ipynb", look, str(look))} == {look}
    assert find_notebook("make_a").parent.name == "training"
    with pytest.raises(QlabError, match="02 is more than one notebook"):
        find_notebook("02")


BAD_CELLS = """\
a = 1  # no type
a: int = 1 + b  # not a literal
a.b: int = 1  # no name
a: int = = 1  # syntax
a: int = open("trace", "w")  # runs code
from os import sep  # another import
a += 1  # no declaration""".splitlines()


@pytest.mark.parametrize("source", [*BAD_CELLS, "a: int = 1\na: int = 2"])
def test_cells_that_are_refused(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QlabError, match=r"^[^\n]*03_bad\.ipynb[^\n]*\.$"):
        read_parameters(written(tmp_path / "03_bad.ipynb", source))
    assert not (tmp_path / "trace").exists()
