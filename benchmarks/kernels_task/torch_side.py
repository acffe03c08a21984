"""transformers' side: the float folder, bitsandbytes, torchao, a GPTQ folder."""

import os
import warnings

os.environ["USE_TF"] = "0"  # or transformers would import TensorFlow needlessly
warnings.simplefilter("ignore")  # those of torchao's import; errors still raise

import side  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModelForCausalLM, BitsAndBytesConfig  # noqa: E402


def torchao_config(name: str):
    """torchao's configuration with this name."""
    from torchao import quantization

    return {
        "int8_weight_only": quantization.Int8WeightOnlyConfig,
        "int8_dynamic": quantization.Int8DynamicActivationInt8WeightConfig,
    }[name]()


def is_quantized(module: torch.nn.Module, name: str) -> bool:
    """Whether torchao quantizes a module: the linear layers in decoder layers, as elsewhere."""
    return isinstance(module, torch.nn.Linear) and name != "lm_head"


class Engine:
    """A causal model of transformers that reads one passage."""

    def __init__(self, told: dict) -> None:
        torch.set_num_threads(told["threads"])
        how, more = told["how"], {}
        if "bitsandbytes" in how:
            kind, compute = how["bitsandbytes"], getattr(torch, told["dtype"])
            more["device_map"] = "cpu"
            more["quantization_config"] = (
                BitsAndBytesConfig(load_in_8bit=True)
                if kind == "int8"
                else BitsAndBytesConfig(
                    load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_compute_dtype=compute
                )
            )
        dtype = getattr(torch, told["dtype"])
        self.model = AutoModelForCausalLM.from_pretrained(told["source"], torch_dtype=dtype, **more)
        if "torchao" in how:
            from torchao.quantization import quantize_

            quantize_(self.model, torchao_config(how["torchao"]), filter_fn=is_quantized)
        self.model.eval()
        self.start()

    def start(self) -> None:
        """Forget what was read."""
        self.seen, self.cache = 0, None

    @torch.inference_mode()
    def feed(self, tokens: list[int]) -> int:
        """Read more tokens after those read so far; returns the most probable next one."""
        places = torch.arange(self.seen, self.seen + len(tokens))
        said = self.model(
            torch.tensor([tokens]),
            past_key_values=self.cache,
            use_cache=True,
            cache_position=places,
            logits_to_keep=1,
        )
        self.cache, self.seen = said.past_key_values, self.seen + len(tokens)
        return int(said.logits[0, -1].argmax())

    @torch.inference_mode()
    def logits(self, tokens: list[int]):
        """The logits of a passage, after each of its tokens."""
        return self.model(torch.tensor([tokens]), use_cache=False).logits[0].float().numpy()


if __name__ == "__main__":
    side.main(Engine)
