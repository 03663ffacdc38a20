"""Element types of ONNX and what holds them in a graph: a dtype, and for the small ones a format of its codes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ..graph import DTYPES, array_dtype

# One code a byte: ONNX's name, the format and type of ml_dtypes, the dtype that holds the codes.
_SMALL = (
    ("FLOAT8E4M3FN", "float8_e4m3fn", "uint8"),
    ("FLOAT8E4M3FNUZ", "float8_e4m3fnuz", "uint8"),
    ("FLOAT8E5M2", "float8_e5m2", "uint8"),
    ("FLOAT8E5M2FNUZ", "float8_e5m2fnuz", "uint8"),
    ("FLOAT8E8M0", "float8_e8m0fnu", "uint8"),
    ("FLOAT4E2M1", "float4_e2m1fn", "uint8"),
    ("UINT4", "uint4", "uint8"),
    ("INT4", "int4", "int8"),
    ("UINT2", "uint2", "uint8"),
    ("INT2", "int2", "int8"),
)
# Element type -> (dtype, format, NumPy type), for what this onnx and this ml_dtypes have.
SMALL: dict[int, tuple[str, str, Any]] = {
    getattr(TensorProto, onnx_name): (dtype, name, getattr(ml_dtypes, name))
    for onnx_name, name, dtype in _SMALL
    if hasattr(TensorProto, onnx_name) and hasattr(ml_dtypes, name)
}
_BY_TYPE = {np.dtype(t): (dtype, name) for dtype, name, t in SMALL.values()}


def element(elem_type: int) -> tuple[str, str | None] | None:
    """dtype and format of an ONNX element type; None for those that a graph cannot hold (strings, complex)."""
    if elem_type in SMALL:
        return SMALL[elem_type][:2]
    try:
        name = str(helper.tensor_dtype_to_np_dtype(elem_type))
    except (KeyError, TypeError):
        return None
    return (name, None) if name in DTYPES else None


def elem_type(dtype: str, name: str | None) -> int:
    """The ONNX element type of a dtype and format."""
    for number, (_, known, _) in SMALL.items():
        if name is not None and known == name:
            return number
    return int(helper.np_dtype_to_tensor_dtype(array_dtype(dtype)))


def format_of(value: np.ndarray) -> str | None:
    """The format of an array of a small type, else None."""
    return _BY_TYPE.get(value.dtype, ("", None))[1]


def codes(value: Any) -> np.ndarray:
    """An array, scalar or TensorProto as a graph holds it: small types as codes, one a byte."""
    value = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    if value.dtype not in _BY_TYPE:
        return np.asarray(value)
    dtype, name = _BY_TYPE[value.dtype]
    return np.asarray(value.astype(dtype) if "int" in name else value.view(np.uint8).astype(dtype))


def from_codes(value: np.ndarray, elem_type: int) -> np.ndarray:
    """The way back from codes: an array of the ml_dtypes type where the element type is a small one."""
    if elem_type not in SMALL:
        return value
    _, name, numpy_type = SMALL[elem_type]
    return np.asarray(value.astype(numpy_type) if "int" in name else value.astype(np.uint8).view(numpy_type))
