"""ONNX models to graphs, and back for viewers; needs the package onnx (pyedge[onnx])."""

from .export import to_onnx
from .load import load_onnx

__all__ = ["load_onnx", "to_onnx"]
