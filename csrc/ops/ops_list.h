/* One line an op kind: X(name, KIND). A firmware trimmed to one plan compiles with -DPE_TRIM_HEADER="file" that defines
 * PE_TRIM_<name> for each kind it keeps; see table.c. Each name has a `const pe_op_def pe_op_def_<name>` in its family file. */
#define PE_OPS(X)                           \
    X(branch, BRANCH)                       \
    X(copy, COPY)                           \
    X(conv2d_s8, CONV2D_S8)                 \
    X(conv2d_f32, CONV2D_F32)               \
    X(depthwise_s8, DEPTHWISE_S8)           \
    X(depthwise_f32, DEPTHWISE_F32)         \
    X(linear_s8, LINEAR_S8)                 \
    X(linear_f32, LINEAR_F32)               \
    X(add_s8, ADD_S8)                       \
    X(add_f32, ADD_F32)                     \
    X(avg_pool2d_s8, AVG_POOL2D_S8)         \
    X(avg_pool2d_f32, AVG_POOL2D_F32)       \
    X(max_pool2d_s8, MAX_POOL2D_S8)         \
    X(max_pool2d_f32, MAX_POOL2D_F32)       \
    X(mean_s8, MEAN_S8)                     \
    X(mean_f32, MEAN_F32)                   \
    X(softmax_s8, SOFTMAX_S8)               \
    X(softmax_f32, SOFTMAX_F32)             \
    X(quantize_f32_s8, QUANTIZE_F32_S8)     \
    X(dequantize_s8_f32, DEQUANTIZE_S8_F32) \
    X(requantize_s8, REQUANTIZE_S8)         \
    X(clip_s8, CLIP_S8)                     \
    X(clip_f32, CLIP_F32)                   \
    X(any_ge_s8, ANY_GE_S8)                 \
    X(any_ge_f32, ANY_GE_F32)               \
    X(conv2d_hybrid, CONV2D_HYBRID)         \
    X(depthwise_hybrid, DEPTHWISE_HYBRID)   \
    X(linear_hybrid, LINEAR_HYBRID)
