#include "kernels/x86/linear_row_f32.h"
