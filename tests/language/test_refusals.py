"""What notebook 02 is given wrong is one sentence, said before any work."""

import json

import pytest
import tiny_llama

from qlab.core.errors import QlabError
from qlab.language import data, device, gptq_format, lambada, lora


@pytest.fixture
def folder(tmp_path, home, monkeypatch):
    """A small Llama and twelve passages."""
    monkeypatch.delenv("QLAB_DATA", raising=False)
    monkeypatch.setattr(device, "look", lambda: None)
    tiny_llama.write(tmp_path / "m")
    lines = [json.dumps({"text": f"On day {i} they met and said good {i}"}) for i in range(12)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    (tmp_path / "notes.txt").touch()
    return tmp_path


def prepare(folder, **changes):
    model, passages = str(folder / "m"), str(folder / "own.jsonl")
    named = {"profile": "smoke", "model": model, "passages": passages} | changes
    return data.prepare(data.Parameters.of(named))


def read(folder, line):
    (folder / "bad.jsonl").write_text(f'{{"text": "a b"}}\n{line}\n')
    return lambada.read(folder / "bad.jsonl")


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (lambda f: prepare(f, model="/no/such/model"), "no model folder or GGUF file at /no/such"),
        (lambda f: prepare(f, model=str(f / "notes.txt")), "a file that ends in .gguf, or a name"),
        (lambda f: prepare(f, calibration_count=12), "12 passages cannot be split into 12 that ca"),
        (lambda f: prepare(f, device="cuda"), "finds no CUDA device"),
        (lambda f: read(f, '{"text": "a b"'), r"line 2: expected an object .*\(Invalid JSON: EOF"),
        (lambda f: read(f, '{"text": "alone"}'), "line 2: a passage needs a context, a space and"),
        (lambda f: gptq_format.check_widths({"up": (172, 64)}, 4, 64), "up has 172 outputs, which"),
        (lambda f: gptq_format.check_widths({}, 5, 64), "has 2, 3, 4 and 8 bits, not 5"),
        (lambda f: lora.cost(f), "There is no adapter at"),
        (lambda f: data.twin(prepare(f), 0.0), "Only llama_mini has twins; m has none"),
    ],
)
def test_work_that_cannot_be_done(folder, work, sentence):
    with pytest.raises(QlabError, match=sentence):
        work(folder)
