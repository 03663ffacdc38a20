#define PE_GEMM_ACC pe_gemm_acc_f32__avx2_6x16
#define PE_DWACC pe_dwacc_f32__avx2_1x32
#include "kernels/x86/gemm_acc_f32.h"
