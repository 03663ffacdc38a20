"""Each kernel on NumPy arrays: the same C code that sessions and boards run, one op at a time.

Activations are NHWC, conv weights [C_out, kh, kw, C_in / groups], depthwise weights [kh, kw, C_out], linear weights
[C_out, C_in]. float32 arrays give float32. int8 arrays need their scales: `x_q` and `y_q` are (scale, zero point) of
input and result, `w_scale` one scale or one for each output channel, a bias is int32 of scale x_scale * w_scale.
float16 weights go with float16 or float32 activations and a float32 bias; the result has the dtype of `out`, `y_dtype`
or x.

Arrays are used where they lie, so they must be C-contiguous, and `out` takes the result if it is given. Kernels of the
CPU get weights in a layout of their own, which each call makes anew: a Session does that once. mode="exact" is the
arithmetic of docs/arithmetic.md, mode="fast16", for float16 weights, sums in float16. All functions raise ShapeError
for an array of a wrong shape, dtype or layout, naming the operand.

Backwards: `layer_dgrad(dy, weight, ..)` is the gradient of x, `layer_wgrad(dy, x, ..)` that of the weight, dy being the
gradient of the layer's result. Their arrays are float32 or float16, each by itself.
"""

from .forward import (
    add,
    any_ge,
    avg_pool2d,
    clip,
    conv2d,
    depthwise_conv2d,
    dequantize,
    linear,
    matmul,
    max_pool2d,
    mean,
    quantize,
    requantize,
    softmax,
)
from .gradients import (
    avg_pool2d_grad,
    bias_grad,
    clip_grad,
    conv2d_dgrad,
    conv2d_wgrad,
    depthwise_conv2d_dgrad,
    depthwise_conv2d_wgrad,
    linear_dgrad,
    linear_wgrad,
    max_pool2d_grad,
)

__all__ = [
    "add",
    "any_ge",
    "avg_pool2d",
    "avg_pool2d_grad",
    "bias_grad",
    "clip",
    "clip_grad",
    "conv2d",
    "conv2d_dgrad",
    "conv2d_wgrad",
    "depthwise_conv2d",
    "depthwise_conv2d_dgrad",
    "depthwise_conv2d_wgrad",
    "dequantize",
    "linear",
    "linear_dgrad",
    "linear_wgrad",
    "matmul",
    "max_pool2d",
    "max_pool2d_grad",
    "mean",
    "quantize",
    "requantize",
    "softmax",
]
