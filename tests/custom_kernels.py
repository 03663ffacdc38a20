"""Custom kernels for tests: C sources, and registration of the example's op."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import pyedge as pe

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "custom_op"
SMOOTH = EXAMPLE / "kernel.c"
DECLARATION = "typedef struct { float alpha; } smooth_params;"

# Two ops in one file: int8 with scratch, arrays in the params and two results; and one that takes any number of inputs.
PAIR = """
#include "pyedge_custom.h"
#include "offset.h"

typedef struct { int32_t shift[2]; uint8_t low; } split_params;

static const char *split_check(const pe_custom_call *c, uint32_t *scratch_bytes)
{
    for (int i = 0; i < 3; i++) {
        if (c->tensor[i]->dtype != PE_S8 || c->tensor[i]->bytes != c->tensor[0]->bytes || !(c->tensor[i]->scale > 0))
            return "split: int8 of one size, with scales";
    }
    *scratch_bytes = c->tensor[0]->bytes;
    return NULL;
}

static void split_run(const pe_custom_call *c)
{
    const split_params *p = c->params;
    const int8_t *x = c->data[0];
    int8_t *t = c->scratch;
    for (uint32_t i = 0; i < c->tensor[0]->bytes; i++)
        t[i] = (int8_t)(x[i] < p->low - OFFSET ? p->low - OFFSET : x[i]);
    for (int y = 0; y < 2; y++) {
        for (uint32_t i = 0; i < c->tensor[0]->bytes; i++)
            ((int8_t *)c->data[1 + y])[i] = (int8_t)(t[i] + p->shift[y]);
    }
}

/* PE_CUSTOM_OP(absent, 0, 1, 1, no, op) */
PE_CUSTOM_OP(split_low, sizeof(split_params), 1, 2, split_check, split_run)

static const char *total_check(const pe_custom_call *c, uint32_t *scratch_bytes)
{
    (void)scratch_bytes;
    for (uint32_t i = 0; i <= c->inputs; i++) {
        if (!c->tensor[i] || c->tensor[i]->dtype != PE_S32 || c->tensor[i]->bytes != c->tensor[0]->bytes)
            return "total: int32 of one size";
    }
    return c->outputs == 1 ? NULL : "total: one result";
}

static void total_run(const pe_custom_call *c)
{
    int32_t *y = c->data[c->inputs];
    for (uint32_t i = 0; i < c->tensor[0]->bytes / 4; i++) {
        uint32_t sum = 0;
        for (uint32_t k = 0; k < c->inputs; k++)
            sum += (uint32_t)((const int32_t *)c->data[k])[i];
        y[i] = (int32_t)sum;
    }
}
PE_CUSTOM_OP(total, 0, PE_CUSTOM_ANY, 1, total_check, total_run)
"""
SPLIT = "typedef struct { int32_t shift[2]; uint8_t low; } split_low_params;"


def smooth(arrays: list[Any], attrs: dict[str, Any], tensors: list[Any]) -> np.ndarray:
    """The example's op in NumPy."""
    y = arrays[0].copy()
    for t in range(1, y.shape[1]):
        y[:, t] = y[:, t - 1] + np.float32(attrs["alpha"]) * (arrays[0][:, t] - y[:, t - 1])
    return np.asarray(y)


def like_x(tensors: list[Any], attrs: dict[str, Any]) -> list[Any]:
    """A shape rule."""
    return [(tensors[0].shape, tensors[0].dtype)]


def register_smooth(**changes: Any) -> None:
    """The example's op; changes: other arguments of register_op."""
    given = {"declaration": DECLARATION, "shapes": like_x, "reference": smooth, "source": SMOOTH}
    pe.register_op("smooth", **{**given, **changes})


def register_pair(folder: Path) -> Path:
    """The two ops of PAIR, whose source is written to a folder."""
    source = folder / "pair.c"
    source.write_text(PAIR)
    (folder / "offset.h").write_text("#define OFFSET 100\n")
    pe.register_op("split_low", SPLIT, shapes=lambda t, a: like_x(t, a) * 2, reference=split_low, source=source,
                   dtypes=("int8",))  # fmt: skip
    pe.register_op("total", shapes=like_x, reference=lambda x, a, t: sum(x), source=source, dtypes=["int32"])
    return source


def split_low(arrays: list[Any], attrs: dict[str, Any], tensors: list[Any]) -> list[np.ndarray]:
    low = np.maximum(arrays[0], np.int8(attrs["low"] - 100))
    return [(low + np.int32(shift)).astype(np.int8) for shift in attrs["shift"]]


def smooth_plan(board: str = "host") -> pe.Plan:
    """A network with the example's op in its middle."""
    b = pe.GraphBuilder()
    h = b.op("smooth", b.relu(b.input("x", (2, 7, 3), "float32")), alpha=0.25)[0]
    b.output("y", b.softmax(h))
    return pe.compile(b.build(), board=board)


def pair_plan(board: str = "host") -> pe.Plan:
    """split_low and total, with scratch, in one graph."""
    b = pe.GraphBuilder()
    x, n = b.input("x", (4, 5), "int8", scale=0.5, zero_point=-3), b.input("n", (6,), "int32")
    low, high = b.op("split_low", x, outputs=2, shift=[-3, 7], low=90)
    b.output("sum", b.add(low, high, scale=1.0))
    b.output("total", b.op("total", n, n, np.arange(6, dtype=np.int32))[0])
    return pe.compile(b.build(), board=board)


def feed(plan: pe.Plan) -> list[np.ndarray]:
    """Inputs of a plan, the same each time."""
    random = np.random.default_rng(2)
    return [
        random.standard_normal(t.shape, np.float32)
        if t.dtype == "float32"
        else random.integers(-128, 128, t.shape).astype(t.dtype)
        for t in plan.inputs
    ]
