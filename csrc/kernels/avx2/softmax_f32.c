#include "kernels/x86/softmax_f32.h"
