"""The noise that quantization adds, in decibels: signal over noise power, more is better."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from qlab.core.cache import artefact, code_sha256, file_sha256, versions
from qlab.detector import biases
from qlab.tflite import graph as tflite_graph
from qlab.tflite.litert import quantized, values

Samples = Sequence[Mapping[str, np.ndarray]]  # inputs of the serving signature


def decibels(signal: Sequence[np.ndarray], noisy: Sequence[np.ndarray]) -> float:
    """Signal over noise of a tensor, powers summed over samples: -90 to 90; NaN if both are 0."""
    power = sum(np.square(a, dtype=float).sum() for a in signal)
    noise = sum(np.square(a - b, dtype=float).sum() for a, b in zip(signal, noisy, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.clip(10 * np.log10(np.divide(power, noise)), -90, 90))


def _operators(float_file: Path) -> pd.DataFrame:
    """A table with a row per operator, in order of execution."""
    kinds = {o.outputs[0]: o.kind for o in tflite_graph.operators(float_file)}
    table = pd.DataFrame(kinds.items(), columns=["operator", "kind"])
    decoding = table["operator"].isin(tflite_graph.decoding(float_file))
    return table.assign(where=np.where(decoding, "decoding", "network"), depth=table.index)


def arriving(float_file: Path, file: Path, samples: Samples, threads: int) -> pd.DataFrame:
    """How well each operator's output survives in a quantized file, after all before it. Columns:
    `operator` (its output tensor), `kind`, `where` (network or decoding), `depth` (from 0, in order
    of execution), `db`, `n` (samples). Outputs that are not float in `float_file` are left out."""
    contents = float_file.read_bytes(), file.read_bytes()
    floats, there = (tflite_graph.tensor_types(content) for content in contents)
    table = _operators(float_file)
    table = table[[floats[o] == "FLOAT32" and o in there for o in table["operator"]]]
    signal, noisy = (values(content, table["operator"], samples, threads) for content in contents)
    decibel = [decibels(signal[name], noisy[name]) for name in table["operator"]]
    return table.assign(db=decibel, n=len(samples))


def alone(
    float_file: Path, rules: list[dict], ranges: Mapping, samples: Samples, threads=2, progress=iter
) -> pd.DataFrame:
    """Quantize each operator of the network alone, by ai-edge-quantizer's `rules` and `ranges`.
    Columns as in `arriving`; for `db`: `own_db` at its output, `end_db`, the worst at the network's
    ends, and `mended_db`, the same with biases that fit. What the rules do not know is left out."""
    recipe = {"float_file": file_sha256(float_file), "code": code_sha256(__name__)}
    recipe["asked"] = joblib.hash((rules, ranges, list(samples)))
    recipe["versions"] = versions("ai-edge-quantizer", "ai-edge-litert", "joblib")

    def make(folder: Path) -> None:
        network = _operators(float_file).query("where == 'network'").to_dict("records")
        ends, content = tflite_graph.ends(float_file), float_file.read_bytes()
        plain, rows = tflite_graph.tensor_types(content), []
        pattern = {o.outputs[0]: o.rule for o in tflite_graph.operators(float_file)}
        signal = values(content, {row["operator"] for row in network}, samples, threads)
        for row in progress(network):
            made = quantized(float_file, rules, ranges, pattern[name := row["operator"]])
            if tflite_graph.tensor_types(made) == plain:
                continue  # the rules do not know this kind of operator
            whole = biases.mended(made, float_file)
            noisy = values(made, {name, *ends}, samples, threads)
            mended = noisy if whole is made else values(whole, ends, samples, threads)
            row["own_db"] = decibels(signal[name], noisy[name])
            for column, held in {"end_db": noisy, "mended_db": mended}.items():
                row[column] = np.nanmin([decibels(signal[end], held[end]) for end in ends])
            rows.append(row | {"n": len(samples)})
        pd.DataFrame(rows).to_json(folder / "alone.json", orient="records", indent=1)

    kept = artefact("noise_alone", recipe, make) / "alone.json"
    return pd.read_json(kept, dtype={"operator": str})
