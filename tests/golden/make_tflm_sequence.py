"""Makes tflm_sequence.npz: models of one recurrent operator, or of variables, and what TFLite Micro gives run by run.

Run by hand, in an environment with tflite-micro and tflite (x86-64): python tests/golden/make_tflm_sequence.py
Keys: CASE.model (bytes of the .tflite), CASE.in0 and CASE.out0 [runs, ...], without a reset between the runs. Seed 23.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tflite_micro.python.tflite_micro import runtime

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

RNG = np.random.default_rng(23)
RUNS = 6
TANH, RELU = 4, 1


def int8(*shape):
    return RNG.integers(-127, 128, shape).astype(np.int8)


def lstm(dtype, batch, steps, inputs, hidden, time_major=False, clip=0.0, cell=-12, zero=(3, -5), spread=0.004):
    """cell: the exponent of the cell's scale. zero: the zero points of x and h. spread: the scales of the weights."""
    order = (steps, batch) if time_major else (batch, steps)
    quantized, wide = dtype != "float32", dtype == "int16"
    x_scale, h_scale = (0.0002, 2.0**-15) if wide else (0.04, 0.008)
    weight_dtype, bias_dtype = ("int8" if quantized else dtype), ("int64" if wide else "int32")
    of_x = {"scale": x_scale, "zero_point": zero[0]} if quantized else {}
    of_h = {"scale": h_scale, "zero_point": zero[1]} if quantized else {}
    tensors = [T("x", (*order, inputs), dtype, **of_x)]
    scales = {}
    for kind, columns in (("x", inputs), ("h", hidden)):
        for gate in "ifco":
            scales[kind, gate] = float(np.float32(spread * RNG.uniform(0.5, 2)))
            w = int8(hidden, columns) if quantized else RNG.normal(0, 0.5, (hidden, columns)).astype(np.float32)
            of_w = {"scale": scales[kind, gate]} if quantized else {}
            tensors.append(T(f"{kind}_{gate}", w.shape, weight_dtype, w, **of_w))
    for gate in "ifco":
        if quantized:
            b = RNG.integers(-3000, 3000, hidden).astype(bias_dtype) * (1000 if wide else 1)
            tensors.append(T(f"b_{gate}", (hidden,), bias_dtype, b, scale=x_scale * scales["x", gate]))
        else:
            tensors.append(T(f"b_{gate}", (hidden,), dtype, RNG.normal(0, 0.5, hidden).astype(np.float32)))
    tensors.append(T("h", (batch, hidden), dtype, **of_h, variable=True))
    of_c = {"scale": 2.0**cell} if quantized else {}
    tensors.append(T("c", (batch, hidden), "int16" if quantized else dtype, **of_c, variable=True))
    tensors.append(T("y", (*order, hidden), dtype, **of_h))
    operands = [*range(9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14, -1, -1, -1, -1]
    fields = {"FusedActivationFunction": TANH, "CellClip": clip, "TimeMajor": time_major}
    op = O("UNIDIRECTIONAL_SEQUENCE_LSTM", operands, [15], "UnidirectionalSequenceLSTMOptions", fields)
    limit = 2**15 if wide else 2**7
    x = RNG.integers(-limit, limit, (RUNS, *order, inputs)).astype(dtype) if quantized else None
    return model(tensors, [op], [0], [15]), RNG.normal(0, 1, (RUNS, *order, inputs)).astype(
        np.float32
    ) if x is None else x


def svdf(dtype, state, batch, inputs, filters, memory, rank, activation=RELU, zero=(4, 0, -128), y_scale=0.05):
    """zero: the zero points of x, the state and y."""
    quantized, units = dtype == "int8", filters // rank
    scale = {"x": 0.05, "f": 0.01, "t": 0.008 if state == "int8" else 0.0005, "s": 0.06 if state == "int8" else 0.001}
    scale = {k: float(np.float32(v)) for k, v in scale.items()}
    product = float(np.float32(scale["s"]) * np.float32(scale["t"]))

    def q(name, zero_point=0):
        return {"scale": scale[name], "zero_point": zero_point} if quantized else {}

    feature = int8(filters, inputs) if quantized else RNG.normal(0, 0.3, (filters, inputs)).astype(np.float32)
    if quantized:
        span = np.iinfo(state).max // (1 if state == "int8" else 8)
        time = RNG.integers(-span, span, (filters, memory)).astype(state)
        bias = RNG.integers(-5000, 5000, units).astype(np.int32)
    else:
        time = RNG.normal(0, 0.3, (filters, memory)).astype(np.float32)
        bias = RNG.normal(0, 0.3, units).astype(np.float32)
    tensors = [
        T("x", (batch, inputs), dtype, **q("x", zero[0])),
        T("feature", feature.shape, dtype, feature, **q("f")),
        T("time", time.shape, state, time, **q("t")),
        T("bias", (units,), "int32" if quantized else dtype, bias, **({"scale": product} if quantized else {})),
        T("state", (batch, filters * memory), state, **q("s", zero[1]), variable=True),
        T("y", (batch, units), dtype, **({"scale": y_scale, "zero_point": zero[2]} if quantized else {})),
    ]
    op = O("SVDF", range(5), [5], "SVDFOptions", {"Rank": rank, "FusedActivationFunction": activation})
    shape = (RUNS + memory, batch, inputs)
    x = RNG.integers(-128, 128, shape).astype(np.int8) if quantized else RNG.normal(0, 1, shape).astype(np.float32)
    return model(tensors, [op], [0], [5]), x


def resource():
    """A running sum in a named resource that a subgraph sets to (1, 2, 3) once; the output is the sum."""
    start = np.float32([[1, 2, 3]])
    handle = {"Container": "", "SharedName": "sum"}
    tensors = [T("x", (1, 3)), T("handle", (1,), "resource"), T("old", (1, 3)), T("new", (1, 3)), T("y", (1, 3))]
    operators = [
        O("CALL_ONCE", [], [], "CallOnceOptions", {"InitSubgraphIndex": 1}),
        O("VAR_HANDLE", [], [1], "VarHandleOptions", handle),
        O("READ_VARIABLE", [1], [2], "ReadVariableOptions"),
        O("ADD", [2, 0], [3], "AddOptions"),
        O("ASSIGN_VARIABLE", [1, 3], [], "AssignVariableOptions"),
        O("READ_VARIABLE", [1], [4], "ReadVariableOptions"),
    ]
    init = (
        [T("init_handle", (1,), "resource"), T("start", (1, 3), "float32", start)],
        [
            O("VAR_HANDLE", [], [0], "VarHandleOptions", handle),
            O("ASSIGN_VARIABLE", [0, 1], [], "AssignVariableOptions"),
        ],
        [],
        [],
    )
    x = RNG.normal(0, 1, (RUNS, 1, 3)).astype(np.float32)
    return model(tensors, operators, [0], [4], init), x


def cases():
    yield "lstm_s8", lstm("int8", 1, 5, 7, 6)
    yield "lstm_s8_batches", lstm("int8", 3, 4, 5, 8, cell=-11, zero=(-128, 0))
    yield "lstm_s8_time_major", lstm("int8", 2, 6, 4, 5, time_major=True, cell=-14)
    yield "lstm_s8_clipped", lstm("int8", 1, 9, 6, 7, clip=0.75, cell=-13, zero=(0, 127))
    yield "lstm_s8_saturated", lstm("int8", 1, 8, 16, 9, cell=-12, spread=0.05)
    yield "lstm_f32", lstm("float32", 2, 5, 4, 6)
    yield "lstm_f32_clipped", lstm("float32", 2, 5, 4, 6, time_major=True, clip=0.5)
    yield "svdf_s16_state", svdf("int8", "int16", 2, 9, 8, 5, 2)
    yield "svdf_s8_state", svdf("int8", "int8", 1, 7, 6, 4, 1, zero=(-3, 5, -10))
    yield "svdf_s8_saturated", svdf("int8", "int8", 2, 12, 4, 3, 2, zero=(127, -100, 9), y_scale=0.02)
    yield "svdf_f32", svdf("float32", "float32", 2, 6, 8, 4, 4)
    yield "svdf_f32_plain", svdf("float32", "float32", 1, 6, 3, 1, 1, activation=0)
    yield "resource", resource()
    yield "lstm_s16", lstm("int16", 2, 5, 6, 7, zero=(0, 0))
    yield "lstm_s16_clipped", lstm("int16", 1, 8, 9, 4, time_major=True, clip=0.5, cell=-13, zero=(0, 0), spread=0.02)


def main() -> None:
    arrays = {}
    for name, (data, runs) in cases():
        interpreter = runtime.Interpreter.from_bytes(data, arena_size=1 << 16)
        outputs = []
        for x in runs:
            interpreter.set_input(x, 0)
            interpreter.invoke()
            outputs.append(interpreter.get_output(0))
        arrays |= {
            f"{name}.model": np.frombuffer(data, np.uint8),
            f"{name}.in0": runs,
            f"{name}.out0": np.stack(outputs),
        }
    np.savez_compressed(Path(__file__).with_name("tflm_sequence.npz"), **arrays)


if __name__ == "__main__":
    main()
