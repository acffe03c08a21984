"""A causal decoder of any family that transformers knows: checked, opened, its layers found.

Models are built empty and given their weights here, one tensor at a time: `from_pretrained` starts
a missing tensor at random, with a warning. Works with transformers 4.53 and 5.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qlab.core.errors import QlabError
from qlab.language.weights import Weights, read_json

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Read = Callable[[str, "torch.Size"], "torch.Tensor"]  # (name, shape) -> tensor


def check(folder: Path) -> "PretrainedConfig":
    """The configuration of a model folder, once its files were found to be there.

    Reads the headers of the weight files, no weights. QlabError: no folder, not a causal decoder,
    no tokenizer or one with more words than the model, weights missing, cut short or as pickle.
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


def float_config(folder: Path) -> "PretrainedConfig":
    """As `check`; QlabError for a folder that is quantized already."""
    config = check(folder)
    if quantized(config):
        raise QlabError(f"{folder} is quantized already; give the float model it was made from.")
    return config


def read_config(folder: Path) -> "PretrainedConfig":
    """config.json of a causal decoder, its attention chosen; QlabError for another model."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING

    if not folder.is_dir():
        raise QlabError(f"There is no model folder at {folder}; give a local Hugging Face folder.")
    settings = read_json(folder, "config.json")
    kind, named = settings.get("model_type"), settings.get("architectures")
    if kind not in CONFIG_MAPPING:
        own = "code of its own, which is never run" if "auto_map" in settings else "another version"
        raise QlabError(
            f"{folder} holds a model of type {kind!r}, which the installed transformers does not "
            f"know: it needs {own}. Take a model whose family transformers has."
        )
    known = CONFIG_MAPPING[kind]
    model = MODEL_FOR_CAUSAL_LM_MAPPING.get(known, None)
    if model is None or (named and model.__name__ not in named) or kind == "gemma3":
        raise QlabError(
            f"{folder} holds {(named or [kind])[0]!r}; this experiment takes causal decoders with "
            "their head, such as LlamaForCausalLM, Qwen3ForCausalLM or GPT2LMHeadModel."
        )
    config = known.from_dict(_old_rope(settings, known, folder))
    # PyTorch's own attention leaves out the soft cap that Gemma 2 puts on its scores.
    capped = getattr(config, "attn_logit_softcapping", None)
    if capped:
        config._attn_implementation = "eager"
    return config


def _old_rope(settings: dict, known: type, folder: Path) -> dict:
    """The settings with rotary positions as the installed transformers reads them.

    transformers 5 writes `rope_parameters`, for each kind of layer where there are several; 4 reads
    `rope_theta` and `rope_scaling`, and would pass over the new spelling without a word.
    """
    rope = settings.get("rope_parameters")
    if not rope or hasattr(known(), "rope_parameters"):
        return settings
    rope, local = dict(rope), {}
    if "full_attention" in rope:
        local, rope = rope.get("sliding_attention") or {}, dict(rope["full_attention"])
    found = settings | {"rope_theta": rope.pop("rope_theta", 10_000.0)}
    if local:
        found["rope_local_base_freq"] = local["rope_theta"]
    if "partial_rotary_factor" in rope:
        share = rope.pop("partial_rotary_factor")
        found |= {"partial_rotary_factor": share, "rotary_pct": share}
    if rope.get("rope_type", "default") != "default":
        found["rope_scaling"] = rope
    strange = [n for n in found.keys() - settings.keys() if n != "rope_scaling"
               and not hasattr(known(), n)]  # fmt: skip
    if set(strange) >= {"partial_rotary_factor", "rotary_pct"} or local.get("rope_type",
                                                                  "default") != "default":  # fmt: skip
        raise QlabError(
            f"{folder / 'config.json'} was written by transformers 5 with rope_parameters "
            f"{settings['rope_parameters']}, which the installed one cannot read; update it."
        )
    return found


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer as AutoTokenizer opens it, which takes no space away before a full stop when
    decoding; code that a folder brings is never run."""
    import transformers

    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model",
                                                      "vocab.json")):  # fmt: skip
        read_json(folder, "tokenizer.json", "its model cannot be given text")
    path, more = folder / "tokenizer_config.json", {}
    settings = read_json(folder, path.name) if path.is_file() else {}
    kind = transformers.AutoTokenizer
    # transformers 5 names a class that 4 does not have, and lists what 4 wants by name.
    if not hasattr(transformers, settings.get("tokenizer_class", "AutoTokenizer")):
        kind = transformers.PreTrainedTokenizerFast
    if isinstance(settings.get("extra_special_tokens"), list):
        more["extra_special_tokens"] = {}
    return kind.from_pretrained(
        folder, local_files_only=True, clean_up_tokenization_spaces=False, **more
    )


def quantized(config: "PretrainedConfig") -> bool:
    """Whether the folder's linear layers are stored quantized."""
    return getattr(config, "quantization_config", None) is not None


def context(config: "PretrainedConfig") -> int:
    """Tokens that the model can read at once; 2,048 where its configuration sets no limit."""
    return getattr(config, "max_position_embeddings", None) or 2048


def empty(config: "PretrainedConfig") -> "PreTrainedModel":
    """The model in eval mode without memory for its weights; what is computed, not stored, such as
    the frequencies of rotary positions, is there."""
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    config.torch_dtype = torch.float32
    with init_empty_weights(include_buffers=False):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False).eval()


def blocks(model: "PreTrainedModel") -> tuple[str, "nn.ModuleList"]:
    """The decoder blocks and their name; QlabError where the model has none that can be found."""
    from torch import nn

    count = model.config.num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count and linears(module[0]):
            return name, module
    raise QlabError(
        f"No list of {count} decoder blocks with linear layers was found in "
        f"{type(model).__name__}; this experiment cannot quantize it."
    )


def trunk(model: "PreTrainedModel") -> tuple[str, "nn.Module"]:
    """All but the head, and its name: what gives hidden states for tokens."""
    name = blocks(model)[0].split(".")[0]
    return name, model.get_submodule(name)


def linears(block: "nn.Module") -> dict[str, "nn.Module"]:
    """The linear layers of a block by name, in the order in which it holds them; GPT-2's too, which
    it keeps transposed as `Conv1D`."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return {n: m for n, m in block.named_modules() if isinstance(m, nn.Linear | Conv1D)}


def matrix(linear: "nn.Module") -> "torch.Tensor":
    """A linear layer's weight as [outputs, inputs]."""
    weight = linear.weight.detach()
    return weight if hasattr(linear, "in_features") else weight.t()


def oriented(linear: "nn.Module", weight: "torch.Tensor") -> "torch.Tensor":
    """A weight [outputs, inputs] as the linear layer keeps it."""
    return weight if hasattr(linear, "in_features") else weight.t().contiguous()


def shapes(config: "PretrainedConfig") -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of each linear layer of each decoder block, by its full name."""
    prefix, found = blocks(empty(config))
    return {f"{prefix}.{name}": tuple(matrix(module).shape)
            for name, module in linears(found).items()}  # fmt: skip


def tied(model: "PreTrainedModel") -> set[str]:
    """Names of weights that are another's, and so are not stored."""
    return set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()


def load(folder: Path, dtype: str = "float32", device: str = "cpu") -> "PreTrainedModel":
    """The model of a float folder in eval mode; QlabError: a quantized folder, a missing tensor."""
    config = float_config(folder)
    return filled(config, reader(folder, empty(config)), dtype, device)


def filled(config: "PretrainedConfig", read: Read, dtype: str, device: str) -> "PreTrainedModel":
    """A model in eval mode whose tensors are what `read(name, shape)` gives, one at a time."""
    model = empty(config)
    fill(model, read, dtype, device, without=tied(model))
    model.tie_weights()
    return model


def reader(folder: Path, model: "PreTrainedModel") -> Read:
    """`read(name, shape)` of a float folder by the model's names."""
    weights = Weights(folder)
    stored = stored_names(model, weights)
    return lambda name, _: weights.read(stored(name))


def stored_names(model: "PreTrainedModel", weights: Weights) -> Callable[[str], str]:
    """What a tensor or layer of the model is called in the files.

    They may leave out the trunk's name, as GPT-2's do, or store a tied head in the place of the
    embedding, as auto-gptq's do.
    """
    prefix, embedding = f"{trunk(model)[0]}.", embedding_name(model)
    bare = not any(name.startswith(prefix) for name in weights.names)

    def stored(name: str) -> str:
        if name == embedding and name not in weights:
            name = next((other for other in tied(model) if other in weights), name)
        return name.removeprefix(prefix) if bare else name

    return stored


def embedding_name(model: "PreTrainedModel") -> str:
    """Name of the weight that turns tokens into states."""
    wanted = model.get_input_embeddings()
    return next(f"{name}.weight" for name, module in model.named_modules() if module is wanted)


def fill(
    module: "nn.Module", read: Read, dtype: str, device: str, without: set[str] = frozenset()
) -> None:
    """Give an empty module its parameters, one at a time, but those in `without`; what it computed
    itself moves to the device."""
    for name, parameter in list(module.named_parameters(remove_duplicate=False)):
        if name not in without:
            tensor = read(name, parameter.shape)
            if tensor.shape != parameter.shape:
                raise QlabError(
                    f"{name} is stored as {list(tensor.shape)}, but config.json asks for "
                    f"{list(parameter.shape)}; get the model again."
                )
            tensor = tensor.to(device, torch_dtype(dtype))
            module.load_state_dict({name: tensor}, strict=False, assign=True)
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(device)


def release(module: "nn.Module") -> None:
    """Give up the memory of a module's parameters; what it computed itself stays."""
    from torch import nn

    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(parameter.detach().to("meta"), False)


def torch_dtype(name: str) -> "torch.dtype":
    """torch.float32, torch.float16 or torch.bfloat16 by name."""
    import torch

    return getattr(torch, name)
