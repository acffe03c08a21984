"""Classifiers with names, rebuilt from PyTorch checkpoints."""

import numpy as np
import pytest
import torch

from qlab.classifier import model, named
from qlab.core.cache import file_sha256
from qlab.core.errors import QlabError


def as_checkpoint(network) -> dict:
    """What a checkpoint of akamaster's holds, of a Keras network of that shape."""
    held = {}
    for layer in network.layers:
        stack, _, part = layer.name.partition("_")
        block = f"layer{stack[1]}.{stack[3:]}." if part and stack[0] == "g" else ""
        arrays = layer.get_weights()
        if layer.name.endswith("_bn"):
            name = f"{block}bn{layer.name[-4]}"
            parts = ("weight", "bias", "running_mean", "running_var")
            held |= {f"{name}.{p}": a for p, a in zip(parts, arrays, strict=True)}
        elif layer.name == "linear":
            held |= {"linear.weight": arrays[0].T, "linear.bias": arrays[1]}
        elif "conv" in layer.name and arrays:
            held[f"{block}conv{layer.name[-1]}.weight"] = arrays[0].transpose(3, 2, 0, 1)
    tensors = {f"module.{k}": torch.tensor(np.ascontiguousarray(v)) for k, v in held.items()}
    return {"state_dict": tensors, "best_prec1": 91.7}


def put(folder, held, monkeypatch, begins="") -> None:
    """Let the checkpoint of ResNet-20 be there, under a name that tells its hash."""
    torch.save(held, folder / "net.th")
    begins = begins or file_sha256(folder / "net.th")[:8]
    file = (folder / "net.th").rename(folder / f"net-{begins}.th")
    monkeypatch.setattr(named.fetch, "fetch", lambda url, known: file)


@pytest.mark.parametrize("name", ["resnet20_cifar10", "resnet32_cifar10"])
def test_a_rebuilt_network_is_the_given_one(name, real_data, empty_home, monkeypatch):
    given = model.load(real_data / "cifar_resnet" / f"{name}.h5")
    put(empty_home, as_checkpoint(given), monkeypatch)
    found = named.downloaded("resnet20_cifar10")
    assert [x.name for x in found.layers[1:]] == [x.name for x in given.layers[1:]]
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    assert found(images).numpy() == pytest.approx(given(images).numpy(), abs=1e-6)


def test_a_checkpoint_that_runs_code_or_has_another_hash_is_refused(empty_home, monkeypatch):
    class Bad:
        def __reduce__(self):
            return (print, ("ran",))

    put(empty_home, {"state_dict": Bad()}, monkeypatch)
    with pytest.raises(Exception, match="[Ww]eights.only"):
        named.downloaded("resnet20_cifar10")
    put(empty_home, {"state_dict": {}}, monkeypatch, "12fca82f")
    with pytest.raises(QlabError, match="should begin with 12fca82f; it was removed"):
        named.downloaded("resnet20_cifar10")
    assert not list(empty_home.glob("*12fca82f*"))
