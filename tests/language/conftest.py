"""What several tests of the room stand on."""

import pytest
import tiny_llama

from qlab.language import methods, streaming


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A folder with a random tiny Llama whose layers can be packed."""
    folder = tmp_path_factory.mktemp("source")
    tiny_llama.write(folder, **tiny_llama.WIDE)
    return folder


@pytest.fixture
def made(source, tmp_path):
    """The folder that a method makes of it."""

    def make(name, passages=tiny_llama.PASSAGES, **more):
        target = tmp_path / name
        streaming.quantize_folder(source, methods.method(name), passages, target, **more)
        return target

    return make
