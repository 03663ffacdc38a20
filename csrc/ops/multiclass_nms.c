#include "axis.h"
#include "check.h"

/* multiclass_nms_f32: of boxes[n,4] (top, left, bottom, right) and scores[n,c], the last `classes` columns count, those that
 * are best and overlap no better one too much: TFLite's DETECTION_POSTPROCESS behind the decoding of boxes. */

typedef struct candidates {
    const float *boxes, *scores;
    uint32_t stride, n; /* of scores, and how many */
    uint8_t *alive;
} candidates;

static void start(const candidates *c, float threshold)
{
    for (uint32_t i = 0; i < c->n; i++)
        c->alive[i] = pe_float_le(threshold, c->scores[i * c->stride]);
}

static float largest(float a, float b)
{
    return a > b ? a : b;
}

static float smallest(float a, float b)
{
    return a < b ? a : b;
}

/* Intersection over union; 0 if one has no area. */
static float overlap(const float *a, const float *b)
{
    float area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
    if (!(area_a > 0) || !(area_b > 0))
        return 0;
    float height = smallest(a[2], b[2]) - largest(a[0], b[0]), width = smallest(a[3], b[3]) - largest(a[1], b[1]);
    float both = largest(height, 0) * largest(width, 0);
    return both / (area_a + area_b - both);
}

/* The best candidate that is alive, the first of equal ones; it and those that it covers are alive no more. n: none. */
static uint32_t next(const candidates *c, float iou_threshold)
{
    uint32_t best = c->n;
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->alive[i] && (best == c->n || c->scores[i * c->stride] > c->scores[best * c->stride]))
            best = i;
    }
    if (best == c->n)
        return best;
    c->alive[best] = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->alive[i] && overlap(c->boxes + 4 * best, c->boxes + 4 * i) > iou_threshold)
            c->alive[i] = 0;
    }
    return best;
}

typedef struct results {
    float *boxes, *classes, *scores;
} results;

static void put(const results *r, uint32_t at, const float *box, float class, float score)
{
    for (uint32_t i = 0; i < 4; i++)
        r->boxes[4 * at + i] = box[i];
    r->classes[at] = class;
    r->scores[at] = score;
}

/* Each class by itself; then the best of all classes, in the order of their scores. Returns how many. */
static uint32_t regular(const pe_multiclass_nms_params *p, candidates *c, const float *scores, const results *r)
{
    uint32_t count = 0;
    for (uint32_t class = 0; class < p->classes; class ++) {
        c->scores = scores + class;
        start(c, p->score_threshold);
        for (uint32_t k = 0; k < p->per_class; k++) {
            uint32_t box = next(c, p->iou_threshold);
            if (box == c->n)
                break;
            float score = c->scores[box * c->stride];
            uint32_t at = count;
            while (at > 0 && score > r->scores[at - 1])
                at--;
            if (at == p->max_detections)
                break; /* those that follow are no better */
            count += count < p->max_detections;
            for (uint32_t i = count - 1; i > at; i--)
                put(r, i, r->boxes + 4 * (i - 1), r->classes[i - 1], r->scores[i - 1]);
            put(r, at, c->boxes + 4 * box, (float)class, score);
        }
    }
    return count;
}

/* Boxes by their best score, and of each box kept its best classes. Returns how many boxes. */
static uint32_t fast(const pe_multiclass_nms_params *p, candidates *c, const float *scores, const results *r,
                     float *best)
{
    const uint32_t stride = c->stride, per_box = p->per_box < p->classes ? p->per_box : p->classes;
    for (uint32_t i = 0; i < c->n; i++) {
        best[i] = scores[i * stride];
        for (uint32_t class = 1; class < p->classes; class ++)
            best[i] = largest(best[i], scores[i * stride + class]);
    }
    c->scores = best;
    c->stride = 1;
    start(c, p->score_threshold);
    for (uint32_t k = 0; k < p->max_detections; k++) {
        uint32_t box = next(c, p->iou_threshold);
        if (box == c->n)
            return k;
        const float *row = scores + box * stride;
        uint32_t last = p->classes; /* none */
        for (uint32_t j = 0; j < per_box; j++) {
            uint32_t class = p->classes;
            for (uint32_t i = 0; i < p->classes; i++) {
                bool behind = last == p->classes || row[i] < row[last] || (i > last && !(row[i] > row[last]));
                if (behind && (class == p->classes || row[i] > row[class]))
                    class = i;
            }
            if (class == p->classes)
                break; /* NaN */
            put(r, k * per_box + j, c->boxes + 4 * box, (float)class, row[class]);
            last = class;
        }
    }
    return p->max_detections;
}

static pe_status check(const pe_call *c, uint32_t *scratch_bytes, const char **text)
{
    const pe_multiclass_nms_params *p = c->params;
    const pe_tensor *boxes = c->tensor[0], *scores = c->tensor[1];
    *text = "multiclass_nms: a tensor is not float32";
    for (uint32_t i = 0; i < 6; i++) {
        if (c->tensor[i]->dtype != PE_F32)
            return PE_ERR_SHAPE;
    }
    *text = "multiclass_nms: boxes are not [n,4], or scores not [n,c] with enough classes";
    if (boxes->rank != 2 || boxes->dims[1] != 4 || scores->rank != 2 || scores->dims[0] != boxes->dims[0] ||
        p->classes == 0 || p->classes > (uint32_t)scores->dims[1])
        return PE_ERR_SHAPE;
    *text = "multiclass_nms: params";
    if (p->per_box == 0 || p->per_class == 0 || p->max_detections == 0 || p->max_detections > PE_MAX_EXTENT / 64 ||
        !pe_is_finite(p->score_threshold) || !(p->iou_threshold > 0) || !(p->iou_threshold <= 1))
        return PE_ERR_SHAPE;
    *text = "multiclass_nms: results of another size";
    uint32_t per_box = p->regular ? 1 : p->per_box < p->classes ? p->per_box : p->classes;
    uint64_t count = (uint64_t)p->max_detections * per_box;
    if (pe_tensor_elements(c->tensor[2]) != 4 * count || pe_tensor_elements(c->tensor[3]) != count ||
        pe_tensor_elements(c->tensor[4]) != count || pe_tensor_elements(c->tensor[5]) != 1)
        return PE_ERR_SHAPE;
    *scratch_bytes = (uint32_t)boxes->dims[0] * 5; /* the best scores, and who is alive */
    return PE_OK;
}

static void run(const pe_call *c)
{
    const pe_multiclass_nms_params *p = c->params;
    const uint32_t columns = (uint32_t)c->tensor[1]->dims[1], n = (uint32_t)c->tensor[0]->dims[0];
    const float *scores = (const float *)c->data[1] + columns - p->classes; /* a background class stands before */
    const results r = {c->data[2], c->data[3], c->data[4]};
    const float none[4] = {0, 0, 0, 0};
    float *best = c->scratch;
    candidates all = {c->data[0], scores, columns, n, (uint8_t *)(best + n)};
    for (uint32_t i = 0; i < pe_tensor_elements(c->tensor[3]); i++)
        put(&r, i, none, 0, 0);
    *(float *)c->data[5] = (float)(p->regular ? regular(p, &all, scores, &r) : fast(p, &all, scores, &r, best));
}

const pe_op_def pe_op_def_multiclass_nms_f32 = {
    .kind = PE_OP_MULTICLASS_NMS_F32,
    .params_bytes = sizeof(pe_multiclass_nms_params),
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 4,
    .name = "multiclass_nms_f32",
    .check = check,
    .run = run,
};
