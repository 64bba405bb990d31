/* SPDX-License-Identifier: Apache-2.0 */
/* The answer: hits with their parts, copied so that they outlive query and catalog. */
#include "query/query.h"

#include "core/memory.h"

#include <stdio.h>
#include <string.h>

imgsim_status ims_result_new(const imgsim_query *query, size_t count, imgsim_result **out_result)
{
    imgsim_result *result = ims_calloc(1, sizeof(*result));
    size_t channels = query->channel_count;

    *out_result = NULL;
    if (result == NULL)
        return ims_fail_memory(sizeof(*result));
    result->hits = ims_calloc(count, sizeof(*result->hits));
    result->parts = ims_calloc(count * channels, sizeof(*result->parts));
    if (result->hits == NULL || result->parts == NULL) {
        imgsim_result_free(result);
        return ims_fail_memory(count * (sizeof(*result->hits) + channels * sizeof(*result->parts)));
    }

    result->channel_count = channels;
    for (size_t i = 0; i < channels; i++) {
        struct ims_result_channel *channel = &result->channels[i];

        snprintf(channel->feature, sizeof(channel->feature), "%s", query->channels[i].space.name);
        channel->weight = ims_channel_share(query, i);
        channel->metric = query->channels[i].space.metric;
    }
    *out_result = result;
    return IMGSIM_OK;
}

imgsim_status
ims_result_add(imgsim_result *result, const imgsim_file_info *file, int64_t id, double score)
{
    struct ims_result_hit *hit = &result->hits[result->count];

    snprintf(hit->uuid, sizeof(hit->uuid), "%s", file->uuid);
    if ((hit->path = ims_strdup(file->path)) == NULL)
        return ims_fail_memory(strlen(file->path) + 1);
    hit->width = file->width;
    hit->height = file->height;
    hit->id = id;
    hit->score = score;
    result->count++;
    return IMGSIM_OK;
}

void imgsim_result_free(imgsim_result *result)
{
    if (result == NULL)
        return;
    for (size_t i = 0; result->hits != NULL && i < result->count; i++)
        ims_free(result->hits[i].path);
    ims_free(result->hits);
    ims_free(result->parts);
    ims_free(result);
}

/* ---- reading ---- */

size_t imgsim_result_get_count(const imgsim_result *result)
{
    return result != NULL ? result->count : 0;
}

size_t imgsim_result_get_part_count(const imgsim_result *result)
{
    return result != NULL ? result->channel_count : 0;
}

uint64_t imgsim_result_get_image_count(const imgsim_result *result)
{
    return result != NULL ? result->image_count : 0;
}

int32_t imgsim_result_get_exact(const imgsim_result *result)
{
    return result != NULL && result->exact;
}

uint32_t imgsim_result_get_failovers(const imgsim_result *result)
{
    return result != NULL ? result->failovers : 0;
}

double imgsim_result_get_elapsed_ms(const imgsim_result *result)
{
    return result != NULL ? result->elapsed_ms : 0;
}

/*
 * Hand a struct of ours to a caller whose header may be older: as many bytes as it knows, its size
 * kept. One that is newer gets zeros in the fields that this library does not know.
 */
static imgsim_status hand_out(const void *own, size_t own_size, void *out, const char *name)
{
    size_t size;

    memcpy(&size, out, sizeof(size));
    if (size < sizeof(size_t) || size > 65536)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "struct_size of %s is not set", name);
    memset(out, 0, size);
    memcpy(out, own, size < own_size ? size : own_size);
    memcpy(out, &size, sizeof(size));
    return IMGSIM_OK;
}

imgsim_status
imgsim_result_get_hit(const imgsim_result *result, size_t position, imgsim_hit *out_hit)
{
    imgsim_hit hit = {0};
    const struct ims_result_hit *own;

    if (result == NULL || out_hit == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "result and out_hit must not be NULL");
    if (position >= result->count)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "hit %zu is asked for, there are %zu", position,
            result->count);
    own = &result->hits[position];
    hit.id = own->id;
    hit.uuid = own->uuid;
    hit.path = own->path;
    hit.score = own->score;
    hit.width = own->width;
    hit.height = own->height;
    return hand_out(&hit, sizeof(hit), out_hit, "out_hit");
}

imgsim_status imgsim_result_get_part(
    const imgsim_result *result,
    size_t position,
    size_t part,
    imgsim_part *out_part)
{
    imgsim_part filled = {0};
    const struct ims_result_part *own;

    if (result == NULL || out_part == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "result and out_part must not be NULL");
    if (position >= result->count || part >= result->channel_count)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "part %zu of hit %zu is asked for, there are %zu parts and %zu hits", part, position,
            result->channel_count, result->count);
    own = &result->parts[position * result->channel_count + part];
    filled.feature = result->channels[part].feature;
    filled.value = own->value;
    filled.similarity = own->similarity;
    filled.weight = result->channels[part].weight;
    filled.metric = result->channels[part].metric;
    filled.rank = own->rank;
    return hand_out(&filled, sizeof(filled), out_part, "out_part");
}
