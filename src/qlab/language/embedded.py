"""The small Llama and the passages that come with the project, ready to use."""

import json
from pathlib import Path

from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.core.embedded import CARD, model_folder
from qlab.language import configuration, mini_lambada


def llama_folder() -> Path:
    """The embedded Llama, a Hugging Face folder."""
    return model_folder("llama_mini")


def mini_lambada_file(split: str, count: int) -> Path:
    """The first `count` passages of a mini_lambada split as a jsonl file."""
    recipe = {"split": split, "count": count, "code": code_sha256(__name__)}
    recipe["words"] = file_sha256(mini_lambada.words_file())

    def make(folder: Path) -> None:
        lines = (json.dumps({"text": text}) + "\n" for text in mini_lambada.texts(split, count))
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")

    return artefact("mini_lambada", recipe, make) / f"{split}.jsonl"


def llama_spread_folder(strength: float) -> Path:
    """The embedded Llama with outlier channels of another strength: the same function in float.

    0 is without any, the even twin; `outliers.STRENGTH` is the embedded one's own.
    """
    folder = llama_folder()
    recipe = {"model": file_sha256(folder), "strength": strength, "code": code_sha256(__name__)}
    recipe["versions"] = versions("torch", "transformers")

    def make(target: Path) -> None:
        from qlab.language import decoder, outliers

        facts = json.loads((folder / CARD).read_text())["outliers"]
        model = decoder.load(folder)
        outliers.spread(model, facts["seed"], strength - facts["strength"])
        model.save_pretrained(target / "model")
        configuration.load_tokenizer(folder).save_pretrained(target / "model")

    return artefact("llama_spread", recipe, make) / "model"
