"""Outlier channels for a small Llama: the same function, with weights as uneven as a large one's.

Large models have channels whose activations are many times the others', which makes rounding hard
(Dettmers et al., arXiv 2208.07339; Xiao et al., arXiv 2211.10438). A small one is given some here:
factors on channels of norms, value heads and up projections, divided out where they are read.
"""

import torch
from transformers import LlamaForCausalLM

STRENGTH = 0.7  # standard deviation of the factors' logarithms


@torch.no_grad()
def spread(model: LlamaForCausalLM, seed: int, strength: float = STRENGTH) -> None:
    """Rescale channels in place by factors exp(strength * normal); -strength undoes it."""
    random = torch.Generator().manual_seed(seed)

    def move(weight: torch.Tensor, *readers: torch.nn.Linear, size: int = 1, repeats: int = 1):
        """Multiply a weight's outputs, and divide the columns that read them; heads of `size`
        outputs are each read `repeats` times."""
        factor = torch.exp(strength * torch.randn(len(weight), generator=random))
        weight.t().mul_(factor)
        columns = factor.reshape(-1, size).repeat_interleave(repeats, dim=0).flatten()
        for linear in readers:
            linear.weight.div_(columns)

    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        move(layer.input_layernorm.weight, attention.q_proj, attention.k_proj, attention.v_proj)
        move(layer.post_attention_layernorm.weight, mlp.gate_proj, mlp.up_proj)
        move(mlp.up_proj.weight, mlp.down_proj)
        heads = {"size": attention.head_dim, "repeats": attention.num_key_value_groups}
        move(attention.v_proj.weight, attention.o_proj, **heads)
