"""ONNX models to graphs; needs the package onnx (pyedge[onnx])."""

from .load import load_onnx

__all__ = ["load_onnx"]
