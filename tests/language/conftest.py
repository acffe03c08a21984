"""What several tests of the room stand on."""

import pytest
import tiny_llama
import torch

from qlab.language import device, streaming


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """A machine without a GPU, without real data of its own; tiny layers take five times as long
    where several threads share them."""
    torch.set_num_threads(1)
    monkeypatch.setattr(device, "look", lambda: None)
    for name in ("QLAB_DATA", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    tiny_llama.write(folder := tmp_path_factory.mktemp("source"))
    return folder


@pytest.fixture
def made(source, tmp_path):
    """The folder that a method makes of it, or of another model."""

    def make(method, passages=tiny_llama.PASSAGES, of=source, **more):
        target = tmp_path / f"{of.name}-{method.kind}-{method.bits}"
        target.mkdir()
        streaming.quantize_folder(of, method, passages, target, **more)
        return target

    return make
