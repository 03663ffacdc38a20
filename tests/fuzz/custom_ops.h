#define PE_CUSTOM_OPS(X) X(smooth)
