"""Published networks rebuilt from PyTorch checkpoints."""

import numpy as np
import pytest
import torch

from qlab.classifier import checkpoints, model
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


@pytest.mark.parametrize("name", ["resnet20_cifar10", "resnet32_cifar10"])
def test_a_rebuilt_network_is_the_given_one(name, real_data, tmp_path):
    given = model.load(real_data / "cifar_resnet" / f"{name}.h5")
    torch.save(as_checkpoint(given), tmp_path / "net.th")
    found = checkpoints.rebuilt(checkpoints.weights(tmp_path / "net.th"))
    assert [x.name for x in found.layers[1:]] == [x.name for x in given.layers[1:]]
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    assert found(images).numpy() == pytest.approx(given(images).numpy(), abs=1e-6)


def test_a_checkpoint_that_runs_code_or_has_another_hash_is_refused(tmp_path, monkeypatch):
    class Bad:
        def __reduce__(self):
            return (print, ("ran",))

    file = tmp_path / "resnet20-12fca82f.th"
    torch.save({"state_dict": Bad()}, file)
    with pytest.raises(Exception, match="[Ww]eights.only"):
        checkpoints.weights(file)
    monkeypatch.setattr(checkpoints.fetch, "fetch", lambda url, known: file)
    with pytest.raises(QlabError, match="begin with 12fca82f"):
        checkpoints.downloaded("resnet20_cifar10")
    assert not file.exists()
