"""A Hugging Face Llama folder: checked before work starts, read by the tensor, run by the block.

Models are built empty and given their weights here, for `from_pretrained` starts a missing tensor
at random, with a warning. Works with transformers 4.53 and 5.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qlab.core.errors import QlabError

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

# Of a decoder layer: what is quantized.
LINEARS = tuple(f"self_attn.{name}_proj" for name in "qkvo")
LINEARS += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def check(folder: Path) -> "LlamaConfig":
    """The configuration of a Llama folder, once its files were found to be there.

    Reads the headers of the weight files, no weights. QlabError: no folder, not a Llama, no
    tokenizer or one with more words than the model, weights missing, cut short or as pickle only.
    """
    config = read_config(folder)
    words = 1 + max(load_tokenizer(folder).get_vocab().values(), default=-1)
    if words > config.vocab_size:
        raise QlabError(
            f"The tokenizer in {folder} has {words} words, the model only {config.vocab_size}; "
            "take both from one place."
        )
    Weights(folder)
    return config


def float_config(folder: Path) -> "LlamaConfig":
    """As `check`; QlabError for a folder that is quantized already."""
    config = check(folder)
    if quantized(config):
        raise QlabError(f"{folder} is quantized already; give the float model it was made from.")
    return config


def read_config(folder: Path) -> "LlamaConfig":
    """config.json of a Llama folder, with PyTorch's own attention (sdpa) chosen, or QlabError."""
    from transformers import LlamaConfig

    if not folder.is_dir():
        raise QlabError(f"There is no model folder at {folder}; give a local Hugging Face folder.")
    kind = read_json(folder, "config.json").get("model_type")
    if kind != "llama":
        raise QlabError(
            f"{folder} holds a model of type {kind!r}; this experiment takes 'llama' "
            "(LlamaForCausalLM: Llama 2, Llama 3, TinyLlama and their like)."
        )
    return LlamaConfig.from_pretrained(folder, attn_implementation="sdpa", local_files_only=True)


def linear_shapes(config: "LlamaConfig") -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of each of LINEARS in one decoder layer."""
    width, inner = config.hidden_size, config.intermediate_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    attention = [(queries, width), (keys, width), (keys, width), (width, queries)]
    return dict(zip(LINEARS, [*attention, (inner, width), (inner, width), (width, inner)],
                    strict=True))  # fmt: skip


def empty(config: "LlamaConfig") -> "LlamaForCausalLM":
    """The model without memory for its weights: names, shapes and count of them."""
    import torch
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        return LlamaForCausalLM(config)


def quantized(config: "LlamaConfig") -> bool:
    """Whether the folder's linear layers are stored quantized."""
    return getattr(config, "quantization_config", None) is not None


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """The tokenizer of tokenizer.json, which takes no space away before a full stop when decoding;
    code that a folder brings is never run."""
    from transformers import PreTrainedTokenizerFast

    read_json(folder, "tokenizer.json", "its model cannot be given text")
    return PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True, clean_up_tokenization_spaces=False
    )


class Weights:
    """The tensors of a folder's safetensors file or shards, one copied out at a time.

    A file is mapped only while one of its tensors is read, so that what was read once does not
    stay in the resident memory of this process.
    """

    def __init__(self, folder: Path):
        self.folder, self._file = folder, {}  # tensor name -> file
        for path in _weight_files(folder):
            with _opened(path) as file:
                self._file |= dict.fromkeys(file.keys(), path)

    @property
    def names(self) -> list[str]:
        """The tensors' names, sorted."""
        return sorted(self._file)

    def read(self, name: str) -> "torch.Tensor":
        """One tensor as stored, copied to memory of its own on the CPU."""
        if name not in self._file:
            raise QlabError(f"The weights in {self.folder} lack the tensor {name}; get them again.")
        with _opened(self._file[name]) as file:
            return file.get_tensor(name).clone()


def load(folder: Path, dtype: str = "float32", device: str = "cpu") -> "LlamaForCausalLM":
    """The model of a float folder in eval mode; QlabError: a quantized folder, a missing tensor."""
    config, weights = float_config(folder), Weights(folder)
    return filled(config, lambda name, _: weights.read(name), dtype, device)


def filled(config: "LlamaConfig", read: Callable, dtype: str, device: str) -> "LlamaForCausalLM":
    """A model in eval mode whose tensors are what `read(name, shape)` gives, one at a time."""
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    model = empty(config)
    _fill(model, read, dtype, device, without=("lm_head.weight",) * config.tie_word_embeddings)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    # Its buffers are computed, not stored, so the empty model has none to fill.
    model.model.rotary_emb = LlamaRotaryEmbedding(config=config).to(device)
    return model.eval()


def block(
    folder: Path, weights: Weights, index: int, dtype: str = "float32", device: str = "cpu"
) -> "LlamaDecoderLayer":
    """One decoder layer with its weights, in eval mode; nothing else of the model in memory."""
    import torch
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    with torch.device("meta"):
        layer = LlamaDecoderLayer(read_config(folder), index)
    _fill(layer, lambda name, _: weights.read(f"model.layers.{index}.{name}"), dtype, device)
    return layer.eval()


def rotary(
    config: "LlamaConfig", length: int, dtype: str = "float32", device: str = "cpu"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Cosine and sine [1, length, head size] of the positions 0 .. length - 1."""
    import torch
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    positions = torch.arange(length, device=device)[None]
    like = torch.empty(0, dtype=torch_dtype(dtype), device=device)
    return LlamaRotaryEmbedding(config=config).to(device)(like, positions)


def run_block(
    layer: "LlamaDecoderLayer",
    hidden: "torch.Tensor",
    position_embeddings: tuple["torch.Tensor", "torch.Tensor"],
) -> "torch.Tensor":
    """A decoder layer's output [batch, length, width], each position seeing those before it."""
    output = layer(hidden, attention_mask=None, position_embeddings=position_embeddings)
    return output[0] if isinstance(output, tuple) else output  # transformers 4 gives a tuple


def torch_dtype(name: str) -> "torch.dtype":
    """torch.float32, torch.float16 or torch.bfloat16 by name."""
    import torch

    return getattr(torch, name)


def read_json(folder: Path, name: str, why: str = "this is no Hugging Face model folder") -> dict:
    """A JSON object from a file of the folder; QlabError: no file, no JSON, no object."""
    path = folder / name
    if not path.is_file():
        raise QlabError(f"{folder} has no {name}, so {why}; get the whole folder again.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise QlabError(f"{path} is not JSON ({error}); get it again.") from error
    if not isinstance(found, dict):
        raise QlabError(f"{path} holds a JSON {type(found).__name__}, not an object; get it again.")
    return found


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the index or the single one; pickles are never read."""
    names = [WEIGHTS]
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder, INDEX).get("weight_map", {}).values()))
    for name in names:
        if Path(name).name != name:
            raise QlabError(
                f"{folder / INDEX} names the weight file {name!r}; expected a file of the same "
                "folder for every tensor. Get the whole folder again."
            )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing and (pickle := next(folder.glob("*.bin"), None)):
        raise QlabError(
            f"{folder} has its weights as pickle only ({pickle.name}), which can run any code when "
            "read and is refused; get the safetensors files."
        )
    if missing or not names:
        raise QlabError(
            f"{folder} lacks {len(missing) or 'all'} of its {len(names)} weight files, first "
            f"{(missing or [WEIGHTS])[0]}; get the whole folder again."
        )
    return [folder / name for name in names]


def _opened(path: Path):
    """A safetensors file, open; one that is cut short or none at all is a QlabError."""
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise QlabError(
            f"{path} is no whole safetensors file ({error}), perhaps cut short; get it again."
        ) from error


def _fill(module, read: Callable, dtype: str, device: str, without: tuple[str, ...] = ()) -> None:
    """Give an empty module its weights, one at a time; those in `without` stay empty."""
    kind = torch_dtype(dtype)
    for name, empty in module.state_dict().items():
        if name not in without:
            tensor = read(name, empty.shape).to(device, kind)
            module.load_state_dict({name: tensor}, strict=False, assign=True)
