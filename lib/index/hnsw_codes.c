/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distances in the graph: from one byte per value, or from the floats where bytes are too coarse.
 *
 * A row x (of length 1 for cosine) less the mean m of the first rows is kept as x' = s c with whole c in [-127, 127] and a scale
 * s of its own. All three distances then have the form
 *
 *     base(target) + offset(node) - factor(target) * s(node) * (c(target) . c(node)),
 *
 *     L2:            |t'|^2 + |x'|^2 - 2 t' . x'
 *     cosine:        half of that, which is 1 - t . x for rows of length 1
 *     inner product: -(t . x) = -m . t' - |m|^2 - m . x' - t' . x'
 *
 * with lengths taken of what was kept, so that rounding does not move a row away from itself. Products of codes are whole
 * numbers: the graph is the same on every processor.
 */
#include "index/hnsw.h"

#include "core/memory.h"
#include "simd/kernels.h"
#include "simd/reference.h"

#include <math.h>
#include <string.h>

#define STRIDE_STEP 64
/* Rows that mean and kind of code are chosen from, and rows that try the codes. */
#define SAMPLE_ROWS 20000
#define TRIALS 24
#define TRIAL_NEAREST 10
#define TRIAL_KEPT 20
/* Share of the nearest that must be among those kept by codes. */
#define TRIAL_SHARE 0.97
/* Bytes of a code asked for ahead. */
#define CACHE_LINE 64

size_t ims_graph_code_stride(const struct ims_graph *graph)
{
    return ((size_t)graph->dimension + STRIDE_STEP - 1) / STRIDE_STEP * STRIDE_STEP;
}

/* What a row is multiplied with before its mean is taken away: 1 / |row| for cosine. */
static float row_scale(const struct ims_graph *graph, double squared)
{
    if (graph->metric != IMGSIM_METRIC_COSINE)
        return 1;
    return squared > 0 ? (float)(1 / sqrt(squared)) : 0;
}

/* Codes, padded with zeros, and their scale. */
static float quantize(const struct ims_graph *graph, const float *row, double squared, int8_t *code)
{
    const float length = row_scale(graph, squared);
    const uint32_t dimension = graph->dimension;
    float largest = 0, inverse;

    for (uint32_t i = 0; i < dimension; i++) {
        const float value = fabsf(row[i] * length - graph->mean[i]);

        largest = value > largest ? value : largest;
    }
    if (!(largest > 1e-30f) || !isfinite(largest)) {
        memset(code, 0, ims_graph_code_stride(graph));
        return 0;
    }
    inverse = 127 / largest;
    for (uint32_t i = 0; i < dimension; i++) {
        const float value = (row[i] * length - graph->mean[i]) * inverse;

        code[i] = (int8_t)(int)(value + (value < 0 ? -0.5f : 0.5f));
    }
    memset(code + dimension, 0, ims_graph_code_stride(graph) - dimension);
    return largest / 127;
}

/* Sum of the codes and of their squares. */
static int32_t sum_codes(const int8_t *code, size_t count, int32_t *squares)
{
    int32_t sum = 0;

    *squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += code[i];
        *squares += code[i] * code[i];
    }
    return sum;
}

/* What a row's own length adds to its distances. */
static float own_offset(
    const struct ims_graph *graph,
    const int8_t *code,
    float scale,
    int32_t squares,
    bool zero)
{
    const double length = (double)scale * scale * squares;
    double product = 0;

    switch (graph->metric) {
    case IMGSIM_METRIC_L2:
        return (float)length;
    case IMGSIM_METRIC_COSINE: /* a row of zeros is at distance 1, not 1/2 */
        return (float)(length / 2 + (zero ? 0.5 : 0));
    default:
        for (uint32_t i = 0; i < graph->dimension; i++)
            product += (double)graph->mean[i] * code[i];
        return (float)(-product * scale);
    }
}

static void encode_row(
    const struct ims_graph *graph,
    const float *row,
    double squared,
    int8_t *code,
    struct ims_factor *factor)
{
    int32_t squares;

    factor->scale = quantize(graph, row, squared, code);
    factor->code_sum = sum_codes(code, graph->dimension, &squares);
    factor->offset = own_offset(graph, code, factor->scale, squares, squared == 0);
}

void ims_graph_encode(const imgsim_index *index, struct ims_graph *graph, uint32_t node)
{
    const uint32_t slot = graph->node_slot[node];
    const float *row = ims_rows_at(&index->rows, slot);
    const double squared = index->rows.sums[slot].squared;
    const size_t stride = ims_graph_code_stride(graph);
    uint8_t *code = graph->codes + (size_t)node * stride;

    if (graph->code == IMS_CODE_FLOATS) {
        graph->factors[node] = (struct ims_factor){row_scale(graph, squared), 0, 0};
        return;
    }
    encode_row(graph, row, squared, (int8_t *)code, &graph->factors[node]);
    for (size_t i = 0; i < stride; i++)
        code[i] ^= 0x80; /* kept as unsigned bytes */
}

/* ---- targets ---- */

/* Factor and base of a target whose code is there. */
static void
finish_target(const struct ims_graph *graph, struct ims_factor own, struct ims_target *target)
{
    target->code_sum = own.code_sum;
    target->factor = graph->metric == IMGSIM_METRIC_L2 ? 2 * own.scale : own.scale;
    target->base = graph->metric == IMGSIM_METRIC_INNER_PRODUCT ? own.offset - graph->mean_squared
                                                                : own.offset;
}

static void float_target(
    const struct ims_graph *graph,
    const float *row,
    double squared,
    struct ims_target *target)
{
    target->row = row;
    target->factor = row_scale(graph, squared);
    target->base = graph->metric == IMGSIM_METRIC_COSINE ? 1 : 0;
}

void ims_target_from_row(
    const struct ims_graph *graph,
    const float *row,
    double squared,
    struct ims_target *target)
{
    struct ims_factor own;

    if (graph->code == IMS_CODE_FLOATS) {
        float_target(graph, row, squared, target);
        return;
    }
    encode_row(graph, row, squared, target->code, &own);
    finish_target(graph, own, target);
}

void ims_target_from_node(
    const imgsim_index *index,
    const struct ims_graph *graph,
    uint32_t node,
    struct ims_target *target)
{
    const size_t stride = ims_graph_code_stride(graph);
    const uint8_t *code;

    if (graph->code == IMS_CODE_FLOATS) {
        const uint32_t slot = graph->node_slot[node];

        float_target(
            graph, ims_rows_at(&index->rows, slot), index->rows.sums[slot].squared, target);
        return;
    }
    code = graph->codes + (size_t)node * stride;
    for (size_t i = 0; i < stride; i++)
        target->code[i] = (int8_t)(code[i] ^ 0x80);
    finish_target(graph, graph->factors[node], target);
}

/* ---- distances ---- */

static inline float
byte_distance(const struct ims_target *target, struct ims_factor node, int32_t dot)
{
    /* Unsigned: a file opened without its checksums may say any sum. */
    const uint32_t centred = (uint32_t)dot - UINT32_C(128) * (uint32_t)target->code_sum;

    return target->base + node.offset - target->factor * node.scale * (float)(int32_t)centred;
}

static inline void prefetch_code(const uint8_t *code, size_t stride)
{
    for (size_t at = 0; at < stride; at += CACHE_LINE)
        __builtin_prefetch(code + at);
}

static void byte_distances(
    const struct ims_graph *graph,
    const struct ims_target *target,
    const uint32_t *nodes,
    size_t count,
    float *out)
{
    const struct ims_kernels *kernels = ims_kernels();
    const size_t stride = ims_graph_code_stride(graph);
    size_t i = 0;

    for (size_t ahead = 0; ahead < 4 && ahead < count; ahead++)
        prefetch_code(graph->codes + nodes[ahead] * stride, stride);
    for (; i + 4 <= count; i += 4) {
        const uint8_t *const codes[4] = {
            graph->codes + nodes[i] * stride, graph->codes + nodes[i + 1] * stride,
            graph->codes + nodes[i + 2] * stride, graph->codes + nodes[i + 3] * stride};
        int32_t dots[4];

        for (size_t ahead = i + 4; ahead < i + 8 && ahead < count; ahead++)
            prefetch_code(graph->codes + nodes[ahead] * stride, stride);
        kernels->dot_u8i8_four(codes, target->code, stride, dots);
        for (size_t j = 0; j < 4; j++)
            out[i + j] = byte_distance(target, graph->factors[nodes[i + j]], dots[j]);
    }
    for (; i < count; i++)
        out[i] = byte_distance(
            target, graph->factors[nodes[i]],
            kernels->dot_u8i8(graph->codes + nodes[i] * stride, target->code, stride));
}

static void float_distances(
    const imgsim_index *index,
    const struct ims_graph *graph,
    const struct ims_target *target,
    const uint32_t *nodes,
    size_t count,
    float *out)
{
    const struct ims_kernels *kernels = ims_kernels();

    for (size_t i = 0; i < count; i++) {
        const float *row = ims_rows_at(&index->rows, graph->node_slot[nodes[i]]);

        if (i + 1 < count)
            prefetch_code(
                ims_rows_at(&index->rows, graph->node_slot[nodes[i + 1]]),
                index->rows.row_size < 1024 ? index->rows.row_size : 1024);
        if (graph->metric == IMGSIM_METRIC_L2)
            out[i] = kernels->l2_squared(target->row, row, graph->dimension);
        else
            out[i] = target->base - target->factor * graph->factors[nodes[i]].scale *
                                        kernels->dot(target->row, row, graph->dimension);
    }
}

void ims_target_distances(
    const imgsim_index *index,
    const struct ims_graph *graph,
    const struct ims_target *target,
    const uint32_t *nodes,
    size_t count,
    float *out)
{
    if (graph->code == IMS_CODE_BYTES)
        byte_distances(graph, target, nodes, count, out);
    else
        float_distances(index, graph, target, nodes, count, out);
}

/* ---- choosing ---- */

/* Mean of up to SAMPLE_ROWS rows, evenly taken. */
static imgsim_status
find_mean(const imgsim_index *index, struct ims_graph *graph, const uint32_t *slots, size_t count)
{
    const size_t step = (count + SAMPLE_ROWS - 1) / SAMPLE_ROWS;
    double *sum = ims_calloc(graph->dimension, sizeof(*sum));
    double squared = 0;
    size_t used = 0;

    if (sum == NULL)
        return ims_fail_memory(graph->dimension * sizeof(*sum));
    for (size_t at = 0; at < count; at += step, used++) {
        const float *row = ims_rows_at(&index->rows, slots[at]);
        const float length = row_scale(graph, index->rows.sums[slots[at]].squared);

        for (uint32_t i = 0; i < graph->dimension; i++)
            sum[i] += (double)row[i] * length;
    }
    for (uint32_t i = 0; i < graph->dimension; i++) {
        graph->mean[i] = (float)(sum[i] / (double)used);
        squared += (double)graph->mean[i] * graph->mean[i];
    }
    graph->mean_squared = (float)squared;
    ims_free(sum);
    return IMGSIM_OK;
}

/* One row tries the codes: its nearest by floats, and by codes. */
struct trial {
    uint32_t slot;
    struct ims_target target;
    struct ims_topk nearest;
    struct ims_topk kept;
    struct ims_neighbour nearest_items[TRIAL_NEAREST];
    struct ims_neighbour kept_items[TRIAL_KEPT];
};

static double
float_distance(const imgsim_index *index, const struct ims_graph *graph, uint32_t a, uint32_t b)
{
    const struct ims_rows *rows = &index->rows;
    const float *left = ims_rows_at(rows, a), *right = ims_rows_at(rows, b);
    const uint32_t dimension = graph->dimension;

    if (graph->metric == IMGSIM_METRIC_L2)
        return ims_kernels()->l2_squared(left, right, dimension);
    return -(double)ims_kernels()->dot(left, right, dimension) *
           row_scale(graph, rows->sums[a].squared) * row_scale(graph, rows->sums[b].squared);
}

/* Offer one row to all trials. */
static void offer(
    const imgsim_index *index,
    const struct ims_graph *graph,
    uint32_t slot,
    int8_t *code,
    struct trial *trials)
{
    const size_t stride = ims_graph_code_stride(graph);
    struct ims_factor factor;

    encode_row(
        graph, ims_rows_at(&index->rows, slot), index->rows.sums[slot].squared, code, &factor);
    for (size_t i = 0; i < stride; i++)
        code[i] = (int8_t)((uint8_t)code[i] ^ 0x80);
    for (size_t t = 0; t < TRIALS; t++) {
        const int32_t dot =
            ims_kernels()->dot_u8i8((const uint8_t *)code, trials[t].target.code, stride);

        ims_topk_push(&trials[t].nearest, float_distance(index, graph, trials[t].slot, slot), slot);
        ims_topk_push(&trials[t].kept, byte_distance(&trials[t].target, factor, dot), slot);
    }
}

static size_t count_common(const struct trial *trial)
{
    size_t common = 0;

    for (size_t i = 0; i < trial->nearest.count; i++)
        for (size_t j = 0; j < trial->kept.count; j++)
            common += trial->nearest_items[i].id == trial->kept_items[j].id;
    return common;
}

/* Bytes will do if they keep what is nearest among the nearest: some rows try it against many. */
static imgsim_status
try_bytes(const imgsim_index *index, struct ims_graph *graph, const uint32_t *slots, size_t count)
{
    const size_t stride = ims_graph_code_stride(graph);
    const size_t step = (count + SAMPLE_ROWS - 1) / SAMPLE_ROWS;
    struct trial *trials = ims_calloc(TRIALS, sizeof(*trials));
    int8_t *codes = ims_calloc(TRIALS + 1, stride);
    imgsim_status status = IMGSIM_OK;
    size_t common = 0, wanted = 0;

    if (trials == NULL || codes == NULL) {
        status = ims_fail_memory(TRIALS * sizeof(*trials));
        goto done;
    }
    for (size_t t = 0; t < TRIALS; t++) {
        struct trial *trial = &trials[t];

        trial->slot = slots[t * count / TRIALS];
        trial->target.code = codes + (t + 1) * stride;
        ims_topk_init(&trial->nearest, trial->nearest_items, TRIAL_NEAREST);
        ims_topk_init(&trial->kept, trial->kept_items, TRIAL_KEPT);
        ims_target_from_row(
            graph, ims_rows_at(&index->rows, trial->slot), index->rows.sums[trial->slot].squared,
            &trial->target);
    }
    for (size_t at = 0; at < count; at += step)
        offer(index, graph, slots[at], codes, trials);
    for (size_t t = 0; t < TRIALS; t++) {
        common += count_common(&trials[t]);
        wanted += trials[t].nearest.count;
    }
    if ((double)common < TRIAL_SHARE * (double)wanted)
        graph->code = IMS_CODE_FLOATS;

done:
    ims_free(codes);
    ims_free(trials);
    return status;
}

imgsim_status ims_graph_calibrate(
    const imgsim_index *index,
    struct ims_graph *graph,
    const uint32_t *slots,
    size_t count)
{
    imgsim_status status;

    graph->code = IMS_CODE_BYTES;
    if ((status = find_mean(index, graph, slots, count)) != IMGSIM_OK)
        return status;
    return try_bytes(index, graph, slots, count);
}
