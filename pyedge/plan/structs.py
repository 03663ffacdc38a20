"""The structs and constants of csrc/include/plan_structs.h, as Python sees them: the header is the schema."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyedge._plan_structs import ffi

MAGIC: int = ffi.integer_const("PE_PLAN_MAGIC")
MAJOR: int = ffi.integer_const("PE_PLAN_MAJOR")
MINOR: int = ffi.integer_const("PE_PLAN_MINOR")
MINOR_STATE: int = ffi.integer_const("PE_PLAN_MINOR_STATE")
MAX_RANK: int = ffi.integer_const("PE_MAX_RANK")
MAX_EXTENT: int = ffi.integer_const("PE_MAX_EXTENT")
PLAN_ALIGN: int = ffi.integer_const("PE_PLAN_ALIGN")
ARENA_ALIGN: int = ffi.integer_const("PE_ARENA_ALIGN")
CONTRACT_LOOPS: int = ffi.integer_const("PE_CONTRACT_LOOPS")
CONTRACT_OPERANDS: int = ffi.integer_const("PE_CONTRACT_OPERANDS")
NONE: int = ffi.integer_const("PE_NONE")
TENSOR_ARENA: int = ffi.integer_const("PE_TENSOR_ARENA")
TENSOR_CONST: int = ffi.integer_const("PE_TENSOR_CONST")
TENSOR_STATE: int = ffi.integer_const("PE_TENSOR_STATE")
LAYOUT_CANONICAL: int = ffi.integer_const("PE_LAYOUT_CANONICAL")
# Number of each layout of constants, by its name in board profiles: "mixed-rows", "interleaved-rows".
LAYOUTS: dict[str, int] = {
    name.removeprefix("PE_LAYOUT_").lower().replace("_", "-"): value
    for value, name in ffi.typeof("enum pe_layout").elements.items()
}
ROUNDING: dict[str, int] = {
    "tflite": ffi.integer_const("PE_ROUND_TFLITE"),
    "litert-ref": ffi.integer_const("PE_ROUND_LITERT_REF"),
    "fp32": ffi.integer_const("PE_ROUND_FP32"),
}
# How the sums of layers with float16 weights are rounded.
MODES: dict[str, int] = {
    "exact": ffi.integer_const("PE_ROUND_EXACT"),
    "fast16": ffi.integer_const("PE_ROUND_FAST16"),
}

# Name, as in "conv2d_s8", of each op kind, and the reverse.
KIND_NAMES: dict[int, str] = {
    value: name.removeprefix("PE_OP_").lower() for value, name in ffi.typeof("enum pe_op_kind").elements.items()
}
KINDS: dict[str, int] = {name: value for value, name in KIND_NAMES.items()}

# Number of each function of elementwise ops, by name: "leaky_relu".
FUNCTIONS: dict[str, int] = {
    name.removeprefix("PE_FN_").lower(): value for value, name in ffi.typeof("enum pe_function").elements.items()
}

# How the sum of an int16 layer with 64-bit biases becomes an int16; lowering chooses it.
ROUND_S64: int = ffi.integer_const("PE_ROUND_S64")

# dtype code of the file and NumPy's name for it.
DTYPES: dict[int, str] = {
    ffi.integer_const("PE_F32"): "float32",
    ffi.integer_const("PE_S8"): "int8",
    ffi.integer_const("PE_S32"): "int32",
    ffi.integer_const("PE_BOOL"): "bool",
    ffi.integer_const("PE_U8"): "uint8",
    ffi.integer_const("PE_S16"): "int16",
    ffi.integer_const("PE_U16"): "uint16",
    ffi.integer_const("PE_U32"): "uint32",
    ffi.integer_const("PE_S64"): "int64",
    ffi.integer_const("PE_U64"): "uint64",
    ffi.integer_const("PE_F16"): "float16",
    ffi.integer_const("PE_F64"): "float64",
    ffi.integer_const("PE_BF16"): "bfloat16",
}
DTYPE_CODES: dict[str, int] = {name: code for code, name in DTYPES.items()}

_FAMILIES: dict[str, str | None] = {
    "branch": "pe_branch_params",
    "conv2d": "pe_conv2d_params",
    "depthwise": "pe_conv2d_params",
    "linear": "pe_linear_params",
    "add": "pe_add_params",
    "avg_pool2d": "pe_pool2d_params",
    "max_pool2d": "pe_pool2d_params",
    "mean": "pe_mean_params",
    "softmax": "pe_softmax_params",
    "quantize": "pe_quantize_params",
    "dequantize": "pe_quantize_params",
    "requantize": "pe_quantize_params",
    "clip": "pe_clip_params",
    "any_ge": "pe_any_ge_params",
    "unary": "pe_function_params",
    "exponential": "pe_function_params",
    "trigonometric": "pe_function_params",
    "binary": "pe_function_params",
    "power": "pe_function_params",
    "binary_s8": "pe_binary_s8_params",
    "cast": "pe_cast_params",
    "quantize_any": "pe_scales_params",
    "dequantize_any": "pe_scales_params",
    "strided_copy": "pe_strided_copy_params",
    "gather": "pe_index_params",
    "scatter": "pe_index_params",
    "resample": "pe_resample_params",
    "reduce": "pe_reduce_params",
    "arg": "pe_order_params",
    "topk": "pe_order_params",
    "cumsum": "pe_cumsum_params",
    "cumsum_s8": "pe_sums_s8_params",
    "add_n_s8": "pe_sums_s8_params",
    "l2_norm": "pe_l2_norm_params",
    "multiclass_nms": "pe_multiclass_nms_params",
    "log_softmax_s8": "pe_log_softmax_params",
    "trilu": "pe_trilu_params",
    "reverse_sequence": "pe_reverse_sequence_params",
    "matmul": "pe_matmul_params",
    "matmul_s8": "pe_matmul_s8_params",
    "contract_any": "pe_contract_params",
    "matmul_integer": None,
    "conv_nd": "pe_conv_nd_params",
    "deform_conv": "pe_deform_conv_params",
    "conv_integer": "pe_conv_nd_params",
    "qlinear_conv": "pe_conv_nd_params",
    "conv_transpose": "pe_conv_nd_params",
    "avg_pool_nd": "pe_pool_nd_params",
    "lp_pool_nd": "pe_pool_nd_params",
    "max_pool_nd": "pe_pool_nd_params",
    "max_pool_indices_nd": "pe_pool_nd_params",
    "softmax_axis": "pe_axis_params",
    "log_softmax_axis": "pe_axis_params",
    "hardmax_axis": "pe_axis_params",
    "rnn": "pe_rnn_params",
    "gru": "pe_rnn_params",
    "lstm": "pe_rnn_params",
    "conv2d_hybrid": "pe_hybrid_params",
    "depthwise_hybrid": "pe_hybrid_params",
    "linear_hybrid": "pe_hybrid_params",
    "conv2d_s8_zero_point": "pe_zero_point_params",
    "depthwise_s8_zero_point": "pe_zero_point_params",
    "linear_s8_zero_point": "pe_zero_point_params",
    "avg_up_pool2d": "pe_pool2d_params",
    "lstm_sequence": "pe_lstm_sequence_params",
    "svdf": "pe_svdf_params",
    "signal_window": "pe_signal_shift_params",
    "signal_energy": "pe_signal_energy_params",
    "signal_spectral_subtraction": "pe_signal_subtraction_params",
    "signal_pcan": "pe_signal_shift_params",
    "signal_log": "pe_signal_log_params",
    "signal_codes": "pe_signal_codes_params",
    "max_pool_grad": "pe_pool_nd_params",
    "avg_pool_grad": "pe_pool_nd_params",
    "sgd_update": "pe_update_params",
    "momentum_update": "pe_update_params",
    "adam_update": "pe_update_params",
    "gradient_noise": "pe_noise_params",
    "custom": "pe_custom_params",
    "matmul_s16": "pe_matmul_s8_params",
    "binary_s16": "pe_binary_s8_params",
    "sigmoid_s16": "pe_sigmoid_s16_params",
    "lookup_s16": None,
    "rescale": "pe_rescale_params",
}


def params_struct(kind: str) -> str | None:
    """Name of the params struct of an op kind such as "conv2d_s8"; None for a kind without one."""
    family = kind
    while family not in _FAMILIES and "_" in family:
        family = family.rpartition("_")[0]
    return _FAMILIES.get(family)


def pack(struct: str, **fields: Any) -> bytes:
    """Little-endian bytes of one struct of the header; fields not given are 0."""
    return bytes(ffi.buffer(ffi.new(f"{struct} *", fields)))


def pack_params(kind: str, **fields: Any) -> bytes:
    """Bytes of the params of an op kind; b"" for a kind without params."""
    struct = params_struct(kind)
    return pack(struct, **fields) if struct else b""


def unpack_params(kind: str, data: bytes) -> dict[str, Any]:
    """The fields of an op's params, by name: numbers, lists of numbers, texts."""
    struct = params_struct(kind)
    if struct is None:
        return {}
    value = ffi.new(f"{struct} *")
    ffi.memmove(value, data, ffi.sizeof(struct))
    return {name: _plain(getattr(value, name), field.type) for name, field in ffi.typeof(struct).fields}


def _plain(value: Any, type_: Any) -> Any:
    if type_.kind != "array":
        return value
    return ffi.string(value).decode("utf-8", "replace") if type_.item.cname == "char" else list(value)


def record_dtype(struct: str) -> np.dtype[Any]:
    """A NumPy dtype of one struct, so that a table of the file is read in one step."""
    return _dtype(ffi.typeof(struct))


def _dtype(ctype: Any) -> np.dtype[Any]:
    if ctype.kind == "struct":
        fields = [(name, _dtype(field.type), field.offset) for name, field in ctype.fields]
        return np.dtype(
            {
                "names": [f[0] for f in fields],
                "formats": [f[1] for f in fields],
                "offsets": [f[2] for f in fields],
                "itemsize": ffi.sizeof(ctype),
            }
        )
    if ctype.kind == "array":
        return np.dtype((_dtype(ctype.item), ctype.length))
    letter = {"float": "f", "double": "f"}.get(ctype.cname, "u" if ctype.cname.startswith("uint") else "i")
    return np.dtype(f"<{letter}{ffi.sizeof(ctype)}")
