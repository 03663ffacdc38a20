"""Makes litert_moves.npz: one-operator models that move elements, and the outputs of LiteRT's reference kernels.

Run by hand, in an environment with ai-edge-litert 2.3.0 (x86-64): python tests/golden/make_litert_moves.py
Keys: CASE.model (bytes of the .tflite), CASE.in0 ..., CASE.out0 ... Seed 17.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "model"))
from tflite_maker import O, T, model

RNG = np.random.default_rng(17)


def case(name, options, fields, inputs, outputs, dtype="int8", constants=(), order=None):
    """inputs, outputs: shapes. constants: int32 operands behind the inputs. order: of the operands, if another."""
    scale = {"scale": 0.1, "zero_point": -7} if dtype == "int8" else {}
    tensors = [T(f"x{i}", shape, dtype, **scale) for i, shape in enumerate(inputs)]
    tensors += [T(f"c{i}", np.shape(c), "int32", np.asarray(c, np.int32)) for i, c in enumerate(constants)]
    operands = order or range(len(tensors))
    results = range(len(tensors), len(tensors) + len(outputs))
    tensors += [T(f"y{i}", shape, dtype, **scale) for i, shape in enumerate(outputs)]
    op = O(name, list(operands), list(results), options, fields)
    values = [RNG.integers(-128, 128, shape).astype(dtype) for shape in inputs]
    return model(tensors, [op], list(range(len(inputs))), list(results)), values


def strided(x, y, begin, end, step, dtype="int8", **masks):
    fields = {f"{name}Mask": mask for name, mask in masks.items()}
    return case("STRIDED_SLICE", "StridedSliceOptions", fields, [x], [y], dtype, [begin, end, step])


def cases():
    yield "concat", case("CONCATENATION", "ConcatenationOptions", {"Axis": -1}, [[2, 3, 1], [2, 3, 4]], [[2, 3, 5]])
    yield (
        "split",
        case("SPLIT", "SplitOptions", {"NumSplits": 3}, [[2, 6, 5]], [[2, 2, 5]] * 3, constants=[1], order=[1, 0]),
    )
    yield (
        "split_v",
        case("SPLIT_V", "SplitVOptions", {"NumSplits": 2}, [[4, 7]], [[4, 2], [4, 5]], constants=[[2, -1], [1]]),
    )
    yield "pack", case("PACK", "PackOptions", {"ValuesCount": 2, "Axis": 1}, [[2, 3]] * 2, [[2, 2, 3]], "float32")
    yield "unpack", case("UNPACK", "UnpackOptions", {"Num": 3, "Axis": -2}, [[2, 3, 4]], [[2, 4]] * 3)
    yield "strided", strided([5, 7, 4], [2, 3, 4], [1, -1, 0], [5, 0, 4], [2, -2, 1])
    yield "strided_masks", strided([5, 7, 4], [3, 7, 4], [2, 3, 1], [4, 3, 2], [1, 1, 1], Begin=6, End=7)
    yield "strided_reversed", strided([5, 7], [5, 7], [1, 1], [2, 2], [-1, -1], Begin=3, End=3)
    yield "strided_shrinks", strided([5, 7, 4], [7], [-1, 0, 2], [0, 7, 3], [1, 1, 1], "float32", ShrinkAxis=5)
    yield "slice", case("SLICE", "SliceOptions", {}, [[4, 5, 6]], [[2, 3, 6]], constants=[[1, 2, 0], [2, -1, 6]])
    yield "transpose", case("TRANSPOSE", "TransposeOptions", {}, [[2, 3, 4]], [[4, 2, 3]], constants=[[2, 0, 1]])
    yield "pad", case("PAD", "PadOptions", {}, [[2, 3]], [[5, 4]], constants=[[[1, 2], [0, 1]]])
    yield (
        "mirror_pad",
        case("MIRROR_PAD", "MirrorPadOptions", {"Mode": 0}, [[3, 4]], [[6, 6]], constants=[[[2, 1], [0, 2]]]),
    )
    yield "squeeze", case("SQUEEZE", "SqueezeOptions", {"SqueezeDims": [1]}, [[3, 1, 4]], [[3, 4]], "float32")
    yield "expand_dims", case("EXPAND_DIMS", "ExpandDimsOptions", {}, [[3, 4]], [[3, 1, 4]], constants=[1])
    yield "reverse", case("REVERSE_V2", "ReverseV2Options", {}, [[3, 4]], [[3, 4]], "float32", constants=[[1]])
    yield (
        "depth_to_space",
        case("DEPTH_TO_SPACE", "DepthToSpaceOptions", {"BlockSize": 2}, [[1, 2, 3, 8]], [[1, 4, 6, 2]]),
    )
    yield (
        "space_to_depth",
        case("SPACE_TO_DEPTH", "SpaceToDepthOptions", {"BlockSize": 2}, [[1, 4, 6, 2]], [[1, 2, 3, 8]]),
    )
    yield "tile", case("TILE", "TileOptions", {}, [[2, 3]], [[4, 9]], "float32", constants=[[2, 3]])


def shaped(name, options, fields, tensors, values, outputs=1):
    """tensors: operands, then results; operands without data are inputs, which get values."""
    n = len(tensors) - outputs
    op = O(name, list(range(n)), list(range(n, len(tensors))), options, fields)
    inputs = [i for i in range(n) if tensors[i].data is None]
    return model(tensors, [op], inputs, op.outputs), values


def ints(name, values, dtype="int32"):
    return T(name, np.shape(values), dtype, np.asarray(values, dtype))


def codes(*shape):
    return RNG.integers(-128, 128, shape).astype(np.int8)


def q(name, *shape, **more):
    return T(name, shape, "int8", scale=0.1, zero_point=-7, **more)


def more_cases():
    blocks = [[[2, 3], [[1, 0], [0, 2]]], [[2, 3], [[1, 0], [0, 2]]]]
    yield (
        "space_to_batch",
        case("SPACE_TO_BATCH_ND", "SpaceToBatchNDOptions", {}, [[2, 3, 4, 5]], [[12, 2, 2, 5]], constants=blocks[0]),
    )
    yield (
        "batch_to_space",
        case("BATCH_TO_SPACE_ND", "BatchToSpaceNDOptions", {}, [[12, 2, 2, 5]], [[2, 3, 4, 5]], constants=blocks[1]),
    )
    yield (
        "space_to_batch_1d",
        case("SPACE_TO_BATCH_ND", "SpaceToBatchNDOptions", {}, [[1, 5, 3]], [[2, 3, 3]], constants=[[2], [[0, 1]]]),
    )
    indices = RNG.integers(0, 4, [2, 3]).astype(np.int32)
    yield (
        "gather",
        shaped(
            "GATHER",
            "GatherOptions",
            {"Axis": 1},
            [q("x", 2, 4, 5), T("i", [2, 3], "int32"), q("y", 2, 2, 3, 5)],
            [codes(2, 4, 5), indices],
        ),
    )
    yield (
        "gather_batch",
        shaped(
            "GATHER",
            "GatherOptions",
            {"Axis": 1, "BatchDims": 1},
            [q("x", 2, 4, 5), T("i", [2, 3], "int32"), q("y", 2, 3, 5)],
            [codes(2, 4, 5), indices],
        ),
    )
    pairs = RNG.integers(0, 2, [3, 2]).astype(np.int32)
    yield (
        "gather_nd",
        shaped(
            "GATHER_ND",
            "GatherNdOptions",
            {},
            [q("x", 2, 4, 5), T("i", [3, 2], "int32"), q("y", 3, 5)],
            [codes(2, 4, 5), pairs],
        ),
    )
    meeting, ones = np.array([[1], [3], [1]], np.int32), RNG.integers(0, 9, [3, 2]).astype(np.int32)
    yield (
        "scatter_nd",
        shaped(
            "SCATTER_ND",
            "ScatterNdOptions",
            {},
            [T("i", [3, 1], "int32"), T("u", [3, 2], "int32"), ints("shape", [5, 2]), T("y", [5, 2], "int32")],
            [meeting, ones],
        ),
    )
    yield (
        "one_hot",
        shaped(
            "ONE_HOT",
            "OneHotOptions",
            {"Axis": -1},
            [
                T("i", [2, 3], "int32"),
                ints("depth", 4),
                T("on", [], data=np.float32(2)),
                T("off", [], data=np.float32(-1)),
                T("y", [2, 3, 4]),
            ],
            [indices],
        ),
    )
    yield (
        "broadcast_to",
        shaped(
            "BROADCAST_TO",
            "BroadcastToOptions",
            {},
            [q("x", 3, 1), ints("shape", [2, 3, 4]), q("y", 2, 3, 4)],
            [codes(3, 1)],
        ),
    )
    yield (
        "fill",
        shaped(
            "FILL",
            "FillOptions",
            {},
            [ints("shape", [2, 3]), T("x", [], "int32"), T("y", [2, 3], "int32")],
            [np.array(7, np.int32)],
        ),
    )
    yield (
        "zeros_like",
        shaped(
            "ZEROS_LIKE",
            "ZerosLikeOptions",
            {},
            [T("x", [2, 3], "int32"), T("y", [2, 3], "int32")],
            [ones[:2].repeat(3, 1)[:, :3]],
        ),
    )
    yield (
        "broadcast_args",
        shaped(
            "BROADCAST_ARGS",
            None,
            {},
            [T("a", [2], "int32"), T("b", [3], "int32"), T("y", [3], "int32")],
            [np.array([4, 1], np.int32), np.array([2, 1, 5], np.int32)],
        ),
    )
    yield (
        "range",
        shaped("RANGE", "RangeOptions", {}, [ints("a", 3), ints("b", 12), ints("d", 4), T("y", [3], "int32")], []),
    )
    yield (
        "shape",
        shaped("SHAPE", "ShapeOptions", {"OutType": 2}, [q("x", 2, 3, 4), T("y", [3], "int32")], [codes(2, 3, 4)]),
    )
    lengths = np.array([3, 1], np.int32)
    yield (
        "reverse_sequence",
        shaped(
            "REVERSE_SEQUENCE",
            "ReverseSequenceOptions",
            {"SeqDim": 1, "BatchDim": 0},
            [T("x", [2, 4, 3]), T("n", [2], "int32"), T("y", [2, 4, 3])],
            [RNG.normal(size=(2, 4, 3)).astype(np.float32), lengths],
        ),
    )
    yield (
        "select",
        shaped(
            "SELECT",
            "SelectOptions",
            {},
            [T("c", [2], "bool"), q("a", 2, 3), q("b", 2, 3), q("y", 2, 3)],
            [np.array([True, False]), codes(2, 3), codes(2, 3)],
        ),
    )
    yield (
        "padv2",
        shaped(
            "PADV2",
            "PadV2Options",
            {},
            [q("x", 2, 3), ints("pads", [[1, 2], [0, 1]]), q("v", 1, data=np.array([9], np.int8)), q("y", 5, 4)],
            [codes(2, 3)],
        ),
    )
    yield (
        "mirror_pad_symmetric",
        case("MIRROR_PAD", "MirrorPadOptions", {"Mode": 1}, [[3, 4]], [[6, 8]], constants=[[[2, 1], [2, 2]]]),
    )
    yield "strided_new_axis", strided([5, 7], [5, 1, 4], [0, 0, 1], [5, 0, 5], [1, 1, 1], NewAxis=2)
    yield "strided_ellipsis", strided([5, 7, 4], [5, 7, 2], [0, 1], [0, 3], [1, 1], Ellipsis=1)
    numbers = [RNG.integers(0, 99, [2, 3]).astype(np.int32), RNG.integers(0, 5, [2, 3]).astype(np.int32)]
    for name, options in (("BITWISE_XOR", "BitwiseXorOptions"), ("RIGHT_SHIFT", "RightShiftOptions")):
        yield name.lower(), shaped(name, options, {}, [T(n, [2, 3], "int32") for n in "aby"], numbers)


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    found: dict[str, np.ndarray] = {}
    for name, (data, inputs) in (*cases(), *more_cases()):
        engine = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        engine.allocate_tensors()
        for detail, x in zip(engine.get_input_details(), inputs, strict=True):
            engine.set_tensor(detail["index"], x)
        engine.invoke()
        found[f"{name}.model"] = np.frombuffer(data, np.uint8)
        found.update({f"{name}.in{i}": x for i, x in enumerate(inputs)})
        outputs = [engine.get_tensor(detail["index"]) for detail in engine.get_output_details()]
        found.update({f"{name}.out{i}": y for i, y in enumerate(outputs)})
    np.savez_compressed(Path(__file__).with_name("litert_moves.npz"), **found)


if __name__ == "__main__":
    main()
