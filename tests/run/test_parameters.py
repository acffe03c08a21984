"""The parameters cell: what is read from it, what is refused, and that the room's model is it."""

import ast
import json
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
from qlab.run.parameters import Parameter, find_notebook, parameters_of, parse_for, read_notebook

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
numbers = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {
    "flag": (bool, st.booleans()),
    "count": (int, st.integers()),
    "scale": (float, numbers),
    "text": (str, st.text()),
    "ints": (list[int], st.lists(st.integers())),
    "floats": (list[float], st.lists(numbers)),
    "texts": (list[str], st.lists(st.text())),
    "choice": (Literal["a", 4, True], st.sampled_from(["a", 4, True])),
}
KINDS = {name: Parameter(kind, None) for name, (kind, _) in VALUES.items()}


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
    assert len(declared) == len(re.findall(r"^\w+: ", cells[0].source, re.M)) > 0
    model = built("\n".join(c.source for c in cells))
    assert issubclass(model, parameters.Parameters)
    fields = {n: (f.annotation, f.default) for n, f in model.model_fields.items()}
    assert fields == {n: (p.type, p.default) for n, p in declared.items()}
    assert list(fields) == list(declared)
    assert all(type(fields[n][1]) is type(p.default) for n, p in declared.items())


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
    assert declared["threads"] == Parameter(int, 2)
    assert declared["bits"] == Parameter(Literal[8, 4, 2], 8)
    assert declared["layers"] == Parameter(list[int], [1, 2])
    assert [declared["either"].parsed(text) for text in ("4", "four")] == [4, "four"]
    for name, text, value in (("ints", "1, 2", [1, 2]), ("texts", "a, 1", ["a", "1"])):
        assert KINDS[name].parsed(text) == value  # lists may be given with commas


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_text_of_a_value_gives_the_value_back(name, data):
    value = data.draw(VALUES[name][1])
    text = value if isinstance(value, str) else json.dumps(value)
    read = parse_for(KINDS, [f"{name}={text}"], "n")[name]
    assert read == value and type(read) is type(value)


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
a: float = 1e999  # infinite
a: Literal['x', 'y'] = 'z'  # not a choice
a.b: int = 1  # no name
a: int = = 1  # syntax
a: int = open("trace", "w")  # runs code
a: open("trace", "w") = 1  # runs code""".splitlines()


@pytest.mark.parametrize("source", [*BAD_CELLS, "a: int = 1\na: int = 2"])
def test_cells_that_are_refused(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QlabError, match=r"^[^\n]*03_bad\.ipynb[^\n]*\.$"):
        read_parameters(written(tmp_path / "03_bad.ipynb", source))
    assert not (tmp_path / "trace").exists()


WRONG = ["flag=1", "count=" + "9" * 5000, "scale=-Infinity", "ints=1,,2", "ints=" + "[" * 100_000]


@pytest.mark.parametrize("given_", [*WRONG, "floats=[1e999]", "choice=b"], ids=lambda g: g[:20])
def test_a_value_of_another_type_is_refused(given_):
    with pytest.raises(QlabError, match=r"^02_x.ipynb cannot have [^\n]*: Input should be [^\n]*$"):
        parse_for(KINDS, [given_], "02_x.ipynb")
