#include "kernels/x86/training_f32.h"
