/* The activations of rnn, gru and lstm, in float32. */
#ifndef PE_RNN_MATH_H
#define PE_RNN_MATH_H
#include "math_f32.h"

/* ONNX's definition of each; `kind` is a pe_rnn_activation. */
static inline float pe_rnn_activation(int32_t kind, float alpha, float beta, float x)
{
    switch (kind) {
    case PE_RNN_SIGMOID: return pe_sigmoid_f32(x);
    case PE_RNN_TANH: return pe_tanh_f32(x);
    case PE_RNN_RELU: return pe_clip_f32(x, 0.0f, __builtin_inff());
    case PE_RNN_AFFINE: return pe_fmaf(alpha, x, beta);
    case PE_RNN_LEAKY_RELU: return x < 0 ? alpha * x : x;
    case PE_RNN_THRESHOLDED_RELU: return x > alpha ? x : 0.0f;
    case PE_RNN_SCALED_TANH: return alpha * pe_tanh_f32(beta * x);
    case PE_RNN_HARD_SIGMOID: return pe_clip_f32(pe_fmaf(alpha, x, beta), 0.0f, 1.0f);
    case PE_RNN_ELU: return x < 0 ? alpha * pe_expm1_f32(x) : x;
    case PE_RNN_SOFTSIGN: return x / (1.0f + pe_abs_f32(x));
    default: return pe_softplus_f32(x);
    }
}
#endif
