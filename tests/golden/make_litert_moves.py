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


def main() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    found: dict[str, np.ndarray] = {}
    for name, (data, inputs) in cases():
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
