/* The plan file, byte for byte (docs/plan.md). Plain structs, enums and integer constants only: the C code includes this
 * through plan.h, and Python reads it with cffi, so it is the one description of the format.
 *
 * A plan is little-endian, 64-byte aligned in memory, and executed where it lies. All offsets are from the start of the
 * section that is named, unless said otherwise. */

#define PE_PLAN_MAGIC 0x47444550 /* "PEDG" */
#define PE_PLAN_MAJOR 1
#define PE_PLAN_MINOR 2
#define PE_PLAN_MINOR_STATE 2 /* the first with states */
#define PE_MAX_RANK 6
#define PE_MAX_LOOPS 8           /* of strided_copy */
#define PE_MAX_OP_TENSORS 16     /* inputs + outputs of one op */
#define PE_MAX_ENTRIES 64        /* few, so that a branch is checked against each */
#define PE_CUSTOM_NAME 32        /* bytes of the name of a custom op, NUL included */
#define PE_MAX_EXTENT 1073741824 /* 2^30: bytes of one tensor, of the arena, of the file */
#define PE_PLAN_ALIGN 64         /* the file itself and its constants */
#define PE_ARENA_ALIGN 16        /* each tensor and scratch area in the arena; each constant tensor */
#define PE_NONE 0xFFFFFFFF       /* an absent optional input; no name */

enum pe_dtype {
    PE_F32 = 1, /* IEEE binary32 */
    PE_S8 = 2,
    PE_S32 = 3,
    PE_BOOL = 4, /* one byte, 0 or 1; any other non-zero byte reads as true */
    PE_U8 = 5,
    PE_S16 = 6,
    PE_U16 = 7,
    PE_U32 = 8,
    PE_S64 = 9,
    PE_U64 = 10,
    PE_F16 = 11, /* IEEE binary16 */
    PE_F64 = 12, /* IEEE binary64 */
    PE_BF16 = 13 /* the upper half of a binary32 */
};

/* Number formats below 8 bits and of 8-bit floats: a tensor of PE_U8 or PE_S8 holds a code in each byte, S4 and S2 their
 * values. */
enum pe_format {
    PE_FORMAT_NONE = 0, /* what the dtype says */
    PE_FORMAT_F8_E4M3FN = 1,
    PE_FORMAT_F8_E4M3FNUZ = 2,
    PE_FORMAT_F8_E5M2 = 3,
    PE_FORMAT_F8_E5M2FNUZ = 4,
    PE_FORMAT_F8_E8M0 = 5,
    PE_FORMAT_F4_E2M1 = 6,
    PE_FORMAT_S4 = 7,
    PE_FORMAT_U4 = 8,
    PE_FORMAT_S2 = 9,
    PE_FORMAT_U2 = 10
};

enum pe_tensor_kind {
    PE_TENSOR_ARENA = 1, /* offset into the arena */
    PE_TENSOR_CONST = 2, /* offset into the constants section; read-only */
    PE_TENSOR_STATE = 3  /* offset into the arena's first state_bytes, which stay from run to run */
};

enum pe_layout {
    PE_LAYOUT_CANONICAL = 0,  /* conv [C_out][kh][kw][C_in/groups], depthwise [kh][kw][C_out], linear [C_out][C_in] */
    PE_LAYOUT_MIXED_ROWS = 1, /* of conv2d_s8 and linear_s8, for Cortex-M with DSP: docs/plan.md, "Mixed rows" */
    PE_LAYOUT_INTERLEAVED_ROWS = 2 /* of linear_s8, for 32-bit RISC-V: docs/plan.md, "Interleaved rows" */
};

/* How sums are rounded (docs/arithmetic.md, "requantize" and "float16"); the first four: an int32 sum to an int8. */
enum pe_rounding {
    PE_ROUND_TFLITE = 0,     /* twice: saturating doubling high multiply, then a rounding shift, half away from zero */
    PE_ROUND_LITERT_REF = 1, /* linear only: double product, half away from zero */
    PE_ROUND_FP32 = 2,       /* float product, half to even, as ONNX Runtime and XNNPACK; kinds of their own */
    PE_ROUND_S64 = 3,        /* int16 only: a 64-bit sum times 15 bits, shifted once, half up */
    PE_ROUND_EXACT = 4,      /* float16 only: sums in float32 */
    PE_ROUND_FAST16 = 5      /* float16 only: sums of 32 products in float16, their sum in float32 */
};

/* clang-format off */
enum pe_op_kind {
    PE_OP_BRANCH = 1,             /* [predicate]                       -> */
    PE_OP_COPY = 2,               /* x                                 -> y, same bytes; reshape, identity */
    PE_OP_CONV2D_S8 = 3,          /* x[N,H,W,C] w[Co,kh,kw,C/g] q[Co,3] -> y[N,Ho,Wo,Co] */
    PE_OP_CONV2D_F32 = 4,         /* x w [bias[Co]]                    -> y */
    PE_OP_DEPTHWISE_S8 = 5,       /* x[N,H,W,C] w[kh,kw,Co] q[Co,3]    -> y[N,Ho,Wo,Co], Co = C * multiplier */
    PE_OP_DEPTHWISE_F32 = 6,      /* x w [bias[Co]]                    -> y */
    PE_OP_LINEAR_S8 = 7,          /* x[M,K] w[N,K] q[N,3]              -> y[M,N] */
    PE_OP_LINEAR_F32 = 8,         /* x w [bias[N]]                     -> y */
    PE_OP_ADD_S8 = 9,             /* a b, NumPy broadcasting           -> y */
    PE_OP_ADD_F32 = 10,
    PE_OP_AVG_POOL2D_S8 = 11,     /* x[N,H,W,C]                        -> y[N,Ho,Wo,C], padding not counted */
    PE_OP_AVG_POOL2D_F32 = 12,
    PE_OP_MAX_POOL2D_S8 = 13,
    PE_OP_MAX_POOL2D_F32 = 14,
    PE_OP_MEAN_S8 = 15,           /* x, any rank                       -> y, the reduced axes are 1 in y's padded shape */
    PE_OP_MEAN_F32 = 16,
    PE_OP_SOFTMAX_S8 = 17,        /* x[..., C]                         -> y, over the last axis */
    PE_OP_SOFTMAX_F32 = 18,
    PE_OP_QUANTIZE_F32_S8 = 19,   /* x f32                             -> y int8 */
    PE_OP_DEQUANTIZE_S8_F32 = 20, /* x int8                            -> y f32 */
    PE_OP_REQUANTIZE_S8 = 21,     /* x int8                            -> y int8 of another scale and zero point */
    PE_OP_CLIP_S8 = 22,           /* x                                 -> y, same scale */
    PE_OP_CLIP_F32 = 23,
    PE_OP_ANY_GE_S8 = 24,         /* x                                 -> bool[1]: some x >= threshold */
    PE_OP_ANY_GE_F32 = 25,
    PE_OP_UNARY_F32 = 30,         /* x                                 -> y, or bool; pe_function up to 39 */
    PE_OP_EXPONENTIAL_F32 = 31,   /* x                                 -> y; 40 to 69 */
    PE_OP_TRIGONOMETRIC_F32 = 32, /* x                                 -> y; 70 to 79 */
    PE_OP_BINARY_F32 = 33,        /* a b, NumPy broadcasting           -> y, or bool; 80 to 109 */
    PE_OP_POWER_F32 = 34,         /* a b                               -> y; 110 and more */
    PE_OP_UNARY_ANY = 35,         /* the same for every dtype */
    PE_OP_BINARY_ANY = 36,
    PE_OP_WHERE = 37,        /* condition a b, NumPy broadcasting -> y, any dtype */
    PE_OP_CAST = 38,         /* x                                 -> y of another dtype or pe_format */
    PE_OP_LOOKUP = 39,       /* x table[256], all of one byte     -> y = table[x], x as unsigned */
    PE_OP_BINARY_S8 = 40,    /* a b, NumPy broadcasting           -> y int8 or bool, as TFLite */
    PE_OP_QUANTIZE_ANY = 41, /* x scale [zero point]              -> y, by axis or block */
    PE_OP_DEQUANTIZE_ANY = 42,
    PE_OP_STRIDED_COPY = 50,      /* x                                 -> y; what the loops don't reach stays */
    PE_OP_GATHER = 51,            /* x indices                         -> y */
    PE_OP_SCATTER = 52,           /* indices updates                   -> y; the rest of y stays */
    PE_OP_SCATTER_ANY = 53,       /* as scatter, joined with what is there */
    PE_OP_RESAMPLE_F32 = 54,      /* x index[m,taps] weight[m,taps]    -> y, axis of length m */
    PE_OP_RESAMPLE_S8 = 55,       /* the same in integers: x and y int8 or int32, weight int32 */
    PE_OP_REDUCE_F32 = 56,        /* x, any rank                       -> y, the reduced axes are 1 or left out */
    PE_OP_REDUCE_ANY = 57,        /* every dtype */
    PE_OP_REDUCE_ORDER = 58,      /* largest or smallest element, every dtype */
    PE_OP_ARG = 59,               /* x                                 -> y int32 or int64: where it is */
    PE_OP_TOPK = 60,              /* x                                 -> values, indices int32 or int64 */
    PE_OP_CUMSUM_F32 = 61,        /* x axis                            -> y */
    PE_OP_CUMSUM_ANY = 62,
    PE_OP_TRILU = 63,             /* x k                               -> y */
    PE_OP_REVERSE_SEQUENCE = 64,  /* x lengths                         -> y */
    PE_OP_REDUCE_MATH_F32 = 65,   /* norms and logarithms of sums */
    PE_OP_REDUCE_MATH_ANY = 66,
    PE_OP_MATMUL_F32 = 80,          /* a[..,M,K] b[..,K,N]             -> y[..,M,N] */
    PE_OP_MATMUL_S8 = 81,
    PE_OP_CONTRACT_ANY = 82,        /* 1 .. 3 operands                 -> y: Einstein sums of any dtype */
    PE_OP_MATMUL_INTEGER = 83,      /* a b [a_zero] [b_zero]           -> y int32 */
    PE_OP_QLINEAR_MATMUL = 84,      /* a scale zero b scale zero y's scale zero -> y int8 or uint8 */
    PE_OP_CONV_ND_F32 = 85,         /* x[N,D..,C] w[Co,k..,C/g] [bias] -> y[N,O..,Co], 1 to 4 axes */
    PE_OP_CONV_INTEGER = 86,        /* x w [x_zero] [w_zero]           -> y int32 */
    PE_OP_QLINEAR_CONV = 87,        /* x scale zero w scale zero y's scale zero [bias] -> y int8 or uint8 */
    PE_OP_CONV_TRANSPOSE_F32 = 88,  /* x w [bias]                      -> y */
    PE_OP_CONV_TRANSPOSE_S8 = 89,   /* x w q[Co,3]                     -> y */
    PE_OP_AVG_POOL_ND = 90,         /* x[N,D..,C]                      -> y[N,O..,C], 1 to 4 axes */
    PE_OP_LP_POOL_ND = 91,          /* the norm of exponent p of a window */
    PE_OP_MAX_POOL_ND = 92,
    PE_OP_MAX_POOL_INDICES_ND = 93, /* x                               -> y indices int64 */
    PE_OP_MAX_UNPOOL = 94,          /* x indices                       -> y */
    PE_OP_SOFTMAX_AXIS = 95,        /* x                               -> y, over any axis */
    PE_OP_LOG_SOFTMAX_AXIS = 96,
    PE_OP_HARDMAX_AXIS = 97,
    PE_OP_RNN_F32 = 98,             /* x[T,B,I] w r [bias] [lengths] [h0] -> y[T,D,B,H] h[D,B,H] */
    PE_OP_GRU_F32 = 99,
    PE_OP_LSTM_F32 = 100,           /* .. [c0] [peepholes]             -> y h c */
    PE_OP_CONV2D_S8_FP32 = 101,     /* as conv2d_s8, PE_ROUND_FP32 */
    PE_OP_DEPTHWISE_S8_FP32 = 102,
    PE_OP_LINEAR_S8_FP32 = 103,
    PE_OP_DEFORM_CONV_F32 = 104,    /* x w offset [bias] [mask]          -> y */
    PE_OP_CONV2D_HYBRID = 110,    /* x f32, w s8, scale[Co], [bias[Co]] -> y f32: x becomes int8 at run time */
    PE_OP_DEPTHWISE_HYBRID = 111,
    PE_OP_LINEAR_HYBRID = 112,
    PE_OP_SHIFT_CODES = 113,      /* x uint8 or int8                   -> y int8 or uint8: the same values */
    PE_OP_CONV2D_S8_ZERO_POINT = 114, /* as conv2d_s8, w has a zero point and q the plain bias */
    PE_OP_DEPTHWISE_S8_ZERO_POINT = 115,
    PE_OP_LINEAR_S8_ZERO_POINT = 116,
    PE_OP_AVG_UP_POOL2D_S8 = 117, /* as avg_pool2d_s8, halves up: of uint8 codes less 128 */
    PE_OP_LSTM_SEQUENCE_F32 = 130, /* x[B,T,I] w[4,H,I] r[4,H,H] bias h[B,H] c[B,H] -> y[B,T,H] h c */
    PE_OP_LSTM_SEQUENCE_S8 = 131,  /* c int16 */
    PE_OP_SVDF_F32 = 132,          /* x[B,I] feature[F,I] time[F,M] [bias[U]] state[B,F*M] -> y[B,U] state */
    PE_OP_SVDF_S8 = 133,           /* time and state int8 or int16 */
    PE_OP_LSTM_SEQUENCE_S16 = 134, /* x and h int16, w and r int8, bias int64[4,H] */
    PE_OP_CONV2D_S16 = 150,       /* x int16, w int8, q[Co,4]          -> y int16; linear too */
    PE_OP_DEPTHWISE_S16 = 151,
    PE_OP_CONV_TRANSPOSE_S16 = 152,
    PE_OP_MATMUL_S16 = 153,
    PE_OP_BINARY_S16 = 154,       /* a b, NumPy broadcasting           -> y int16 or bool, as TFLite */
    PE_OP_AVG_POOL2D_S16 = 155,
    PE_OP_MAX_POOL2D_S16 = 156,
    PE_OP_MEAN_S16 = 157,
    PE_OP_SOFTMAX_S16 = 158,      /* x exp[513] reciprocal[513]        -> y, over the last axis */
    PE_OP_SIGMOID_S16 = 159,      /* x                                 -> y: sigmoid or tanh */
    PE_OP_LOOKUP_S16 = 160,       /* x table[513]                      -> y: any function, linear between the points */
    PE_OP_RESCALE = 161,          /* x int8, int16 or int32            -> y of these, of another scale */
    PE_OP_QUANTIZE_F32_S16 = 162,
    PE_OP_DEQUANTIZE_S16_F32 = 163,
    PE_OP_ADD_N_S8 = 170,            /* x ..., s8 of one scale and shape -> y s8 */
    PE_OP_CUMSUM_S8 = 171,           /* x s8, axis                       -> y s8 */
    PE_OP_L2_NORM_S8 = 172,          /* x s8                             -> y s8, over the last axis; scale 1/128, zero point 0 */
    PE_OP_LOG_SOFTMAX_S8 = 173,      /* x s8                             -> y s8, over the last axis; scale 1/16, zero point 127 */
    PE_OP_MULTICLASS_NMS_F32 = 174,  /* boxes[n,4] scores[n,c] -> boxes[d,4], classes[d], scores[d], how many; all f32 */
    PE_OP_SIGNAL_WINDOW = 190,       /* x[..,n] weights[n], s16          -> y s16 */
    PE_OP_SIGNAL_AUTO_SCALE = 191,   /* x s16                            -> y s16, bits[1] s32 */
    PE_OP_SIGNAL_RFFT_S16 = 192,     /* x[..,k] table[3n/4,2], k <= n     -> y[..,n+2] */
    PE_OP_SIGNAL_RFFT_S32 = 193,
    PE_OP_SIGNAL_RFFT_F32 = 194,
    PE_OP_SIGNAL_IRFFT_S16 = 195,    /* x[..,n+2] table[3n/4,2]           -> y[..,n] */
    PE_OP_SIGNAL_IRFFT_S32 = 196,
    PE_OP_SIGNAL_IRFFT_F32 = 197,
    PE_OP_SIGNAL_ENERGY = 198,       /* x[2n] s16                        -> y[n] u32 */
    PE_OP_SIGNAL_FILTER_BANK = 199,  /* x[n] u32, weights[w] unweights[w] starts[c+1] weight_starts[c+1] widths[c+1] s16 -> y[c] u64 */
    PE_OP_SIGNAL_SQUARE_ROOT = 200,  /* x u64, bits[1] s32               -> y u32 */
    PE_OP_SIGNAL_SPECTRAL_SUBTRACTION = 201, /* x noise, u32              -> y noise */
    PE_OP_SIGNAL_PCAN = 202,         /* x noise u32, gains[125] s16      -> y u32 */
    PE_OP_SIGNAL_LOG = 203,          /* x u32                            -> y s16 */
    PE_OP_SIGNAL_OVERLAP_ADD = 204,   /* x[..,n,size] buffer[..,size]     -> y[..,n*step] buffer; s16 or f32 */
    PE_OP_SIGNAL_FILTER_BANK_F32 = 205, /* x weights unweights f32, starts weight_starts widths s16 -> y[c] f32 */
    PE_OP_SIGNAL_CODES = 206, /* x s16                             -> y s8 */
    PE_OP_CUSTOM = 210,              /* any tensors: a kernel of the user's own (pyedge_custom.h) */
    PE_OP_LINEAR_F16 = 220,          /* as the _f32 kinds: w float16, x and y float16 or float32, bias float32 */
    PE_OP_CONV2D_F16 = 221,
    PE_OP_DEPTHWISE_F16 = 222,
    PE_OP_LINEAR_DGRAD_F32 = 230,    /* dy[M,N] w[N,K]                    -> dx[M,K] */
    PE_OP_LINEAR_WGRAD_F32 = 231,    /* dy x[M,K]                         -> dw[N,K] */
    PE_OP_CONV2D_DGRAD_F32 = 232,    /* dy[N,Ho,Wo,Co] w[Co,kh,kw,C/g]    -> dx[N,H,W,C] */
    PE_OP_CONV2D_WGRAD_F32 = 233,    /* dy x[N,H,W,C]                     -> dw[Co,kh,kw,C/g] */
    PE_OP_DEPTHWISE_DGRAD_F32 = 234, /* dy[N,Ho,Wo,Co] w[kh,kw,Co]        -> dx[N,H,W,C] */
    PE_OP_DEPTHWISE_WGRAD_F32 = 235, /* dy x[N,H,W,C]                     -> dw[kh,kw,Co] */
    PE_OP_LINEAR_DGRAD_F16 = 236,    /* as the _f32 kinds; each tensor float16 or float32 */
    PE_OP_LINEAR_WGRAD_F16 = 237,
    PE_OP_CONV2D_DGRAD_F16 = 238,
    PE_OP_CONV2D_WGRAD_F16 = 239,
    PE_OP_DEPTHWISE_DGRAD_F16 = 240,
    PE_OP_DEPTHWISE_WGRAD_F16 = 241,
    PE_OP_BIAS_GRAD = 242,           /* dy[..,C] [before[C]]              -> db[C]; float32 or float16, as the next */
    PE_OP_CLIP_GRAD = 243,           /* dy y                              -> dx: dy where min < y < max, else 0 */
    PE_OP_MAX_POOL_GRAD = 244,       /* dy[N,O..,C] x[N,D..,C]            -> dx, 1 to 4 axes */
    PE_OP_AVG_POOL_GRAD = 245,       /* dy                                -> dx */
    PE_OP_ADD_F16 = 246,             /* as the _f32 kinds; all float16 */
    PE_OP_AVG_POOL2D_F16 = 247,
    PE_OP_MAX_POOL2D_F16 = 248,
    PE_OP_MEAN_F16 = 249,
    PE_OP_CLIP_MASK = 250,        /* y float32 or float16              -> u8: a bit an element, min < y < max */
    PE_OP_MASK_GRAD = 251,        /* dy, bits u8                       -> dx: dy where the bit is set, else 0 */
    PE_OP_SGD_UPDATE = 260,       /* w g lr factor step, elements start .. of w -> w */
    PE_OP_MOMENTUM_UPDATE = 261,  /* .. m                              -> w m */
    PE_OP_ADAM_UPDATE = 262,      /* .. m v                            -> w m v */
    PE_OP_GRADIENT_NOISE = 263,   /* g factor sigma step               -> y */
    PE_OP_SUM_SQUARES = 264       /* x [before]                        -> float32[1] */
};
/* clang-format on */

/* What an elementwise op computes; docs/arithmetic.md. alpha, beta: of pe_function_params. */
enum pe_function {
    PE_FN_ABS = 1,
    PE_FN_NEG = 2,
    PE_FN_FLOOR = 3,
    PE_FN_CEIL = 4,
    PE_FN_ROUND = 5, /* halves to even */
    PE_FN_SIGN = 6,
    PE_FN_SQRT = 7,
    PE_FN_RSQRT = 8,
    PE_FN_RECIPROCAL = 9,
    PE_FN_SQUARE = 10,
    PE_FN_NOT = 11,
    PE_FN_BITWISE_NOT = 12,
    PE_FN_IS_NAN = 13,
    PE_FN_IS_INF = 14, /* alpha: 1 if -inf counts; beta: +inf */
    PE_FN_LEAKY_RELU = 15,
    PE_FN_THRESHOLDED_RELU = 16, /* x where x > alpha, else 0 */
    PE_FN_HARD_SIGMOID = 17,     /* alpha * x + beta within 0 .. 1 */
    PE_FN_HARD_SWISH = 18,       /* x * hard_sigmoid(x) */
    PE_FN_SOFTSIGN = 19,
    PE_FN_EXP = 40,
    PE_FN_LOG = 41,
    PE_FN_SINH = 42,
    PE_FN_COSH = 43,
    PE_FN_TANH = 44,
    PE_FN_ASINH = 45,
    PE_FN_ACOSH = 46,
    PE_FN_ATANH = 47,
    PE_FN_ERF = 48,
    PE_FN_SIGMOID = 49,
    PE_FN_SOFTPLUS = 50,
    PE_FN_ELU = 51,
    PE_FN_SELU = 52, /* alpha, beta: gamma */
    PE_FN_CELU = 53,
    PE_FN_MISH = 54,
    PE_FN_GELU = 55,      /* by erf */
    PE_FN_GELU_TANH = 56, /* its approximation by tanh */
    PE_FN_SWISH = 57,     /* x * sigmoid(alpha * x) */
    PE_FN_SIN = 70,
    PE_FN_COS = 71,
    PE_FN_TAN = 72,
    PE_FN_ASIN = 73,
    PE_FN_ACOS = 74,
    PE_FN_ATAN = 75,
    PE_FN_ADD = 80,
    PE_FN_SUB = 81,
    PE_FN_MUL = 82,
    PE_FN_DIV = 83, /* integers: towards zero */
    PE_FN_MIN = 84,
    PE_FN_MAX = 85,
    PE_FN_PRELU = 86, /* a, or a * b where a < 0 */
    PE_FN_SQUARED_DIFFERENCE = 87,
    PE_FN_FLOOR_DIV = 88,
    PE_FN_MOD = 89,  /* with the sign of b */
    PE_FN_FMOD = 90, /* with the sign of a */
    PE_FN_AND = 91,
    PE_FN_OR = 92,
    PE_FN_XOR = 93,
    PE_FN_BITWISE_AND = 94,
    PE_FN_BITWISE_OR = 95,
    PE_FN_BITWISE_XOR = 96,
    PE_FN_SHIFT_LEFT = 97,
    PE_FN_SHIFT_RIGHT = 98,
    PE_FN_EQUAL = 100, /* from here to 105 the result is bool */
    PE_FN_NOT_EQUAL = 101,
    PE_FN_LESS = 102,
    PE_FN_LESS_EQUAL = 103,
    PE_FN_GREATER = 104,
    PE_FN_GREATER_EQUAL = 105,
    PE_FN_POW = 110,
    PE_FN_ATAN2 = 111
};

/* reduce_f32, reduce_any; scatter_any takes sum to min, reduce_order max and min. */
enum pe_reduction {
    PE_REDUCE_SUM = 0,
    PE_REDUCE_PROD = 1,
    PE_REDUCE_MAX = 2,
    PE_REDUCE_MIN = 3,
    PE_REDUCE_MEAN = 4,
    PE_REDUCE_SUM_ABS = 5,
    PE_REDUCE_SUM_SQUARE = 6,
    PE_REDUCE_L2 = 7, /* these three: reduce_math_f32 */
    PE_REDUCE_LOG_SUM = 8,
    PE_REDUCE_LOG_SUM_EXP = 9
};

typedef struct pe_section {
    uint32_t offset; /* from the start of the file; multiple of 4 */
    uint32_t bytes;
} pe_section;

typedef struct pe_plan_header {
    uint32_t magic;
    uint16_t major; /* a reader refuses another major */
    uint16_t minor; /* of the oldest version with all fields in use; a reader refuses what it does not know */
    uint32_t file_bytes;
    uint32_t crc32;         /* IEEE, of bytes 16 .. file_bytes */
    uint32_t layout;        /* pe_layout that constants may have beside the canonical one */
    uint32_t arena_bytes;   /* all that the caller provides: activations and scratch */
    uint32_t scratch_bytes; /* largest scratch of one op, contained in arena_bytes */
    uint32_t state_bytes;   /* start of the arena that only states use; not 0: an entry "reset" sets them */
    pe_section tensors;     /* pe_tensor[] */
    pe_section ops;         /* pe_op[] */
    pe_section entries;     /* pe_entry[] */
    pe_section index;       /* uint32_t[]: tensor numbers, shared by ops and entries */
    pe_section params;      /* pe_*_params of the ops */
    pe_section strings;     /* NUL-terminated UTF-8; the last byte is NUL */
    pe_section meta;        /* UTF-8 JSON: producer, source, licence; not read by the executor */
    pe_section signature;   /* optional, 0 bytes when absent */
    pe_section consts;      /* offset is a multiple of 64 */
} pe_plan_header;

typedef struct pe_tensor {
    uint32_t name;   /* in strings; of the records of a state one has a name, the others see it in another shape */
    uint8_t dtype;   /* pe_dtype */
    uint8_t kind;    /* pe_tensor_kind */
    uint8_t rank;    /* 0 .. PE_MAX_RANK */
    uint8_t layout;  /* pe_layout: 0, or of a constant the header's */
    int32_t dims[6]; /* >= 1; unused ones are 1 */
    uint32_t offset; /* multiple of 16, into the arena or the constants */
    uint32_t bytes;  /* product of dims times the size of dtype */
    float scale;     /* of an int8 tensor, for whoever feeds and reads it; kernels use params. 0: none */
    int32_t zero_point;
} pe_tensor;

typedef struct pe_op {
    uint16_t kind; /* pe_op_kind */
    uint8_t inputs;
    uint8_t outputs;
    uint32_t tensors;        /* first of inputs + outputs elements of index; PE_NONE marks an absent input */
    uint32_t params;         /* in params; multiple of 4 */
    uint32_t params_bytes;   /* size of the kind's params struct */
    uint32_t scratch_offset; /* in the arena; multiple of 16 */
    uint32_t scratch_bytes;
    uint32_t name;      /* in strings: the op's name in the model */
    uint32_t kind_name; /* in strings, so that a reader can refuse an unknown kind by name */
} pe_op;

typedef struct pe_entry {
    uint32_t name; /* in strings */
    uint32_t first_op;
    uint32_t op_count;
    uint32_t inputs; /* first element of index */
    uint32_t input_count;
    uint32_t outputs;
    uint32_t output_count;
} pe_entry;

/* One output channel of a quantized conv, depthwise or linear op: a row of the int32 constant q[C_out][3].
 * bias has -zero_point(x) * sum(w) folded in (padding is zero_point(x), so the fold is exact modulo 2^32).
 * ROUND_TFLITE: a = multiplier, Q31 as int32 in [2^30, 2^31); b = shift, > 0 right, < 0 left; taken & 31 after the sign test.
 * ROUND_LITERT_REF: a, b = low and high word of the double scale. ROUND_FP32: a = the bits of the float32 factor; b = 0. */
typedef struct pe_channel {
    int32_t bias;
    int32_t a;
    int32_t b;
} pe_channel;

/* The same of an int16 layer, q[C_out][4]; the bias has 64 bits, its lower half first. PE_ROUND_S64: a = 15 bits of the
 * multiplier, b = 0 .. 63, so that the factor is a / 2^b. */
typedef struct pe_channel_s16 {
    int32_t bias_low, bias_high;
    int32_t a, b;
} pe_channel_s16;

/* Jump to op `target` of the plan if the predicate's first byte, read as bool, equals `when`; without input always.
 * target is after this op and at most the end of the entry, so every entry ends. */
typedef struct pe_branch_params {
    uint32_t target;
    uint32_t when;
} pe_branch_params;

/* conv2d, depthwise (groups = 0), both types. The shape of y gives the number of windows; padding at the bottom and right
 * is what the windows need. For int8 x's padding value is its zero point. */
typedef struct pe_conv2d_params {
    int32_t stride_h, stride_w; /* 1 .. 32767, as are the next two */
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left; /* 0 .. 32767 */
    int32_t groups;
    int32_t rounding; /* pe_rounding; int8 and float16 */
    int32_t x_zero_point, y_zero_point;
    int32_t y_min, y_max; /* int8 clamp, after the zero point */
    float f_min, f_max;   /* float clamp; -inf, +inf for none */
} pe_conv2d_params;

typedef struct pe_linear_params {
    int32_t rounding;
    int32_t y_zero_point;
    int32_t y_min, y_max;
    float f_min, f_max;
} pe_linear_params;

/* y = clamp(zy + requant(requant((a - za) << left_shift, ma, sa) + requant((b - zb) << left_shift, mb, sb), my, sy)) */
typedef struct pe_add_params {
    int32_t a_zero_point, b_zero_point, y_zero_point;
    int32_t left_shift;
    int32_t a_multiplier, a_shift; /* shift: > 0 right, < 0 left */
    int32_t b_multiplier, b_shift;
    int32_t y_multiplier, y_shift;
    int32_t y_min, y_max;
    float f_min, f_max;
} pe_add_params;

typedef struct pe_pool2d_params {
    int32_t kernel_h, kernel_w;
    int32_t stride_h, stride_w;
    int32_t pad_top, pad_left;
    int32_t y_min, y_max;
    float f_min, f_max;
} pe_pool2d_params;

typedef struct pe_mean_params {
    uint32_t axes; /* bit i: axis i of x is reduced */
    int32_t x_zero_point, y_zero_point;
    int32_t multiplier, shift; /* of s_x / s_y / count, > 0 right, < 0 left: docs/arithmetic.md, "mean" */
} pe_mean_params;

typedef struct pe_softmax_params {
    int32_t multiplier, shift; /* int8: of min(beta * s_x * 2^26, 2^31 - 1); shift <= 0, left, as everywhere */
    int32_t diff_min;          /* int8: differences to the row's maximum below it give 0; <= 0 */
    float beta;                /* float */
} pe_softmax_params;

/* quantize: scale, y_zero_point, y_min, y_max. dequantize: scale, x_zero_point. requantize: all but scale. */
typedef struct pe_quantize_params {
    float scale; /* > 0, finite */
    int32_t x_zero_point, y_zero_point;
    int32_t multiplier, shift; /* of s_x / s_y, > 0 right, < 0 left */
    int32_t y_min, y_max;
} pe_quantize_params;

typedef struct pe_clip_params {
    int32_t y_min, y_max;
    float f_min, f_max;
} pe_clip_params;

typedef struct pe_any_ge_params {
    int32_t threshold; /* int8: in steps of x */
    float f_threshold;
} pe_any_ge_params;

/* unary_f32 .. binary_any */
typedef struct pe_function_params {
    uint32_t function; /* pe_function */
    float alpha, beta; /* where the function has them */
} pe_function_params;

/* sub: as pe_add_params. mul: y of (a - za)(b - zb). squared_difference: as sub, squared before the last step. prelu: a of
 * values >= 0, b of the rest times (b - zb). Comparisons: a and b. min, max: none, the codes have one scale. */
typedef struct pe_binary_s8_params {
    uint32_t function; /* pe_function */
    int32_t a_zero_point, b_zero_point, y_zero_point;
    int32_t left_shift;
    int32_t a_multiplier, a_shift; /* shift: > 0 right, < 0 left */
    int32_t b_multiplier, b_shift;
    int32_t y_multiplier, y_shift;
    int32_t y_min, y_max;
} pe_binary_s8_params;

/* y = clamp(zy + requantize(x - zx)), with a factor of its own for x - zx < 0 */
typedef struct pe_rescale_params {
    int32_t x_zero_point, y_zero_point;
    int32_t multiplier, shift; /* > 0 right, < 0 left */
    int32_t negative_multiplier, negative_shift;
    int32_t y_min, y_max; /* within y's dtype */
    int32_t absolute;     /* not 0: of |x - zx| */
} pe_rescale_params;

typedef struct pe_sigmoid_s16_params {
    uint32_t function;         /* PE_FN_SIGMOID or PE_FN_TANH */
    int32_t multiplier, shift; /* x * multiplier / 2^shift is in steps of 1 / 12288; 0 .. 32767, 0 .. 30 */
} pe_sigmoid_s16_params;

typedef struct pe_cast_params {
    uint32_t x_format, y_format; /* pe_format; 0: what the dtype says */
    uint32_t saturate;           /* to 8-bit floats: 1: the largest number, 0: infinity or NaN */
    uint32_t rounding;           /* to E8M0: 0 up, 1 down, 2 to the nearest */
} pe_cast_params;

/* quantize_any: y = x / scale + zero point; dequantize_any: y = (x - zero point) * scale. x is [outer][axis][inner], the
 * scale [outer][axis / block][inner] with block > 0, else [axis]. */
typedef struct pe_scales_params {
    uint32_t format;             /* pe_format of the codes; 0: their dtype */
    uint32_t outer, axis, inner; /* outer * axis * inner elements */
    uint32_t block;              /* 0: one scale for each slice of the axis, or one in all */
    uint32_t saturate;           /* as in pe_cast_params */
} pe_scales_params;

/* y[y_start + sum of i_k * y_stride[k]] = x[x_start + sum of i_k * x_stride[k]] for all 0 <= i_k < n[k]; in elements. The
 * last loop is the innermost. */
typedef struct pe_strided_copy_params {
    uint32_t rank; /* loops, 0 .. PE_MAX_LOOPS */
    int32_t x_start, y_start;
    int32_t n[8], x_stride[8], y_stride[8]; /* of loops in use n >= 1 */
} pe_strided_copy_params;

/* gather, scatter, scatter_any. For all 0 <= i_k < n[k], the last loop innermost, the next run of `inner` elements goes
 * with the run of the table (x of gather, y of scatter) that starts at
 *     sum of i_k * table_stride[k] + sum of v_c * stride[c],  v_c = indices[c + sum of i_k * index_stride[k]],
 * a negative v_c counted from size[c], then clamped to 0 .. size[c] - 1. In elements. */
typedef struct pe_index_params {
    uint32_t rank;                                  /* 0 .. PE_MAX_RANK */
    int32_t n[6], table_stride[6], index_stride[6]; /* >= 1, >= 0, >= 0 */
    uint32_t components;                            /* 1 .. PE_MAX_RANK */
    int32_t size[6], stride[6];                     /* >= 1, >= 0 */
    uint32_t inner;                                 /* >= 1 */
    uint32_t skip;                                  /* not 0: a run with an index outside is left out, not clamped */
    uint32_t spread;                                /* scatter: not 0: there is one run of updates, for all places */
    uint32_t reduction;                             /* scatter_any: pe_reduction */
} pe_index_params;

/* y[.., j, ..] = sum over t of weight[j][t] * x[.., index[j][t], ..] along one axis. */
typedef struct pe_resample_params {
    uint32_t axis;
    uint32_t shift; /* resample_s8, y int8: the sum is divided by 2^shift, halves away from zero; 0 .. 30 */
} pe_resample_params;

typedef struct pe_reduce_params {
    uint32_t axes;      /* bit i: axis i of x is reduced */
    uint32_t reduction; /* pe_reduction */
} pe_reduce_params;

/* arg: k is 1. topk: k results along the axis. */
typedef struct pe_order_params {
    uint32_t axis;
    uint32_t smallest; /* not 0: the smallest come first, else the largest */
    uint32_t last;     /* arg: not 0: of equal ones the last, else the first */
    uint32_t by_index; /* topk: not 0: the results stand in the order of x, else by value */
} pe_order_params;

typedef struct pe_cumsum_params {
    uint32_t exclusive; /* not 0: an element is not part of its own sum */
    uint32_t reverse;   /* not 0: from the end */
} pe_cumsum_params;

/* Keeps the triangle of the last two axes below (lower) or above (upper) diagonal k; the rest becomes 0. */
typedef struct pe_trilu_params {
    uint32_t upper;
} pe_trilu_params;

/* y is x with the first lengths[b] elements of the time axis reversed, for each b along the batch axis. */
typedef struct pe_reverse_sequence_params {
    uint32_t batch_axis, time_axis; /* 0 and 1, or 1 and 0 */
} pe_reverse_sequence_params;

typedef struct pe_matmul_params {
    int32_t transpose_a, transpose_b; /* not 0: a is [.., K, M], b is [.., N, K] */
    float f_min, f_max;
} pe_matmul_params;

/* y = clamp(zy + requantize(sum of (a - za) * (b - zb), multiplier, shift)) */
typedef struct pe_matmul_s8_params {
    int32_t transpose_a, transpose_b;
    int32_t a_zero_point, b_zero_point, y_zero_point;
    int32_t multiplier, shift; /* of s_a * s_b / s_y */
    int32_t y_min, y_max;
} pe_matmul_s8_params;

#define PE_CONTRACT_LOOPS 10
#define PE_CONTRACT_OPERANDS 3

/* The first `outer` loops walk y, in order; the others are summed over. */
typedef struct pe_contract_params {
    int32_t outer, loops;
    int32_t size[10];
    int32_t stride[30]; /* elements: [operand][loop]; 0: the same element again */
} pe_contract_params;

/* Convolutions over 1 .. 4 axes; the shapes of w and y give kernel and windows. */
typedef struct pe_conv_nd_params {
    int32_t axes;
    int32_t stride[4], dilation[4]; /* 1 .. 32767 */
    int32_t pad[4];                 /* before each axis, 0 .. 32767; conv_transpose: cut off from the result */
    int32_t groups;
    int32_t x_zero_point, y_zero_point; /* conv_transpose_s8 */
    int32_t y_min, y_max;
    float f_min, f_max;
} pe_conv_nd_params;

typedef struct pe_deform_conv_params {
    int32_t stride_h, stride_w; /* 1 .. 32767, as are the next two */
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t groups;
    int32_t offset_groups; /* of channels with offsets of their own */
} pe_deform_conv_params;

typedef struct pe_pool_nd_params {
    int32_t axes;
    int32_t kernel[4], stride[4], dilation[4]; /* 1 .. 32767 */
    int32_t pad[4], pad_after[4];              /* 0 .. 32767 */
    int32_t count_include_pad;                 /* avg: padding counts as zeros; what lies behind it never does */
    int32_t exponent;                          /* lp: p, 1 .. 64; avg: 0 */
    int32_t column_major;                      /* indices: the first axis is the fastest */
} pe_pool_nd_params;

typedef struct pe_axis_params {
    int32_t axis; /* 0 .. rank - 1 */
} pe_axis_params;

enum pe_rnn_direction { PE_RNN_FORWARD = 0, PE_RNN_REVERSE = 1, PE_RNN_BIDIRECTIONAL = 2 };

enum pe_rnn_activation {
    PE_RNN_SIGMOID = 0,
    PE_RNN_TANH = 1,
    PE_RNN_RELU = 2,
    PE_RNN_AFFINE = 3,           /* alpha * x + beta */
    PE_RNN_LEAKY_RELU = 4,       /* x < 0: alpha * x */
    PE_RNN_THRESHOLDED_RELU = 5, /* x where x > alpha, else 0 */
    PE_RNN_SCALED_TANH = 6,      /* alpha * tanh(beta * x) */
    PE_RNN_HARD_SIGMOID = 7,     /* alpha * x + beta within 0 .. 1 */
    PE_RNN_ELU = 8,              /* x < 0: alpha * (e^x - 1) */
    PE_RNN_SOFTSIGN = 9,
    PE_RNN_SOFTPLUS = 10
};

typedef struct pe_rnn_params {
    int32_t direction;
    int32_t activation[6]; /* [direction][f, g, h] */
    float alpha[6], beta[6];
    float clip;                  /* of each gate's sum, to -clip .. clip; +inf for none */
    int32_t linear_before_reset; /* gru */
    int32_t input_forget;        /* lstm: forget = 1 - input */
    int32_t batch_first;         /* x[B,T,I] y[B,T,D,H], states [B,D,H] */
} pe_rnn_params;

/* Which kernel; the params struct of that kernel follows, at once. */
typedef struct pe_custom_params {
    char name[32];   /* ended by NUL */
    uint32_t source; /* of the kernel, 0 if unknown: pe_custom_op */
} pe_custom_params;

/* Shapes and padding as pe_conv2d_params; linear_hybrid uses asymmetric, f_min and f_max. */
typedef struct pe_hybrid_params {
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t groups;     /* 0 for depthwise */
    int32_t asymmetric; /* not 0: x becomes int8 with a zero point */
    float f_min, f_max;
} pe_hybrid_params;

/* Shapes and padding as pe_conv2d_params; linear uses the zero points and the clamp. Rounded as PE_ROUND_TFLITE. */
typedef struct pe_zero_point_params {
    int32_t stride_h, stride_w;
    int32_t dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t groups; /* 0 for depthwise */
    int32_t x_zero_point, w_zero_point, y_zero_point;
    int32_t y_min, y_max;
} pe_zero_point_params;

typedef struct pe_signal_shift_params {
    uint32_t shift; /* of the product, to the right */
} pe_signal_shift_params;

typedef struct pe_signal_energy_params {
    uint32_t start, end; /* of the elements that are computed; the others are 0 */
} pe_signal_energy_params;

/* Even channels take the first numbers, odd ones the second. */
typedef struct pe_signal_subtraction_params {
    uint32_t smoothing[2];   /* part of the new noise estimate that comes from x, in 2^-bits */
    uint32_t keep[2];        /* part that comes from the old one */
    uint32_t min_remaining;  /* of x, in 2^-bits */
    uint32_t smoothing_bits; /* fraction bits of the noise estimate */
    uint32_t bits;
    uint32_t clamping; /* not 0: the noise estimate falls to x at once */
} pe_signal_subtraction_params;

typedef struct pe_signal_log_params {
    uint32_t bits;   /* x is taken times 2^bits */
    uint32_t factor; /* of the result */
} pe_signal_log_params;

/* y = clamp((x * multiplier + addend) / divisor + offset), the quotient cut off */
typedef struct pe_signal_codes_params {
    int32_t multiplier, addend;
    int32_t divisor;
    int32_t offset;
} pe_signal_codes_params;

/* add_n_s8, cumsum_s8: the factor is that of scale(x) / (2^19 * scale(y)). */
typedef struct pe_sums_s8_params {
    int32_t x_zero_point, y_zero_point;
    int32_t multiplier, shift;
    uint32_t exclusive, reverse; /* cumsum_s8, as pe_cumsum_params */
} pe_sums_s8_params;

/* sgd_update, momentum_update, adam_update */
typedef struct pe_update_params {
    float decay;         /* of weights: added to the gradient, or AdamW's if decoupled */
    float clip;          /* bound of the gradient's elements, >= 0; infinity: none */
    uint32_t start;      /* element of w that the first of g belongs to */
    uint32_t stochastic; /* 1: float16 weights are rounded by random numbers; 0: to nearest even */
    uint32_t seed, stream;
    float momentum; /* momentum_update */
    uint32_t nesterov;
    float rest_m;         /* adam_update, as all that follows: 1 - beta1 */
    float keep_v, rest_v; /* beta2, 1 - beta2 */
    float log_m, log_v;   /* natural logarithms of beta1 and beta2 */
    float epsilon;
    uint32_t decoupled;
} pe_update_params;

typedef struct pe_noise_params {
    float clip;
    uint32_t seed, stream;
} pe_noise_params;

typedef struct pe_l2_norm_params {
    int32_t x_zero_point;
} pe_l2_norm_params;

typedef struct pe_log_softmax_params {
    int32_t multiplier, shift, diff_min; /* as pe_softmax_params, beta 1 */
    int32_t back_multiplier, back_shift; /* from Q5.26 to steps of x */
} pe_log_softmax_params;

/* Of each gate's sums over x and over h, to the scale 2^-12. tanh_multiplier, tanh_shift: of the cell, into the table of
 * ops/logistic_s16.h. Only time_major and f_clip are of lstm_sequence_f32. */
typedef struct pe_lstm_sequence_params {
    uint32_t time_major; /* not 0: x[T,B,I], y[T,B,H] */
    float f_clip;        /* bound of the cell, > 0 */
    int32_t clip;        /* the same, 0 .. 32768 */
    int32_t x_multiplier[4], x_shift[4];
    int32_t h_multiplier[4], h_shift[4];
    int32_t in_multiplier, in_shift;         /* of input gate * candidate, to the cell's scale */
    int32_t forget_multiplier, forget_shift; /* of forget gate * cell */
    int32_t out_multiplier, out_shift;       /* of output gate * tanh(cell), to the scale of h */
    int32_t h_zero_point;
    int32_t tanh_multiplier, tanh_shift;
} pe_lstm_sequence_params;

typedef struct pe_svdf_params {
    uint32_t rank; /* filters of a unit */
    float f_min, f_max;
    int32_t x_zero_point, state_zero_point, y_zero_point;
    int32_t state_multiplier, state_shift; /* of the products with feature */
    int32_t y_multiplier, y_shift;         /* of those with time */
} pe_svdf_params;

typedef struct pe_multiclass_nms_params {
    uint32_t max_detections;
    uint32_t per_box;   /* classes kept of a box, if not regular */
    uint32_t per_class; /* boxes kept of a class, if regular */
    uint32_t classes;   /* the last ones of the scores' columns */
    uint32_t regular;   /* not 0: each class by itself */
    float score_threshold;
    float iou_threshold; /* > 0, <= 1 */
} pe_multiclass_nms_params;
