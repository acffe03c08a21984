"""Variants of a small graph: what is int8 and what stays float, read back from the files."""

import re
from functools import partial

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import TensorType

from qlab.core import tflite_graph
from qlab.core.errors import QlabError
from qlab.core.litert import interpreter
from qlab.detector import centernet, measure, quantize, speed
from qlab.detector.detect import Detector

A = centernet.Architecture(64, 3, 8, (1, 1), (8, 16), False, (16,), 8)
THREADS = 1


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny CenterNet with lively weights, as SavedModel folders, in a home of its own."""
    folder = tmp_path_factory.mktemp("tflite")
    patch = pytest.MonkeyPatch()
    patch.setenv("QLAB_HOME", str(folder))
    centernet.keras.utils.set_random_seed(0)
    model = centernet.build(A)
    rng = np.random.default_rng(0)
    for layer in model.layers:  # fresh batch normalization is the identity, which no network has
        if layer.name.endswith("_bn"):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    centernet.export(model, folder / "model")
    centernet.export(centernet.to_subpixel(model, A), folder / "subpixel")
    images = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(12)]
    samples = quantize.calibration_samples(images)
    yield (
        folder,
        samples,
        partial(
            quantize.build_variant,
            folder / "model",
            size=(64, 64),
            samples=samples,
            threads=THREADS,
        ),
    )
    patch.undo()


def test_weights_have_the_type_the_name_says(world):
    build = world[2]
    main = {v: tflite_graph.weight_bytes(build(v)) for v in quantize.VARIANTS}
    total = main["fp32"]["FLOAT32"]
    assert main["fp16"]["FLOAT16"] == pytest.approx(total / 2, rel=0.02)
    for variant in ("int8_dynamic", "int8_static", "int8_selective", "int16x8"):
        assert main[variant]["INT8"] > 0.85 * total / 4, variant
    assert main["int8_static"].get("FLOAT32", 0) < 0.02 * total


def test_static_is_int8_throughout_and_selective_only_up_to_decoding(world):
    def types(variant: str) -> dict[str, set]:
        """Data types of the operators' outputs, by operator kind, read from the file."""
        model = tflite_graph.read(world[2](variant))
        main, found = model.subgraphs[0], {}
        for o in main.operators:
            kind = main.tensors[o.outputs[0]].type
            found.setdefault(tflite_graph.kind(model, o), set()).add(kind)
        return found

    static, selective = types("int8_static"), types("int8_selective")
    for kind in ("CONV_2D", "TRANSPOSE_CONV"):
        assert static[kind] == selective[kind] == {TensorType.INT8}
    for kind in ("LOGISTIC", "CONCATENATION", "SELECT_V2"):
        assert static[kind] == {TensorType.INT8} and selective[kind] == {TensorType.FLOAT32}
    assert types("int16x8")["CONV_2D"] == {TensorType.INT16}


def test_deconv_fp32_leaves_only_the_transposed_convolutions_float(world):
    main = tflite_graph.read(world[2]("int8_dynamic_deconv_fp32"))
    types = {}
    for o in main.subgraphs[0].operators:
        weights = main.subgraphs[0].tensors[o.inputs[1]] if len(o.inputs) > 1 else None
        if tflite_graph.kind(main, o) in tflite_graph.WEIGHTED:
            types.setdefault(tflite_graph.kind(main, o), set()).add(weights.type)
    float32, int8 = 0, 9  # schema.TensorType
    assert types["TRANSPOSE_CONV"] == {float32}
    assert int8 in types["CONV_2D"]


def test_the_interface_stays_what_it_was(world):
    for variant in quantize.VARIANTS[:-1]:  # the int16 kernels refuse this network's scales
        details = interpreter(world[2](variant).read_bytes(), THREADS).get_signature_runner()
        assert details.get_input_details()["input_tensor"]["dtype"] == np.uint8
        kinds = {k: d["dtype"] for k, d in details.get_output_details().items()}
        assert set(kinds) == set(quantize.OUTPUTS), variant
        assert set(kinds.values()) == {np.float32}, variant


def test_subpixel_twin_has_no_transposed_convolution_and_answers_the_same(world):
    folder, samples, build = world
    twin = quantize.convert(folder / "subpixel", "fp32", (64, 64))
    assert "TRANSPOSE_CONV" not in {o.kind for o in tflite_graph.operators(twin)}
    image = samples[0]["input_tensor"][0]
    for mine, theirs in zip(
        Detector(twin, 1)(image), Detector(build("fp32"), 1)(image), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_decoding_starts_after_the_last_weights(world):
    file = world[2]("fp32")
    after = set(tflite_graph.decoding(file))
    for o in tflite_graph.operators(file):
        if o.kind in tflite_graph.WEIGHTED:
            assert not after & set(o.outputs)
        if o.kind in {"LOGISTIC", "TOPK_V2", "GATHER", "PACK"}:
            assert after >= set(o.outputs)


def test_operators_left_float_are_named_to_the_letter(world):
    """The converter ends some names with a semicolon; any other letter is another operator."""
    made = quantize._quantizer(world[2]("fp32"), "int8_selective", ["map/a.b(c)+d"])
    rules = made.get_quantization_recipe()
    floats = [r["regex"] for r in rules if r["algorithm_key"] == "no_quantize"]

    def left_float(name: str) -> bool:
        return any(re.search(regex, name) for regex in floats if regex != ".*")

    assert left_float("map/a.b(c)+d") and left_float("map/a.b(c)+d;")
    assert not any(
        map(left_float, ("map/a.b(c)+d1", "x/map/a.b(c)+d", "map/a_b(c)+d", "map/a.bc+d"))
    )


def test_noise_is_in_decibels_of_power(world):
    _, samples, build = world
    files = build("fp32"), build("int8_static")
    runs = [Detector(file, THREADS) for file in files]
    signal, noisy = (run(samples[0]["input_tensor"][0])[0] for run in runs)
    place = runs[0].order[0]
    details = runs[0].interpreter.get_output_details()
    name = next(d["name"] for d in details if d["index"] == place)
    expected = 10 * np.log10((signal**2).sum() / ((signal - noisy) ** 2).sum())
    found = quantize.tensor_snr(*files, samples[:1], THREADS)[name]
    assert found == pytest.approx(expected, abs=0.1)


def test_every_operator_runs_alone_and_computes_the_same(world):
    file = world[2]("int8_static")
    model = tflite_graph.read(file)
    spent = speed.time_operators(file, THREADS, repeats=2)
    kinds = [o.kind for o in tflite_graph.operators(file)]
    assert set(spent["kind"]) == set(kinds) and (spent["ms"] > 0).all()
    whole = Detector(file, THREADS)
    kept = Interpreter(model_content=file.read_bytes(), experimental_preserve_all_tensors=True)
    kept.allocate_tensors()
    kept.set_tensor(whole.input["index"], world[1][0]["input_tensor"])
    kept.invoke()
    place = {t["name"]: t["index"] for t in kept.get_tensor_details()}
    index = kinds.index("TRANSPOSE_CONV")
    operator = tflite_graph.operators(file)[index]
    alone = interpreter(tflite_graph.single_operator(model, index), THREADS)
    entry = alone.get_input_details()[0]
    alone.set_tensor(entry["index"], kept.get_tensor(place[entry["name"]]))
    alone.invoke()
    got = alone.get_tensor(alone.get_output_details()[0]["index"])
    np.testing.assert_array_equal(got, kept.get_tensor(place[operator.outputs[0]]))


def test_a_variant_that_litert_refuses_is_left_out_and_said(world, caplog):
    refused = world[2]("int16x8")
    assert not measure._runs("int16x8", refused, THREADS)
    assert "int16x8 is left out: LiteRT does not run it" in caplog.text
    assert measure._runs("fp32", world[2]("fp32"), THREADS)


def test_operators_below_the_floor_and_those_that_decode_stay_float(world, monkeypatch):
    _, samples, build = world
    file = build("fp32")
    first, second = (o.outputs[0] for o in tflite_graph.operators(file)[3:5])
    snr = {first: quantize.SNR_FLOOR_DB - 1, second: quantize.SNR_FLOOR_DB + 1}
    monkeypatch.setattr(quantize, "tensor_snr", lambda *_: snr)
    floats = quantize.float_operators(file, "int8_selective", samples, THREADS)
    assert floats == [*tflite_graph.decoding(file), first]


def saved(folder, entry: str, kind: str):
    """A SavedModel with one input of shape [1, 4, 4, 3] and the output num_detections."""
    tf = centernet.tf

    @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 3), kind, entry)])
    def serve(image):
        return {"num_detections": tf.cast(tf.size(image), tf.float32)}

    holder = tf.Module()
    holder.serve = serve
    tf.saved_model.save(holder, str(folder), signatures={"serving_default": serve})
    return folder


def test_bad_models_and_files_are_sentences(world, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "saved_model.pb").write_bytes(b"\x08\x01garbage")
    (tmp_path / "bad.tflite").write_bytes(b"not a flatbuffer at all")
    other, floats = (saved(tmp_path / n, n, "float32") for n in ("features", "input_tensor"))
    lacking = saved(tmp_path / "lacking", "input_tensor", "uint8")
    for call, sentence in (
        (lambda: quantize.load(tmp_path / "none"), "There is no SavedModel at"),
        (lambda: quantize.load(tmp_path / "bad"), "TensorFlow cannot load the SavedModel"),
        (lambda: quantize.load(other), "expected one input 'input_tensor', uint8 .* 'features'"),
        (lambda: quantize.load(floats), "found inputs 'input_tensor' float32"),
        (lambda: quantize.load(lacking), "found inputs .* and outputs num_detections"),
        (lambda: world[2]("int4"), "There is no variant 'int4'; there are fp32"),
        (lambda: quantize.calibration_samples([]), "The calibration set is empty"),
        (lambda: Detector(tmp_path / "none.tflite", 1), r"There is no \.tflite file at"),
        (lambda: Detector(tmp_path / "bad.tflite", 1), "cannot be run by LiteRT"),
    ):
        with pytest.raises(QlabError, match=sentence):
            call()
