#include "f16.h"
#include "math_f32.h"
#include "philox.h"

/* gradient_noise: y = clip(g * factor, -clip, clip) + sigma * normal deviates, g and y float32 or float16, the rest float32[1].
 * The deviates are those of Box and Muller, two of two words of Philox. y may be the memory of g if they have one type. */

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_noise_params *p = c->params;
    const pe_tensor *g = c->tensor[0], *y = c->tensor[4];
    (void)scratch_bytes;
    *text = "gradient_noise: g and y are not float32 or float16 of one size, or factor, sigma or step not float32[1]";
    bool fits = pe_is_float_or_f16(g) && pe_is_float_or_f16(y) && pe_tensor_elements(g) == pe_tensor_elements(y);
    for (uint32_t i = 1; i < 4; i++)
        fits = fits && c->tensor[i]->dtype == PE_F32 && c->tensor[i]->bytes == sizeof(float);
    if (!fits)
        return PE_ERR_SHAPE;
    *text = "gradient_noise: clip is below 0 or NaN";
    return pe_float_le(0.0f, p->clip) ? PE_OK : PE_ERR_SHAPE;
}

/* Two normal deviates. */
static void normal(uint32_t a, uint32_t b, float *y)
{
    float radius = pe_sqrt_f32(-2.0f * pe_log_f32((float)((a >> 8) + 1) * 0x1p-24f));
    float angle = (float)(b >> 8) * 0x1p-24f * 0x1.921fb6p+2f;
    y[0] = radius * pe_sin_cos_f32(angle, 1);
    y[1] = radius * pe_sin_cos_f32(angle, 0);
}

static void run(const pe_call *c)
{
    const pe_noise_params *p = c->params;
    bool half = c->tensor[0]->dtype == PE_F16, half_y = c->tensor[4]->dtype == PE_F16;
    const float *g = c->data[0];
    const uint16_t *g16 = c->data[0];
    float factor = *(const float *)c->data[1], sigma = *(const float *)c->data[2], *y = c->data[4];
    uint16_t *y16 = c->data[4];
    uint32_t step = pe_step_number(*(const float *)c->data[3]), n = pe_tensor_elements(c->tensor[0]);
    for (uint32_t i = 0; i < n; i += 4) {
        pe_philox random = pe_philox_words(p->seed, p->stream, i / 4, step, PE_PHILOX_NOISE);
        float deviate[4];
        normal(random.word[0], random.word[1], deviate);
        normal(random.word[2], random.word[3], deviate + 2);
        for (uint32_t k = 0; k < 4 && i + k < n; k++) {
            float x = (half ? pe_f16_widen(g16[i + k]) : g[i + k]) * factor;
            x = pe_clip_f32(x, -p->clip, p->clip) + sigma * deviate[k];
            if (half_y)
                y16[i + k] = pe_f16_round(x);
            else
                y[i + k] = x;
        }
    }
}

const pe_op_def pe_op_def_gradient_noise = {
    .kind = PE_OP_GRADIENT_NOISE,
    .params_bytes = sizeof(pe_noise_params),
    .min_inputs = 4,
    .max_inputs = 4,
    .outputs = 1,
    .name = "gradient_noise",
    .check = check,
    .run = run,
};
