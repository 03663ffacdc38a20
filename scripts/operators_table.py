"""Writes docs/operators.md: the operators of ONNX and TFLite, each with what has been run.

    python scripts/operators_table.py            # what the table would be, to stdout
    python scripts/operators_table.py --write    # docs/operators.md

ONNX: the cases are those of `onnx.backend.test.loader`, for the operators that models on small devices use. A case
passes if the arrays that the C executor gives are those of the case, within its tolerances. The ops in the table are
those of the plans that ran. TFLite: the operators that the importer knows, with the types in which the one-operator
models of tests/golden are compared with TFLite Micro or LiteRT.
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from pyedge.errors import PyedgeError
from pyedge.model.tflite import OPERATORS, load_tflite
from pyedge.model.tflite_file import FileOperator, ModelFile, read
from pyedge.onnx_backend import prepare
from pyedge.plan.compile import compile

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "operators.md"

GROUPS = {
    "Convolution and products": "Conv ConvInteger QLinearConv ConvTranspose CausalConvWithState DeformConv MatMul "
    "MatMulInteger QLinearMatMul Gemm Einsum",
    "Quantization and casts": "QuantizeLinear DequantizeLinear DynamicQuantizeLinear Cast CastLike",
    "Pools": "AveragePool MaxPool GlobalAveragePool GlobalMaxPool LpPool",
    "Activations": "Relu LeakyRelu PRelu Elu Selu Celu ThresholdedRelu HardSigmoid HardSwish Sigmoid Tanh Softplus "
    "Softsign Mish Gelu Swish SwiGLU Clip Erf Softmax LogSoftmax Hardmax",
    "Norms": "BatchNormalization LayerNormalization RMSNormalization GroupNormalization InstanceNormalization LRN "
    "LpNormalization MeanVarianceNormalization",
    "Elementwise": "Add Sub Mul Div Neg Abs Sqrt Reciprocal Exp Log Pow Min Max Sum Mean Floor Ceil Round Sign Mod "
    "Where Equal Greater GreaterOrEqual Less LessOrEqual Not And Or Xor",
    "Shapes and moves": "Concat Slice Split Reshape Flatten Transpose Squeeze Unsqueeze Expand Tile Pad Gather "
    "GatherElements GatherND ScatterElements ScatterND TensorScatter Shape Size Constant ConstantOfShape Identity "
    "Range Resize Upsample DepthToSpace SpaceToDepth CenterCropPad Col2Im",
    "Reductions": "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
    "ReduceSumSquare ArgMax ArgMin TopK CumSum",
    "Recurrent and attention": "LSTM GRU RNN Attention LinearAttention RotaryEmbedding",
    "Audio": "DFT STFT MelWeightMatrix HannWindow HammingWindow BlackmanWindow",
    "Losses and training": "SoftmaxCrossEntropyLoss NegativeLogLikelihoodLoss Dropout Momentum Adagrad Adam",
}
_OPERATORS = {op: group for group, ops in GROUPS.items() for op in ops.split()}


@dataclass(frozen=True)
class Case:
    """What one case of the suite did. reason: why it failed; "" if it passed. data: whether an operand was fed."""

    name: str
    operator: str
    reason: str
    data: bool
    ops: tuple[str, ...]


@dataclass
class Row:
    """An operator's line of the table."""

    cases: int = 0
    passed: int = 0
    no_data: int = 0
    ops: set[str] = field(default_factory=set)
    reasons: dict[str, list[str]] = field(default_factory=dict)


def cases(pattern: str = "") -> Iterator[Case]:
    """Runs the cases whose name contains a pattern; those that spell an operator out as its function are left out."""
    warnings.filterwarnings("ignore")
    for case in load_model_tests(kind="node"):
        operator = next((n.op_type for n in case.model.graph.node if n.op_type in _OPERATORS), None)
        if operator is None or "_expanded" in case.name or not re.search(pattern, case.name):
            continue
        model = onnx.ModelProto.FromString(case.model.SerializeToString())
        rep, reason = prepare(model), ""
        try:
            for inputs, outputs in case.data_sets:
                given, expected = ([_array(value) for value in values] for values in (inputs, outputs))
                Runner.assert_similar_outputs(expected, rep.run(given), case.rtol, case.atol)
        except PyedgeError as e:
            reason = " ".join(str(e).split()).removeprefix(f"{case.name}: not supported: ")
        except AssertionError:
            reason = "other values"
        plan = rep.plan
        ops = () if plan is None else tuple(sorted({op.kind for op in plan.ops}))
        yield Case(case.name, operator, re.sub(r"node '[^']*': ", "", reason), plan is None or bool(plan.inputs), ops)


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def document(done: list[Case]) -> str:
    """The text of docs/operators.md."""
    rows = {op: Row() for op in _OPERATORS}
    for case in done:
        row = rows[case.operator]
        row.cases += 1
        row.ops |= set(case.ops)
        if case.reason:
            row.reasons.setdefault(case.reason, []).append(case.name)
        elif not case.data:
            row.no_data += 1
        else:
            row.passed += 1
    passed, no_data = sum(r.passed for r in rows.values()), sum(r.no_data for r in rows.values())
    lines = [
        "# Operators of ONNX",
        "",
        f"Generated by `scripts/operators_table.py` with onnx {onnx.__version__}. Each case of the ONNX backend node",
        "suite runs through `pyedge.onnx_backend` and the C executor: no node is folded, a plan is specialised only on",
        "inputs that fix a shape. Where no other input is left, the case is counted apart.",
        "",
        f"**{passed} of {len(done)} cases pass**, {no_data} more have no operand left to run on, "
        f"{len(done) - passed - no_data} do not pass.",
        "",
        "| group | cases | pass | no operand left |",
        "|---|---|---|---|",
    ]
    for group, ops in GROUPS.items():
        of = [rows[op] for op in ops.split()]
        sums = (sum(r.cases for r in of), sum(r.passed for r in of), sum(r.no_data for r in of))
        lines.append(f"| {group} | {sums[0]} | {sums[1]} | {sums[2]} |")
    for group, ops in GROUPS.items():
        lines += ["", f"## {group}", "", "| operator | cases | pass | ops of the plan |", "|---|---|---|---|"]
        for op in ops.split():
            row = rows[op]
            count = f"{row.passed}" if not row.no_data else f"{row.passed} + {row.no_data}"
            lines.append(f"| {op} | {row.cases} | {count} | {', '.join(sorted(row.ops)) or '-'} |")
    lines += ["", "## What does not pass, and why", ""]
    for op in _OPERATORS:
        for reason, names in sorted(rows[op].reasons.items()):
            shown = reason if len(reason) <= 160 else reason[:157] + "..."
            lines.append(f"- {op}: {shown} ({', '.join(n.removeprefix('test_') for n in names)})")
    return "\n".join(lines) + "\n"


def tflite_document() -> str:
    """The part about TFLite: each operator that the importer takes, and its types and ops in the recorded models."""
    types: dict[str, set[str]] = {name: set() for name in OPERATORS}
    ops: dict[str, set[str]] = {name: set() for name in OPERATORS}
    for path in sorted(GOLDEN.glob("*.npz")):
        with np.load(path) as columns:
            models = [columns[key].tobytes() for key in columns.files if key.endswith(".model")]
        for data in models:
            file, plan = read(data), compile(load_tflite(data))
            names = {op.name for op in file.operators}
            for op in file.operators:
                types[op.name].add(_types(file, op))
                if len(names) == 1:
                    ops[op.name] |= {step.kind for step in plan.ops}
    recorded = sum(map(bool, types.values()))
    lines = [
        "# Operators of TFLite",
        "",
        f"{len(types)} operators are read. Of {recorded} there are recorded one-operator models, in the types listed",
        "here (from -> to where they differ); integers are equal, bit by bit, to those of TFLite Micro, or of LiteRT's",
        "reference kernels where it has no such operator. Custom operators are in quotes.",
        "",
        "| operator | compared in | ops of the plan |",
        "|---|---|---|",
    ]
    for name in sorted(types, key=lambda n: n.removeprefix("custom operator ")):
        lines.append(f"| {name.removeprefix('custom operator ')} | {_list(types[name])} | {_list(ops[name])} |")
    return "\n".join(lines) + "\n"


def _types(file: ModelFile, op: FileOperator) -> str:
    """Of the first operand that is no constant, and of the result."""
    inputs = [file.tensors[i] for i in op.inputs if i >= 0]
    given = next((t.dtype for t in inputs if t.data is None), inputs[0].dtype if inputs else "-")
    result = file.tensors[op.outputs[0]].dtype if op.outputs else given
    return given if given == result else f"{given} -> {result}"


def _list(values: set[str]) -> str:
    return ", ".join(sorted(values)) or "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/operators.md")
    text = f"{document(list(cases()))}\n{tflite_document()}"
    if parser.parse_args().write:
        DOCUMENT.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
