"""Where a quantized Llama goes wrong: the relative output error of each of its linear layers.

For weights W [out, in], their change D and the layer's inputs x in the float model, the error is
sqrt(sum |D x|^2 / sum |W x|^2) = sqrt(tr(D H D^T) / tr(W H W^T)) with H = sum x x^T, computed once
for all variants. The inputs are the float model's, so errors of earlier layers are not in it.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from qlab.language import llama, streaming
from qlab.language import methods as quantizers

if TYPE_CHECKING:
    import pandas as pd

# Linear layers by the one of them whose inputs all of them have.
SHARED = {
    "self_attn.q_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attn.o_proj": ("self_attn.o_proj",),
    "mlp.gate_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down_proj": ("mlp.down_proj",),
}


def layer_errors(
    folder: Path,
    quantized: dict[str, Path],
    calibration: list[list[int]],
    device: str = "cpu",
    progress=iter,
) -> "pd.DataFrame":
    """Table of layer (from 0), linear, variant, relative_error, over some passages' token ids.

    `quantized` has a folder for each variant of the float Llama in `folder`. Of LLM.int8() it is
    the error of the weights alone. QlabError: no passages, or folders that do not fit.
    """
    import pandas as pd

    config = llama.check(folder)
    streaming.checked(calibration, config)
    methods = {
        variant: quantizers.stored(llama.check(path).quantization_config, path)
        for variant, path in quantized.items()
    }
    rows = []
    rotary = streaming.positions(config, calibration, "float32", device)
    weights, stored = llama.Weights(folder), {v: llama.Weights(p) for v, p in quantized.items()}
    with torch.no_grad():
        states = streaming.embedded(weights, calibration, "float32")
        for index in progress(range(config.num_hidden_layers)):
            block = llama.block(folder, weights, index, "float32", device)
            hessians = _pass(block, states, rotary, device)
            for variant, method in methods.items():
                for observed, kinds in SHARED.items():
                    for kind in kinds:
                        name = f"model.layers.{index}.{kind}.weight"
                        weight = block.get_submodule(kind).weight
                        dense = streaming.dense_tensor(stored[variant], method, name, weight.shape)
                        error = relative_error(weight, dense.to(weight), hessians[observed])
                        rows.append((index, kind, variant, error))
    return pd.DataFrame(rows, columns=["layer", "linear", "variant", "relative_error"])


def relative_error(weight: torch.Tensor, other: torch.Tensor, hessian: torch.Tensor) -> float:
    """sqrt(tr(D H D^T) / tr(W H W^T)) with D = other - weight; 0 where the layer gives only 0.

    Weights are [out, in], the Hessian of the inputs [in, in].
    """
    change, signal = (_energy(matrix, hessian) for matrix in (other - weight, weight))
    return math.sqrt(max(change, 0.0) / signal) if signal > 0 else 0.0


def _energy(matrix: torch.Tensor, hessian: torch.Tensor) -> float:
    """tr(M H M^T), summed in float64: its terms nearly cancel where inputs are correlated."""
    return float(((matrix @ hessian) * matrix).sum(dtype=torch.float64))


def _pass(block, states: list[torch.Tensor], rotary: dict, device: str) -> dict[str, torch.Tensor]:
    """Run all passages through a decoder layer, in place; H [in, in] of each group of inputs."""
    hessians: dict[str, torch.Tensor] = {}

    def observe(kind: str):
        def seen(module, inputs) -> None:
            x = inputs[0].reshape(-1, inputs[0].shape[-1])
            if kind not in hessians:
                hessians[kind] = torch.zeros(x.shape[1], x.shape[1], device=x.device)
            hessians[kind].addmm_(x.T, x)

        return seen

    hooks = [block.get_submodule(k).register_forward_pre_hook(observe(k)) for k in SHARED]
    for i, state in enumerate(states):
        states[i] = llama.run_block(block, state.to(device), rotary[state.shape[1]]).cpu()
    for hook in hooks:
        hook.remove()
    return hessians
