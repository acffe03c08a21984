"""The environment: one set of versions everywhere, and every named package does its work."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import side_packages
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
NAMED = [
    "auto-gptq",
    "bitsandbytes",
    "jupyterlab",
    "matplotlib",
    "nbval",
    "papermill",
    "pycocotools",
    "seaborn",
    "tensorflow",
    "tensorflow-model-optimization",
    "transformers",
]


def locked() -> dict[str, str]:
    """Versions by canonical name, as requirements.lock has them."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): exact for name, exact in pairs}


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, extras included, less its references to itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    return [r for r in map(Requirement, texts) if r.name != project["name"]]


def python(*arguments: str | Path, **options) -> str:
    """stdout of this environment's Python; its stderr is shown where it fails."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_lock_is_exact():
    for name, exact in locked().items():
        assert str(Version(exact)) and "+" not in exact, f"{name}=={exact}"


def test_the_lock_is_what_is_installed():
    installed = {name: Version(version(name)).public for name in locked()}
    assert installed == {name: Version(exact).public for name, exact in locked().items()}


def test_pyproject_admits_the_lock():
    for requirement in wanted():
        exact = locked()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(exact), f"{requirement} but {exact} is locked"


def test_environment_yml_is_the_lock():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert "python=3.11" in conda
    assert "--requirement requirements.lock" in pip["pip"]
    exact = dict(line.split("==") for line in pip["pip"] if not line.startswith("--"))
    assert exact == {name: locked()[name] for name in NAMED}


def test_installed_packages_agree_with_each_other():
    assert "No broken requirements found" in python("-m", "pip", "check")


def test_qlab_itself_pulls_in_no_framework():
    frameworks = {"tensorflow", "tf_keras", "torch", "transformers", "auto_gptq"}
    code = "import sys, qlab, qlab.core.records, qlab.core.closure; print(*sys.modules)"
    assert not frameworks & set(python("-c", code).split())


def test_jupyterlab_starts():
    assert python("-m", "jupyterlab", "--version").strip() == locked()["jupyterlab"]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory) -> Path:
    """A notebook of two cells, executed by papermill with one parameter changed."""
    import papermill
    from nbformat import v4, write

    source = tmp_path_factory.mktemp("notebooks") / "source.ipynb"
    cells = [
        v4.new_code_cell("bits = 8", metadata={"tags": ["parameters"]}),
        v4.new_code_cell("print(2**bits)"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), source)
    executed = source.with_name("executed.ipynb")
    waits = {"start_timeout": 120, "iopub_timeout": 60}
    papermill.execute_notebook(source, executed, {"bits": 4}, progress_bar=False, **waits)
    return executed


def test_papermill_passes_a_parameter(notebook):
    import nbformat

    assert nbformat.read(notebook, 4).cells[-1].outputs[0].text == "16\n"


def test_nbval_sees_a_changed_output(notebook):
    changed = notebook.with_name("changed.ipynb")
    changed.write_text(re.sub(r"\b16\b", "17", notebook.read_text()))
    shutil.copy(ROOT / "notebooks" / "conftest.py", notebook.parent)
    nbval = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*nbval, notebook, changed], capture_output=True, text=True)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1 and "changed.ipynb" in failed[0], done.stdout


def test_tensorflow_model_converts_to_tflite_and_runs():
    code = """
import numpy as np, tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

class Double(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, 4])])
    def __call__(self, x):
        return 2 * x

model = Double()
function = model.__call__.get_concrete_function()
converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
runner = Interpreter(model_content=converter.convert())
runner.allocate_tensors()
runner.set_tensor(runner.get_input_details()[0]["index"], np.ones([1, 4], np.float32))
runner.invoke()
print(runner.get_tensor(runner.get_output_details()[0]["index"]).tolist())
"""
    assert python("-c", code).splitlines()[-1] == "[[2.0, 2.0, 2.0, 2.0]]"


def test_tfmot_quantizes_the_annotated_layer_and_trains_it(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    code = """
import numpy as np, tf_keras as keras
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.quantization.keras import quantize_annotate_layer

first = keras.layers.Dense(4, input_shape=(8,), name="first")
last = quantize_annotate_layer(keras.layers.Dense(2, name="last"))
model = tfmot.quantization.keras.quantize_apply(keras.Sequential([first, last]))
before = model.get_weights()
model.compile("sgd", "mse")
model.fit(np.ones([4, 8]), np.ones([4, 2]), verbose=0)
moved = any((a != b).any() for a, b in zip(before, model.get_weights()))
print(*(layer.name for layer in model.layers if layer.name.startswith("quant_")), moved)
"""
    assert python("-c", code).splitlines()[-1] == "quant_first quant_last True"


def test_auto_gptq_packs_four_bit_weights():
    import torch
    from auto_gptq import BaseQuantizeConfig
    from auto_gptq.nn_modules.qlinear.qlinear_cuda_old import QuantLinear

    recipe = BaseQuantizeConfig(bits=4, group_size=32)
    linear = torch.nn.Linear(64, 32, bias=False)
    groups = linear.weight.detach().reshape(32, 2, 32)
    scales = groups.abs().amax(2) / 7
    linear.weight.data = ((groups / scales[..., None]).round() * scales[..., None]).reshape(32, 64)
    packed = QuantLinear(recipe.bits, recipe.group_size, 64, 32, False, weight_dtype=torch.float32)
    packed.pack(linear, scales, torch.full_like(scales, 8), None)
    assert packed.qweight.nbytes == linear.weight.numel() // 2
    x = torch.randn(3, 64)
    torch.testing.assert_close(packed(x), linear(x), atol=1e-5, rtol=0)


def test_bitsandbytes_nf4_round_trip():
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weights = torch.randn(64, 64)
    packed, state = quantize_4bit(weights, blocksize=64, quant_type="nf4")
    assert packed.numel() == weights.numel() // 2
    error = (dequantize_4bit(packed, state) - weights).abs()
    # The widest gap between two nf4 levels is 0.304 of a block's largest value.
    assert (error <= 0.153 * weights.abs().amax(1, keepdim=True)).all()


def test_transformers_llama_predicts():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = dict(hidden_size=32, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, **sizes))
    with torch.no_grad():
        assert model(torch.arange(7)[None]).logits.shape == (1, 7, 50)


def test_pycocotools_mask_round_trip():
    import numpy as np
    from pycocotools import mask

    shape = np.asfortranarray(np.tri(6, dtype=np.uint8))
    encoded = mask.encode(shape)
    assert (mask.decode(encoded) == shape).all()
    assert mask.area(encoded) == shape.sum()


def test_seaborn_draws_on_matplotlib(tmp_path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    import seaborn

    axes = seaborn.barplot(x=["fp32", "int8"], y=[4, 1], ax=plt.figure().subplots())
    assert [bar.get_height() for bar in axes.patches] == [4, 1]
    axes.figure.savefig(tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    plt.close(axes.figure)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names, lives",
    [
        ("qlab, tensorflow, triton", True),
        ("tensorflow, qlab", True),  # too late for Triton, which nothing here needs
        ("tensorflow, triton", False),
    ],
)
def test_triton_lives_beside_tensorflow_as_long_as_qlab_came_first(names, lives):
    """PyTorch for CUDA brings Triton; where it lives without qlab's help, that may go."""
    if sys.platform != "linux":
        pytest.skip("Triton is for Linux alone")
    folder = side_packages.installed("triton==3.7.1")
    done = side_packages.run_with(folder, f"import {names}")
    assert done.returncode == 0 if lives else done.returncode < 0, done.stderr
