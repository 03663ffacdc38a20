"""pyedge/model/tflite.py on real models and on models made for one question."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tflite_maker import O, T, model

from pyedge.errors import ModelError, UnsupportedOpError
from pyedge.model.ops import graph_macs, infer_shapes
from pyedge.model.reference import run
from pyedge.model.tflite import load_tflite

SUPPORTED = [
    *(f"mlperf_{n}" for n in ("ic_resnet8_f32", "ic_resnet8_int8", "kws_dscnn_dynrange", "kws_dscnn_int8")),
    *(f"mlperf_{n}" for n in ("vww_mbv1_f32", "vww_mbv1_int8", "ad_fcae_f32", "ad_fcae_int8", "sww_int8")),
    *(f"tflm_hello_world_{n}" for n in ("f32", "int8")),
    *(f"tinymaix_{n}" for n in ("cifar10_q", "mnist_dw_q", "mnist_resnet_q", "mnist_valid_f", "mnist_valid_q")),
    "coral_mobilenet_v1_0p25_128_quant",
    *(f"mlonmcu_{n}" for n in ("cifar10", "magic_wand", "micro_kws_m_fp32", "micro_kws_m_quantized")),
]
KINDS = {"FULLY_CONNECTED": "linear", "AVERAGE_POOL_2D": "avg_pool2d", "MAX_POOL_2D": "max_pool2d"}


def manifest(data_dir: Path, name: str) -> dict:
    return json.loads((data_dir / "MANIFEST.json").read_text())["models"][f"{name}.tflite"]


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_real_model_has_the_ops_shapes_and_macs_of_the_manifest(name, data_dir):
    """Operator counts, MACs, and inputs' and outputs' shape, dtype and scale are those that LiteRT's tools report."""
    expected = manifest(data_dir, name)
    graph = load_tflite(data_dir / "models" / f"{name}.tflite")
    counts: dict[str, int] = {}
    for op in graph.ops:
        kind = re.sub("_(hybrid|zero_point|up)$", "", op.kind)
        if kind != "shift_codes":  # between a uint8 input or output and the graph
            counts[kind] = counts.get(kind, 0) + 1
    assert {KINDS.get(k, k.lower().replace("conv_2d", "conv2d")): n for k, n in expected["ops"].items()} == counts
    fixed = infer_shapes(graph, {t.name: [1 if d is None else d for d in t.shape] for t in graph.inputs})
    assert expected["macs"] == graph_macs(fixed)
    for tensors, facts in ((fixed.inputs, expected["inputs"]), (fixed.outputs, expected["outputs"])):
        assert [f["name"] for f in facts] == [t.name for t in tensors]
        assert [tuple(f["shape"]) for f in facts] == [t.shape for t in tensors]
        assert [f["dtype"].lower() for f in facts] == [t.dtype for t in tensors]
        assert [(f.get("scale"), f.get("zero_point")) for f in facts] == [(t.scale, t.zero_point) for t in tensors]
    assert expected["sha256"] == graph.meta["sha256"]


def test_dynamic_range_layers_become_hybrid_ops(data_dir):
    """Those whose weights are int8; the others stay float. The reference gives LiteRT's results, to 1e-6."""
    graph = load_tflite(data_dir / "models" / "mlperf_kws_dscnn_dynrange.tflite")
    kinds = [op.kind for op in graph.ops]
    assert (kinds.count("conv2d_hybrid"), kinds.count("depthwise_conv2d"), kinds.count("linear")) == (5, 4, 1)
    recorded = np.load(data_dir / "expected" / "mlperf_kws_dscnn_dynrange__kws_mfcc49x10.npz")
    for x, y in zip(recorded["in0"], recorded["ref0"], strict=True):
        np.testing.assert_allclose(run(graph, {graph.input_names[0]: x})[graph.output_names[0]], y, rtol=0, atol=1e-6)


# --- made models ------------------------------------------------------------------------------------------------------


def relu_model(**tensor) -> bytes:
    x = {"shape": [2, 3], **tensor}
    return model([T("x", **x), T("y", **x)], [O("RELU", [0], [1])], [0], [1])


def softmax_model(**tensor) -> bytes:
    x = {"shape": [2, 3], **tensor}
    return model([T("x", **x), T("y", **x)], [O("SOFTMAX", [0], [1], "SoftmaxOptions")], [0], [1])


def linear_model(weight: T, x: T | None = None, bias: T | None = None, y: T | None = None, **fields) -> bytes:
    tensors = [x or T("x", [1, 4]), weight, y or T("y", [1, 3])]
    inputs = [0, 1, -1] if bias is None else [0, 1, 3]
    op = O("FULLY_CONNECTED", inputs, [2], "FullyConnectedOptions", fields)
    return model(tensors + ([bias] if bias else []), [op], [0], [2])


def int8(name, shape, data=None, scale=0.1, zero_point=0, axis=0) -> T:
    return T(name, shape, "int8", data, scale, zero_point, axis)


def test_one_error_names_all_unsupported_operators():
    """Every operator that pyedge lacks, where it is, and the model; on one line."""
    ops = [O("BIDIRECTIONAL_SEQUENCE_LSTM", [0], [1]), O("RELU", [1], [2]), O("Nowhere", [2], [3])]
    with pytest.raises(UnsupportedOpError) as caught:
        load_tflite(model([T(n, [2, 3]) for n in "abcd"], ops, [0], [3]), "small")
    text = str(caught.value)
    assert text.startswith("small: ") and "\n" not in text
    assert "BIDIRECTIONAL_SEQUENCE_LSTM (operator 0, tensor 'b')" in text
    assert "custom operator 'Nowhere' (operator 2, tensor 'd')" in text


def test_open_sizes_are_none_and_follow_through_the_graph():
    """-1 in the shape signature becomes None, in results as well; fixed sizes stay."""
    x = T("x", [1, 8, 8, 3], signature=[-1, 8, 8, 3])
    w = T("w", [5, 3, 3, 3], data=np.zeros((5, 3, 3, 3), np.float32))
    y = T("y", [1, 4, 4, 5], signature=[-1, 4, 4, 5])
    fields = {"StrideH": 2, "StrideW": 2, "Padding": 0}
    graph = load_tflite(model([x, w, y], [O("CONV_2D", [0, 1], [2], "Conv2DOptions", fields)], [0], [2]))
    assert graph.inputs[0].shape == (None, 8, 8, 3)
    assert graph.outputs[0].shape == (None, 4, 4, 5)


def test_float16_weights_behind_dequantize_are_folded():
    """The DEQUANTIZE disappears and the weight is a float32 constant of the same values."""
    value = np.arange(12, dtype=np.float16).reshape(3, 4) / 8
    tensors = [T("x", [1, 4]), T("w16", [3, 4], "float16", value), T("w", [3, 4]), T("y", [1, 3])]
    ops = [O("DEQUANTIZE", [1], [2]), O("FULLY_CONNECTED", [0, 2, -1], [3], "FullyConnectedOptions", {})]
    graph = load_tflite(model(tensors, ops, [0], [3]))
    assert [op.kind for op in graph.ops] == ["linear"]
    assert graph.tensors["w"].data.dtype == np.float32
    assert np.array_equal(graph.tensors["w"].data, value.astype(np.float32))
    assert "w16" not in graph.tensors


def test_equal_names_are_made_unique():
    """Two tensors of one name keep their numbers and get different names."""
    graph = load_tflite(
        model([T("t", [2]), T("t", [2]), T("", [2])], [O("RELU", [0], [1]), O("RELU", [1], [2])], [0], [2])
    )
    assert [(t.name, t.index) for t in graph.tensors.values()] == [("t", 0), ("t:1", 1), ("t2", 2)]


def test_one_weight_used_by_two_kinds_of_operators_has_both_layouts():
    """[1, h, w, c] is a depthwise weight [h, w, c] here and a convolution's [1, h, w, c] there."""
    w = np.arange(9 * 2, dtype=np.float32).reshape(1, 3, 3, 2)
    tensors = [T("x", [1, 4, 4, 2]), T("w", [1, 3, 3, 2], data=w), T("d", [1, 4, 4, 2]), T("c", [1, 4, 4, 1])]
    steps = {"StrideH": 1, "StrideW": 1, "Padding": 0}
    ops = [
        O("DEPTHWISE_CONV_2D", [0, 1], [2], "DepthwiseConv2DOptions", {**steps, "DepthMultiplier": 1}),
        O("CONV_2D", [0, 1], [3], "Conv2DOptions", steps),
    ]
    graph = load_tflite(model(tensors, ops, [0], [2, 3]))
    assert [graph.tensors[op.inputs[1]].shape for op in graph.ops] == [(3, 3, 2), (1, 3, 3, 2)]


def test_the_same_file_from_path_and_bytes_gives_the_same_graph(tmp_path):
    """A path and its bytes are read alike; the path's last part is the source."""
    data = relu_model()
    (tmp_path / "m.tflite").write_bytes(data)
    from_path, from_bytes = load_tflite(tmp_path / "m.tflite"), load_tflite(data)
    assert from_path.tensors.keys() == from_bytes.tensors.keys()
    assert (from_path.name, from_path.meta["source"], from_path.meta["description"]) == (
        "m",
        "m.tflite",
        "made by a test",
    )


@pytest.mark.parametrize(
    "data, message",
    [
        (softmax_model(dtype="int32"), "'x' is int32"),
        (relu_model(dtype="int32", scale=0.1), "'x' is quantized int32"),
        (
            linear_model(
                int8("w", [3, 4]), int8("x", [1, 4]), T("b", [3], "int32", np.ones(3, np.int32)), int8("y", [1, 3])
            ),
            "'w' of int8 that are computed",
        ),
        (linear_model(T("w", [3, 4], data=np.ones((3, 4), np.float32)), FusedActivationFunction=4), "activation 4"),
        (linear_model(T("w", [3, 4], data=np.ones((3, 4), np.float32)), WeightsFormat=1), "shuffled weights"),
        (
            linear_model(
                int8("w", [3, 4], np.ones((3, 4), np.int8), zero_point=3), int8("x", [1, 4]), y=int8("y", [1, 3])
            ),
            "'w' has a zero point",
        ),
    ],
)
def test_an_unsupported_variant_is_named(data, message):
    """The operator is supported, this use of it isn't: the error says which tensor and why."""
    with pytest.raises(UnsupportedOpError, match=message):
        load_tflite(data)


W8 = np.ones((3, 4), np.int8)
X8, Y8 = int8("x", [1, 4]), int8("y", [1, 3])


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "not a TFLite model"),
        (b"PEDG" * 8, "not a TFLite model"),
        (linear_model(T("w", [3, 4], data=np.ones(11, np.float32))), "44 bytes of data, float32\\[3, 4\\] has 48"),
        (linear_model(T("w", [3, 5], data=np.ones((3, 5), np.float32))), "does not fit weight 'w' \\[3, 5\\]"),
        (linear_model(T("w", [3, 4], data=np.ones((3, 4), np.float32)), y=T("y", [1, 7])), "'y' has shape \\[1, 7\\]"),
        (linear_model(int8("w", [3, 4], W8, [0.1, 0.2]), X8, y=Y8), "one scale, or one for each of 3"),
        (linear_model(int8("w", [3, 4], W8, [0.1, 0.2, 0.3], axis=1), X8, y=Y8), "one scale, or one for each of 3"),
        (linear_model(int8("w", [3, 4], W8, np.nan), X8, y=Y8), "scale or zero point is out of range"),
        (linear_model(int8("w", [3, 4], W8), int8("x", [1, 4], scale=0.0), y=Y8), "'x' needs one scale above 0"),
        (linear_model(int8("w", [3, 4], W8), int8("x", [1, 4], zero_point=200), y=Y8), "zero point is outside int8"),
        (linear_model(int8("w", [3, 4], W8), T("x", [1, 4], "int8"), y=Y8), "'x' needs one scale above 0"),
        (
            linear_model(int8("w", [3, 4], W8), X8, T("b", [3], "int32", np.zeros(3, np.int32), 0.5), Y8),
            "scale of bias 'b'",
        ),
        (
            linear_model(T("w", [3, 4], data=np.ones((3, 4), np.float32)), T("x", [2**20, 2**20])),
            "outside what a tensor",
        ),
        (
            model([T("x", [2]), T("y", [2])], [O("RELU", [1], [1])], [0], [1]),
            "reads tensor 'y', which nothing before it",
        ),
        (model([T("x", [2]), T("y", [2])], [O("RELU", [0], [0])], [0], [0]), "its result 'x' is given twice"),
        (model([T("x", [2]), T("y", [2])], [O("RELU", [0], [1])], [0], [7]), "outputs name tensors \\[7\\]"),
        (model([T("x", [2]), T("y", [2])], [O("SOFTMAX", [0], [1])], [0], [1]), "has options NONE"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(data, message):
    """One line that names what is wrong and where."""
    with pytest.raises(ModelError, match=message) as caught:
        load_tflite(data, "broken.tflite")
    assert type(caught.value) is ModelError
    assert str(caught.value).startswith("broken.tflite: ") and "\n" not in str(caught.value)


def test_operators_out_of_order_are_refused():
    """A cycle, or an operator before the one it reads from, is no order in which they can run."""
    tensors = [T("x", [2]), T("a", [2]), T("b", [2])]
    with pytest.raises(ModelError, match="reads tensor 'a', which nothing before it gives"):
        load_tflite(model(tensors, [O("RELU", [1], [2]), O("RELU", [0], [1])], [0], [2]))


def test_a_missing_file_is_a_model_error(tmp_path):
    """No traceback of the operating system's."""
    with pytest.raises(ModelError, match="No such file"):
        load_tflite(tmp_path / "nothing.tflite")
