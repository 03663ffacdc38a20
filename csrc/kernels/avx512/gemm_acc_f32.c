#define PE_GEMM_ACC pe_gemm_acc_f32__avx512_8x48
#define PE_DWACC pe_dwacc_f32__avx512_1x64
#include "kernels/x86/gemm_acc_f32.h"
