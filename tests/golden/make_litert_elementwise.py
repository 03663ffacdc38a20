"""Makes litert_elementwise.npz: one-operator models that compute, and what TFLite Micro gives for them.

Run by hand, in an environment with tflite-micro and ai-edge-litert 2.3.0 (x86-64):

    python tests/golden/make_litert_elementwise.py

Where TFLite Micro has no such operator or dtype, the record is that of LiteRT's reference kernels. int8 functions of
one operand see all 256 codes. Keys: CASE.model (bytes of the .tflite), CASE.in0 ..., CASE.out0 ... Seed 29.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

CODES = np.arange(-128, 128).astype(np.int8)

UNARY = (
    *(("ABS", "AbsOptions", {}), ("ELU", None, {}), ("EXP", "ExpOptions", {}), ("HARD_SWISH", "HardSwishOptions", {})),
    *(("LEAKY_RELU", "LeakyReluOptions", {"Alpha": a}) for a in (0.1, 0.3)),
    *(("RELU", None, {}), ("RELU6", None, {}), ("RELU_N1_TO_1", None, {})),
    *(("GELU", "GeluOptions", {"Approximate": a}) for a in (False, True)),
    ("LOG", None, {}),
)
FIXED_RESULT = {
    "LOGISTIC": (1 / 256, -128),
    "TANH": (1 / 128, 0),
    "SOFTMAX": (1 / 256, -128),
    "LOG_SOFTMAX": (16 / 256, 127),
}
BINARY = (
    *(
        (n.upper(), f"{n.capitalize()}Options", {"FusedActivationFunction": a})
        for n in ("sub", "mul", "add")
        for a in (0, 1, 3)
    ),
    *(("SQUARED_DIFFERENCE", "SquaredDifferenceOptions", {}), ("PRELU", None, {})),
)
DIVISION = ((0.2, 0.3), (0.01, 0.03), (0.05, 0.1))  # scales of a, b and y
COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
FLOAT_UNARY = (
    *("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "HARD_SWISH", "LOG", "LOGISTIC", "NEG", "RELU", "RELU6", "ROUND"),
    *("RSQRT", "SIN", "SQRT", "SQUARE", "TANH", "SIGN"),
)


class Maker:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def quant(self, low: float = 0.002, high: float = 0.3) -> dict:
        scale = np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high))))
        return {"scale": scale, "zero_point": int(self.rng.integers(-128, 128))}

    def int8(self, name: str, shape, **quant) -> T:
        return T(name, shape, "int8", **(quant or self.quant()))

    def codes(self, shape) -> np.ndarray:
        return self.rng.integers(-128, 128, shape).astype(np.int8)

    def floats(self, shape, low=-6.0, high=6.0) -> np.ndarray:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def one(self, op, tensors, values, options=None, fields=None, outputs=1):
        """A model of one operator: the operands that are no constants are its inputs."""
        n = len(tensors) - outputs
        o = O(op, list(range(n)), list(range(n, len(tensors))), options, fields or {})
        inputs = [i for i in range(n) if tensors[i].data is None]
        return model(tensors, [o], inputs, list(range(n, len(tensors)))), values, outputs

    # --- int8

    def unary(self):
        for name, options, fields in UNARY:
            x, y = self.int8("x", [1, 256]), self.int8("y", [1, 256])
            if name.startswith("RELU") or (name == "ABS" and self.rng.integers(2)):
                y = self.int8("y", [1, 256], scale=x.scale, zero_point=x.zero_point)
            yield f"{name.lower()}_s8", self.one(name, [x, y], [CODES[None]], options, fields)
        x = self.int8("x", [1, 64], scale=self.quant()["scale"], zero_point=-128)
        yield "rsqrt_s8", self.one("RSQRT", [x, self.int8("y", [1, 64])], [self.codes([1, 64])])
        for name in ("LOGISTIC", "TANH"):
            scale, zero_point = FIXED_RESULT[name]
            tensors = [self.int8("x", [1, 256]), self.int8("y", [1, 256], scale=scale, zero_point=zero_point)]
            yield f"{name.lower()}_s8", self.one(name, tensors, [CODES[None]])

    def binary(self):
        shapes = [([2, 3, 8], [2, 3, 8]), ([2, 3, 8], [1]), ([2, 3, 8], [3, 1]), ([1, 3, 8], [2, 1, 8])]
        for name, options, fields in (*BINARY, ("DIV", "DivOptions", {"FusedActivationFunction": 0})):
            a, b = shapes[self.rng.integers(len(shapes))] if name != "PRELU" else ([2, 3, 8], [1, 1, 8])
            left, right = self.codes(a), self.codes(b)
            y = np.broadcast_shapes(tuple(a), tuple(b))
            tensors = [self.int8("a", a), self.int8("b", b), self.int8("y", list(y))]
            if name == "DIV":  # quotients of so few bits that TFLite Micro shifts by less than 32
                tensors = [self.int8(t.name, t.shape, **self.quant(*q)) for t, q in zip(tensors, DIVISION, strict=True)]
                right = np.where(right == tensors[1].zero_point, right ^ 1, right).astype(np.int8)
            if name == "PRELU":
                tensors[1].data = right
                yield "prelu_s8", self.one(name, tensors, [left])
            else:
                yield f"{name.lower()}_s8", self.one(name, tensors, [left, right], options, fields)
        for name in COMPARISONS:
            a, b = shapes[self.rng.integers(len(shapes))]
            tensors = [
                self.int8("a", a),
                self.int8("b", b),
                T("y", list(np.broadcast_shapes(tuple(a), tuple(b))), "bool"),
            ]
            left, right = self.codes(a), self.codes(b)
            yield f"{name.lower()}_s8", self.one(name, tensors, [left, right])
        for name in ("MINIMUM", "MAXIMUM"):
            q = self.quant()
            tensors = [self.int8(n, [2, 3, 8], **q) for n in "aby"]
            values = [self.codes([2, 3, 8]), self.codes([2, 3, 8])]
            yield f"{name.lower()}_s8", self.one(name, tensors, values, "MaximumMinimumOptions")

    def along(self):
        """Reductions, sums and norms of int8."""
        for name in ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN"):
            axes = [[0], [1], [2], [1, 2], [0, 1, 2]][self.rng.integers(5)]
            x = self.int8("x", [3, 4, 16], **self.quant(0.002, 0.05))
            y = [d for i, d in enumerate([3, 4, 16]) if i not in axes]
            same = {"scale": x.scale, "zero_point": x.zero_point}
            out = self.int8("y", y, **(same if name.startswith("REDUCE") else self.quant(0.02, 0.5)))
            tensors = [x, T("axes", [len(axes)], "int32", np.array(axes, np.int32)), out]
            yield f"{name.lower()}_s8", self.one(name, tensors, [self.codes([3, 4, 16])], "ReducerOptions")
        for name in ("ARG_MAX", "ARG_MIN"):
            tensors = [self.int8("x", [3, 16]), T("axis", [], "int32", np.int32(1)), T("y", [3], "int32")]
            options = ("ArgMaxOptions" if name == "ARG_MAX" else "ArgMinOptions", {"OutputType": 2})
            yield f"{name.lower()}_s8", self.one(name, tensors, [self.codes([3, 16])], *options)
        for exclusive, reverse in ((False, False), (True, True)):
            tensors = [
                self.int8("x", [2, 9, 3]),
                T("axis", [], "int32", np.int32(1)),
                self.int8("y", [2, 9, 3], **self.quant(0.1, 0.5)),
            ]
            fields = {"Exclusive": exclusive, "Reverse": reverse}
            yield "cumsum_s8", self.one("CUMSUM", tensors, [self.codes([2, 9, 3])], "CumsumOptions", fields)
        q = self.quant()
        tensors = [*(self.int8(n, [2, 40], **q) for n in "abc"), self.int8("y", [2, 40])]
        yield "add_n_s8", self.one("ADD_N", tensors, [self.codes([2, 40]) for _ in range(3)], "AddNOptions")
        tensors = [self.int8("x", [8, 16]), self.int8("y", [8, 16], scale=1 / 128, zero_point=0)]
        yield "l2_normalization_s8", self.one("L2_NORMALIZATION", tensors, [self.codes([8, 16])], "L2NormOptions")
        for name in ("SOFTMAX", "LOG_SOFTMAX"):
            scale, zero_point = FIXED_RESULT[name]
            tensors = [self.int8("x", [8, 16]), self.int8("y", [8, 16], scale=scale, zero_point=zero_point)]
            options = ("SoftmaxOptions", {"Beta": 1.0}) if name == "SOFTMAX" else ("LogSoftmaxOptions", {})
            yield f"{name.lower()}_s8", self.one(name, tensors, [self.codes([8, 16])], *options)

    def layers(self):
        for adj_x, adj_y in ((False, False), (False, True), (True, False)):
            a, b = [2, 5, 7] if adj_x else [2, 7, 5], [2, 6, 5] if adj_y else [2, 5, 6]
            tensors = [self.int8("a", a), self.int8("b", b), self.int8("y", [2, 7, 6], **self.quant(0.05, 0.9))]
            fields = {"AdjX": adj_x, "AdjY": adj_y}
            yield (
                "batch_matmul_s8",
                self.one("BATCH_MATMUL", tensors, [self.codes(a), self.codes(b)], "BatchMatMulOptions", fields),
            )
        for padding, stride in ((0, 2), (1, 2), (1, 1), (0, 1)):
            side = 5 * stride if padding == 0 else 4 * stride + 3
            w = self.rng.integers(-127, 128, [4, 3, 3, 3]).astype(np.int8)
            scales = self.rng.uniform(0.002, 0.02, 4).astype(np.float32)
            x, y = self.int8("x", [1, 5, 5, 3]), self.int8("y", [1, side, side, 4], **self.quant(0.05, 0.5))
            bias = self.rng.integers(-3000, 3000, 4).astype(np.int32)
            tensors = [
                T("shape", [4], "int32", np.array([1, side, side, 4], np.int32)),
                T("w", [4, 3, 3, 3], "int8", w, scales, 0, 0),
                x,
                T("b", [4], "int32", bias, scales * np.float32(x.scale), 0, 0),
                y,
            ]
            fields = {"StrideH": stride, "StrideW": stride, "Padding": padding}
            yield (
                "transpose_conv_s8",
                self.one("TRANSPOSE_CONV", tensors, [self.codes([1, 5, 5, 3])], "TransposeConvOptions", fields),
            )
        for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
            options = "ResizeBilinearOptions" if name == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
            for align, half in ((False, False), (True, False), (False, True)):
                to = [int(v) for v in self.rng.integers(2, 12, 2)]
                q = self.quant()
                for dtype in ("int8", "float32"):
                    extra = q if dtype == "int8" else {}
                    tensors = [
                        T("x", [1, 5, 4, 3], dtype, **extra),
                        T("size", [2], "int32", np.array(to, np.int32)),
                        T("y", [1, *to, 3], dtype, **extra),
                    ]
                    x = self.codes([1, 5, 4, 3]) if dtype == "int8" else self.floats([1, 5, 4, 3])
                    fields = {"AlignCorners": align, "HalfPixelCenters": half}
                    yield (
                        f"{name.lower()}_{'s8' if dtype == 'int8' else 'f32'}",
                        self.one(name, tensors, [x], options, fields),
                    )

    # --- floats and plain integers

    def floats_unary(self):
        for name in FLOAT_UNARY:
            low = 0.01 if name in ("LOG", "RSQRT", "SQRT") else -6.0
            tensors = [T("x", [2, 30]), T("y", [2, 30])]
            yield f"{name.lower()}_f32", self.one(name, tensors, [self.floats([2, 30], low)])

    def others(self):
        f = [T(n, [2, 3, 4]) for n in "aby"]
        for name in ("MUL", "SUB", "DIV", "ADD"):
            values = [self.floats([2, 3, 4]), self.floats([2, 3, 4], 0.5)]
            yield (
                f"{name.lower()}_f32",
                self.one(name, f, values, f"{name.capitalize()}Options", {"FusedActivationFunction": 3}),
            )
        for name in ("MAXIMUM", "MINIMUM", "FLOOR_DIV", "FLOOR_MOD", "POW", "SQUARED_DIFFERENCE", "PRELU"):
            values = [self.floats([2, 3, 4], 0.1), self.floats([2, 3, 4], 0.5)]
            yield f"{name.lower()}_f32", self.one(name, f, values)
        i = [T(n, [2, 3, 4], "int32") for n in "aby"]
        numbers = [self.rng.integers(-50, 50, [2, 3, 4]).astype(np.int32) for _ in range(2)]
        numbers[1][numbers[1] == 0] = 3
        for name, options in (
            ("ADD", "AddOptions"),
            ("SUB", "SubOptions"),
            ("MUL", "MulOptions"),
            ("DIV", "DivOptions"),
        ):
            yield f"{name.lower()}_s32", self.one(name, i, numbers, options)
        for name in ("MAXIMUM", "MINIMUM", "FLOOR_DIV", "FLOOR_MOD", "SQUARED_DIFFERENCE"):
            yield f"{name.lower()}_s32", self.one(name, i, numbers)
        bools = [T(n, [2, 3], "bool") for n in "aby"]
        for name in ("LOGICAL_AND", "LOGICAL_OR"):
            yield name.lower(), self.one(name, bools, [self.rng.integers(0, 2, [2, 3]).astype(bool) for _ in range(2)])
        yield (
            "logical_not",
            self.one("LOGICAL_NOT", [bools[0], bools[2]], [self.rng.integers(0, 2, [2, 3]).astype(bool)]),
        )
        for name in COMPARISONS:
            tensors = [T("a", [2, 9], "int32"), T("b", [9], "int32"), T("y", [2, 9], "bool")]
            values = [self.rng.integers(0, 4, s).astype(np.int32) for s in ([2, 9], [9])]
            yield f"{name.lower()}_s32", self.one(name, tensors, values)
        for to in ("int32", "int8", "int16", "bool", "int64"):
            yield (
                f"cast_{to}",
                self.one("CAST", [T("x", [20]), T("y", [20], to)], [self.floats([20], -100, 100)], "CastOptions"),
            )
        for name in ("SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
            tensors = [T("x", [3, 4, 5]), T("axes", [2], "int32", np.array([-1, 0], np.int32)), T("y", [1, 4, 1])]
            yield (
                f"{name.lower()}_f32",
                self.one(name, tensors, [self.floats([3, 4, 5])], "ReducerOptions", {"KeepDims": True}),
            )
        for name in ("REDUCE_ALL", "REDUCE_ANY"):
            tensors = [T("x", [3, 4], "bool"), T("axes", [1], "int32", np.array([1], np.int32)), T("y", [3], "bool")]
            yield (
                name.lower(),
                self.one(name, tensors, [self.rng.integers(0, 2, [3, 4]).astype(bool)], "ReducerOptions"),
            )
        tensors = [T("c", [2, 3], "bool"), T("a", [2, 3]), T("b", [1, 3]), T("y", [2, 3])]
        values = [self.rng.integers(0, 2, [2, 3]).astype(bool), self.floats([2, 3]), self.floats([1, 3])]
        yield "select_v2", self.one("SELECT_V2", tensors, values, "SelectV2Options")
        yield (
            "cumsum_f32",
            self.one(
                "CUMSUM",
                [T("x", [2, 9]), T("axis", [], "int32", np.int32(-1)), T("y", [2, 9])],
                [self.floats([2, 9])],
                "CumsumOptions",
            ),
        )
        yield (
            "add_n_f32",
            self.one("ADD_N", [T(n, [2, 9]) for n in "abcy"], [self.floats([2, 9]) for _ in range(3)], "AddNOptions"),
        )
        yield (
            "l2_normalization_f32",
            self.one("L2_NORMALIZATION", [T("x", [3, 9]), T("y", [3, 9])], [self.floats([3, 9])], "L2NormOptions"),
        )
        fields = {"StrideH": 2, "StrideW": 1, "FilterHeight": 3, "FilterWidth": 2, "Padding": 0}
        yield (
            "l2_pool_2d",
            self.one(
                "L2_POOL_2D",
                [T("x", [1, 6, 5, 2]), T("y", [1, 3, 5, 2])],
                [self.floats([1, 6, 5, 2])],
                "Pool2DOptions",
                fields,
            ),
        )
        yield (
            "log_softmax_f32",
            self.one("LOG_SOFTMAX", [T("x", [3, 9]), T("y", [3, 9])], [self.floats([3, 9])], "LogSoftmaxOptions"),
        )
        yield (
            "leaky_relu_f32",
            self.one(
                "LEAKY_RELU",
                [T("x", [3, 9]), T("y", [3, 9])],
                [self.floats([3, 9])],
                "LeakyReluOptions",
                {"Alpha": 0.2},
            ),
        )
        tensors = [T("k", [5], "int32"), T("table", [7, 3], data=self.floats([7, 3])), T("y", [5, 3])]
        yield (
            "embedding_lookup_f32",
            self.one("EMBEDDING_LOOKUP", tensors, [self.rng.integers(0, 7, 5).astype(np.int32)]),
        )
        tensors = [T("k", [5], "int32"), T("table", [7, 3], "int8", self.codes([7, 3]), 0.1, 0), T("y", [5, 3])]
        yield (
            "embedding_lookup_hybrid",
            self.one("EMBEDDING_LOOKUP", tensors, [self.rng.integers(0, 7, 5).astype(np.int32)]),
        )
        tensors = [T("x", [2, 9]), T("k", [], "int32", np.int32(3)), T("v", [2, 3]), T("i", [2, 3], "int32")]
        yield "topk_v2", self.one("TOPK_V2", tensors, [self.floats([2, 9])], "TopKV2Options", outputs=2)
        w = T("w", [3, 3, 3, 2, 4], data=self.floats([3, 3, 3, 2, 4]))
        fields = {"StrideD": 1, "StrideH": 2, "StrideW": 1, "Padding": 0}
        for d in "DHW":
            fields[f"Dilation{d}Factor"] = 1
        tensors = [T("x", [1, 4, 6, 5, 2]), w, T("y", [1, 4, 3, 5, 4])]
        yield "conv_3d", self.one("CONV_3D", tensors, [self.floats([1, 4, 6, 5, 2])], "Conv3DOptions", fields)
        w = T("w", [4, 3, 3, 2], data=self.floats([4, 3, 3, 2]))
        tensors = [
            T("shape", [4], "int32", np.array([1, 10, 8, 4], np.int32)),
            w,
            T("x", [1, 5, 4, 2]),
            T("y", [1, 10, 8, 4]),
        ]
        yield (
            "transpose_conv_f32",
            self.one(
                "TRANSPOSE_CONV",
                tensors,
                [self.floats([1, 5, 4, 2])],
                "TransposeConvOptions",
                {"StrideH": 2, "StrideW": 2},
            ),
        )
        tensors = [T("a", [3, 2, 4]), T("b", [3, 5, 4]), T("y", [3, 2, 5])]
        yield (
            "batch_matmul_f32",
            self.one(
                "BATCH_MATMUL",
                tensors,
                [self.floats([3, 2, 4]), self.floats([3, 5, 4])],
                "BatchMatMulOptions",
                {"AdjY": True},
            ),
        )
        tensors = [T("x", [2, 4]), T("w", [3, 4]), T("y", [2, 3])]
        yield (
            "fully_connected_computed",
            self.one("FULLY_CONNECTED", tensors, [self.floats([2, 4]), self.floats([3, 4])], "FullyConnectedOptions"),
        )

    def detections(self):
        """DETECTION_POSTPROCESS: overlapping boxes, with and without a background class."""
        for regular, background in ((False, 0), (False, 1), (True, 1), (True, 0)):
            n, classes, most = 40, 3, 10
            centers = np.concatenate([self.floats([n, 2], 0.2, 0.8), self.floats([n, 2], 0.1, 0.4)], axis=1)
            sizes = [[1, n, 4], [1, n, classes + background]]
            tensors = [T("boxes", sizes[0]), T("scores", sizes[1]), T("anchors", [n, 4], data=centers)]
            tensors += [T("b", [1, most, 4]), T("c", [1, most]), T("s", [1, most]), T("count", [1])]
            options = {"max_detections": most, "max_classes_per_detection": 1, "num_classes": classes}
            options |= {"detections_per_class": 5, "use_regular_nms": regular, "nms_score_threshold": 0.3}
            options |= {"nms_iou_threshold": 0.4, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
            values = [self.floats(sizes[0], -1, 1), self.floats(sizes[1], 0, 1)]
            yield "detection_postprocess", self.one("TFLite_Detection_PostProcess", tensors, values, None, options, 4)

    def cases(self):
        seen: dict[str, int] = {}
        for family in (
            self.unary,
            self.binary,
            self.along,
            self.layers,
            self.floats_unary,
            self.others,
            self.detections,
        ):
            for name, case in family():
                seen[name] = seen.get(name, -1) + 1
                yield (f"{name}{seen[name]}", case)


def tflm(data: bytes, values, outputs: int) -> list[np.ndarray] | None:
    """Outputs of TFLite Micro; None where it lacks the operator or dtype."""
    from tflite_micro import runtime

    try:
        engine = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)
        for i, x in enumerate(values):
            engine.set_input(x, i)
        engine.invoke()
        return [engine.get_output(i) for i in range(outputs)]
    except (RuntimeError, ValueError):
        return None


def litert(data: bytes, values) -> list[np.ndarray] | None:
    """Outputs of LiteRT's reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        engine = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        engine.allocate_tensors()
        for detail, x in zip(engine.get_input_details(), values, strict=True):
            engine.set_tensor(detail["index"], x)
        engine.invoke()
    except (RuntimeError, ValueError):
        return None
    return [engine.get_tensor(detail["index"]) for detail in engine.get_output_details()]


def main() -> None:
    found: dict[str, np.ndarray] = {}
    for name, (data, values, outputs) in Maker(29).cases():
        results = tflm(data, values, outputs) or litert(data, values)
        assert results is not None, name
        found[f"{name}.model"] = np.frombuffer(data, np.uint8)
        found.update({f"{name}.in{i}": x for i, x in enumerate(values)})
        found.update({f"{name}.out{i}": y for i, y in enumerate(results)})
    np.savez_compressed(Path(__file__).with_name("litert_elementwise.npz"), **found)


if __name__ == "__main__":
    main()
