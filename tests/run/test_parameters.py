"""The parameters cell: what is read from it, and what is refused."""

import json

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from qlab.core.errors import QlabError
from qlab.run.parameters import (
    Parameter,
    as_text,
    find_notebook,
    parse_assignments,
    parse_for,
    read_notebook,
    read_parameters,
)

CELL = """\
from typing import Literal

# A comment on a line of its own describes no parameter.
profile: Literal["smoke", "mini", "full"] = "mini"  # how much to run
bits: Literal[8, 4, 2] = 8  # bits of a weight
threads: int = 2  # CPU threads # and a hash
offset: int = -1  # may be negative
ratio: float = 1  # a whole number will do
model: str = ""  # a folder with a model
progress: bool = True  # show a bar
layers: list[int] = [  # the first
    1,
    2,
]  # the last
names: list[str] = []  # parts that stay float
rates: list[float] = [0.5, 1]  # learning rates
"""
KINDS = {
    "flag": Parameter("flag", "bool", (), True, "."),
    "count": Parameter("count", "int", (), 1, "."),
    "scale": Parameter("scale", "float", (), 1.0, "."),
    "text": Parameter("text", "str", (), "", "."),
    "ints": Parameter("ints", "list[int]", (), [], "."),
    "floats": Parameter("floats", "list[float]", (), [], "."),
    "texts": Parameter("texts", "list[str]", (), [], "."),
    "choice": Parameter("choice", "Literal", ("a", 4, True), "a", "."),
}


def _tagged(source, cell=new_code_cell):
    return cell(source, metadata={"tags": ["parameters"]})


def _write(path, *cells):
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


@pytest.fixture
def notebook(tmp_path):
    cells = new_markdown_cell("# T"), _tagged(CELL), new_code_cell("print(threads)")
    return _write(tmp_path / "01_look.ipynb", *cells)


def _refused(action, *arguments):
    """The message of the QlabError, which is one sentence on one line."""
    with pytest.raises(QlabError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_cell_is_read(notebook):
    declared = read_parameters(notebook)
    assert list(declared) == [
        *("profile", "bits", "threads", "offset", "ratio", "model", "progress"),
        *("layers", "names", "rates"),
    ]
    assert declared["profile"] == Parameter(
        "profile", "Literal", ("smoke", "mini", "full"), "mini", "how much to run"
    )
    assert declared["bits"].choices == (8, 4, 2)
    assert declared["threads"] == Parameter("threads", "int", (), 2, "CPU threads # and a hash")
    assert declared["offset"].default == -1
    assert declared["layers"].default == [1, 2]
    assert declared["layers"].help == "the first the last"


def test_cell_is_not_executed(tmp_path):
    trace = tmp_path / "trace"
    path = _write(tmp_path / "n.ipynb", _tagged(f"a: int = open({str(trace)!r}, 'w')  # ."))
    _refused(read_parameters, path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "source",
    [
        "a = 1  # no type",
        "a: int  # no value",
        "a: int = 1",
        "a: int = 1\n# a comment below",
        "a: int = 1 + b  # not a literal",
        "a: int = f(1)  # not a literal",
        "a: int = True  # bool is no int",
        "a: int = 1.0  # float is no int",
        "a: float = 1e999  # infinite",
        "a: bool = 1  # int is no bool",
        "a: str = None  # none",
        "a: dict = {}  # unsupported",
        "a: list = []  # of what",
        "a: list[int] = [1, 'b']  # mixed",
        "a: list[int] = (1,)  # a tuple",
        "a: Literal['x', 'y'] = 'z'  # not a choice",
        "a: Literal[1, 2] = True  # equal, but not the same",
        "a: Literal[b] = 1  # not literal",
        "a: Literal[1.5] = 1.5  # no float choices",
        "a.b: int = 1  # no name",
        "import os",
        "from typing import Literal, Any",
        "print(1)  # .",
        "a: int = = 1  # syntax",
        "%matplotlib inline",
        "a: int = 1  # .\na: int = 2  # .",
    ],
)
def test_cells_that_are_refused(tmp_path, source):
    path = _write(tmp_path / "03_bad.ipynb", _tagged(source))
    assert "03_bad.ipynb" in _refused(read_parameters, path)


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([new_code_cell("a: int = 1  # .")], "none"),
        ([_tagged("a: int = 1  # ."), _tagged("")], "a code cell, a code cell"),
        ([_tagged("a", new_markdown_cell)], "a markdown cell"),
        ([_tagged("a", new_markdown_cell), _tagged("")], "a markdown cell, a code cell"),
    ],
)
def test_exactly_one_code_cell_is_tagged(tmp_path, cells, found):
    path = _write(tmp_path / "n.ipynb", *cells)
    assert _refused(read_parameters, path).endswith(f"found: {found}.")


def test_an_empty_cell_declares_nothing(tmp_path):
    path = _write(tmp_path / "n.ipynb", _tagged(""))
    assert read_parameters(path) == {}
    assert "its parameters: none" in _refused(parse_assignments, path, ["a=1"])


def test_assignments_are_typed(notebook):
    given_texts = [
        *("profile=smoke", "bits=4", "threads=8", "offset=-3", "ratio=2", "model=a=b c"),
        *("progress=false", "layers=3,1", 'names=["a, b"]', "rates=1,1e-3"),
    ]
    values = parse_assignments(notebook, given_texts)
    assert values == {
        "profile": "smoke",
        "bits": 4,
        "threads": 8,
        "offset": -3,
        "ratio": 2.0,
        "model": "a=b c",
        "progress": False,
        "layers": [3, 1],
        "names": ["a, b"],
        "rates": [1.0, 0.001],
    }
    assert type(values["ratio"]) is float
    assert [type(rate) for rate in values["rates"]] == [float, float]


def test_lists_separated_by_commas():
    values = parse_for(KINDS, ["ints=", "texts= a ,b", "floats=[1, 2.5]"], "n")
    assert values == {"ints": [], "texts": ["a", "b"], "floats": [1.0, 2.5]}


numbers = st.floats(allow_nan=False, allow_infinity=False)
VALUES = {
    "flag": st.booleans(),
    "count": st.integers(),
    "scale": numbers,
    "text": st.text(),
    "ints": st.lists(st.integers()),
    "floats": st.lists(numbers),
    "texts": st.lists(st.text()),
    "choice": st.sampled_from(["a", 4, True]),
}


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_text_of_a_value_gives_the_value_back(name, data):
    value = data.draw(VALUES[name])
    read = parse_for(KINDS, [f"{name}={as_text(value)}"], "n")[name]
    assert read == value and type(read) is type(value)


REFUSED = {
    "flag": ["True", "1", "yes", "", "null"],
    "count": ["1.5", "1.0", "true", "", "x", "nan", "1_000", "0x1", "9" * 5000],
    "scale": ["nan", "inf", "-Infinity", "NaN", "1e999", "9" * 400, "true", "", "one"],
    "ints": ["1,x", "1,,2", "[1, true]", "[1.5]", "[1", "1.5", '["1"]', "[" * 100_000],
    "floats": ["nan", "[1e999]", "[NaN]", "[true]", "0.1;0.2"],
    "texts": ["[1]", "[a]", '["a"', "[null]"],
    "choice": ["b", "", "A", "4.0", "True", "1"],
}


@pytest.mark.parametrize(("name", "text"), [(n, t) for n, ts in REFUSED.items() for t in ts])
def test_refusal_names_notebook_parameter_given_and_allowed(name, text):
    message = _refused(parse_for, KINDS, [f"{name}={text}"], "02_x.ipynb")
    assert message == (
        f"The parameter {name} of 02_x.ipynb must be {KINDS[name].allowed}, not {text!r}."
    )


def test_choices_are_named(notebook):
    message = _refused(parse_assignments, notebook, ["profile=huge"])
    assert "one of smoke, mini, full, not 'huge'" in message


def test_unknown_name(notebook):
    message = _refused(parse_assignments, notebook, ["thread=4"])
    assert message.startswith("01_look.ipynb has no parameter 'thread', given as 'thread=4'")
    assert "did you mean threads?" in message
    assert "profile, bits, threads" in message
    assert "did you mean" not in _refused(parse_assignments, notebook, ["zzz=4"])


def test_no_equals_sign(notebook):
    message = _refused(parse_assignments, notebook, ["threads"])
    assert "01_look.ipynb" in message and "'threads' has no `=`" in message
    assert "profile=mini" in message


def test_given_twice(notebook):
    message = _refused(parse_assignments, notebook, ["threads=1", "bits=4", "threads=1"])
    assert "threads of 01_look.ipynb is given twice" in message


# nbformat only logs this one when it reads it.
NO_OUTPUTS = {"id": "a", "cell_type": "code", "metadata": {}, "source": "1"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}).encode(),
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}}).encode(),
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [1]}).encode(),
        json.dumps(
            {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [NO_OUTPUTS]}
        ).encode(),
        b"[" * 100_000,
    ],
)
def test_files_that_are_no_notebooks(tmp_path, content):
    path = tmp_path / "n.ipynb"
    path.write_bytes(content)
    assert str(path) in _refused(read_notebook, path)


def test_unreadable_files(tmp_path):
    assert "No such file" in _refused(read_notebook, tmp_path / "none.ipynb")
    assert "directory" in _refused(read_notebook, tmp_path)


def test_notebooks_are_found_by_path_number_and_stem(tmp_path, monkeypatch):
    monkeypatch.setenv("QLAB_HOME", str(tmp_path))
    names = "01_look", "02_a", "02_b", "training/make_a", ".ipynb_checkpoints/01_look"
    for name in names:
        (tmp_path / "notebooks" / name).parent.mkdir(parents=True, exist_ok=True)
        _write(tmp_path / f"notebooks/{name}.ipynb", _tagged(""))
    look = tmp_path / "notebooks/01_look.ipynb"
    for given_name in ("01", "01_look", "01_look.ipynb", look, str(look)):
        assert find_notebook(given_name) == look
    assert find_notebook("make_a").parent.name == "training"
    monkeypatch.chdir(look.parent)
    assert find_notebook("02_a.ipynb") == look.with_name("02_a.ipynb")
    assert "02 is more than one notebook" in _refused(find_notebook, "02")
    message = _refused(find_notebook, "0")
    assert "0 is no notebook" in message and "01_look, 02_a, 02_b, make_a" in message
