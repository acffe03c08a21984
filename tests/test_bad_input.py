"""The table of bad inputs is true: every sentence in it is looked for by the test it names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).parent
TABLE = yaml.safe_load((TESTS / "bad_input.yaml").read_text(encoding="utf-8"))
ROWS = [row for rows in TABLE.values() for row in rows]
# How a test sees a sentence: as an exception, in what was printed, or through a helper that does.
LOOKS = re.compile(r"raises\(|\.stderr|\.err\b|_refused\(|\brefuse\(")


def test_there_are_forty_kinds_and_none_twice():
    kinds = [row[0] for row in ROWS]
    assert len(set(kinds)) == len(kinds) >= 40
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize(("given", "sentence", "test"), ROWS, ids=[row[0] for row in ROWS])
def test_its_test_looks_for_the_sentence(given, sentence, test):
    name, _, function = test.partition("::")
    text = source(name, function)
    assert LOOKS.search(text)
    assert sentence in text


@cache
def source(name: str, function: str) -> str:
    """A test's text with its decorators and the constants it names; without escapes and breaks."""
    whole = (TESTS / name).read_text(encoding="utf-8")
    top = {target: node for node in ast.parse(whole).body for target in names(node)}
    assert function in top, f"{name} has no {function}"
    parts = [top[function]]
    used = {node.id for node in ast.walk(top[function]) if isinstance(node, ast.Name)}
    parts += [node for target, node in top.items() if target in used and target != function]
    lines = whole.splitlines()
    texts = ["\n".join(lines[first_line(part) - 1 : part.end_lineno]) for part in parts]
    joined = re.sub(r'"\s*\n\s*r?f?"', "", "\n".join(texts))
    return joined.replace("\\", "")


def names(node: ast.stmt) -> list[str]:
    """What a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
