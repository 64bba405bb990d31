/* SPDX-License-Identifier: Apache-2.0 */
/* Channels by text: "embedding=0.7,color=0.2,hash=0.1", the presets, and metrics for them. */
#include "query/query.h"

#include "simd/metric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One "name" or "name=value" of a list; texts end with NUL. */
struct item {
    char name[IMS_FEATURE_NAME_SIZE];
    char value[IMS_FEATURE_NAME_SIZE];
    bool has_value;
};

/* Copy text without the blanks around it; false if it does not fit. */
static bool copy_trimmed(const char *text, size_t size, char out[IMS_FEATURE_NAME_SIZE])
{
    while (size > 0 && text[0] == ' ') {
        text++;
        size--;
    }
    while (size > 0 && text[size - 1] == ' ')
        size--;
    if (size >= IMS_FEATURE_NAME_SIZE)
        return false;
    memcpy(out, text, size);
    out[size] = '\0';
    return true;
}

/* Take the next item off the list. */
static imgsim_status next_item(const char **list, struct item *out_item)
{
    const char *text = *list;
    size_t size = strcspn(text, ",");
    const char *equals = memchr(text, '=', size);
    size_t name_size = equals != NULL ? (size_t)(equals - text) : size;

    memset(out_item, 0, sizeof(*out_item));
    out_item->has_value = equals != NULL;
    if (!copy_trimmed(text, name_size, out_item->name) || out_item->name[0] == '\0' ||
        (equals != NULL && !copy_trimmed(equals + 1, size - name_size - 1, out_item->value)))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "\"%.*s\" is no feature, expected \"name\" or \"name=value\"",
            size < 100 ? (int)size : 100, text);
    *list = text + size + (text[size] == ',' ? 1 : 0);
    if (text[size] == ',' && text[size + 1] == '\0')
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "nothing follows the last comma");
    return IMGSIM_OK;
}

/* Decimal with a point, whatever the host's locale. */
static bool parse_weight(const char *text, double *out_weight)
{
    double value = 0;
    double scale = 1;
    const char *p = text;
    size_t digits = 0;

    for (; *p >= '0' && *p <= '9'; p++, digits++)
        value = value * 10 + (*p - '0');
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
            value = value * 10 + (*p - '0');
            scale *= 10;
        }
    *out_weight = value / scale;
    return digits > 0 && *p == '\0';
}

static imgsim_status append(struct ims_channel_choice *choice, const char *name, double weight)
{
    if (choice->count == IMS_CHANNELS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a query has at most %d channels", IMS_CHANNELS_MAX);
    snprintf(choice->names[choice->count], IMS_FEATURE_NAME_SIZE, "%s", name);
    choice->weights[choice->count++] = weight;
    return IMGSIM_OK;
}

/* "blend": the embedding and its projection. */
static imgsim_status choose_blend(const imgsim_query *query, struct ims_channel_choice *choice)
{
    imgsim_status status;
    char projection[IMS_FEATURE_NAME_SIZE];

    if ((status = ims_projection_of(query->catalog, "embedding", projection)) != IMGSIM_OK)
        return status;
    if (projection[0] == '\0')
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "preset blend needs a projection of \"embedding\", make one with: imgsim pca");
    if ((status = append(choice, "embedding", 0.7)) != IMGSIM_OK)
        return status;
    return append(choice, projection, 0.3);
}

static imgsim_status choose_list(const char *by, struct ims_channel_choice *choice)
{
    imgsim_status status;
    struct item item;

    while (*by != '\0') {
        double weight = 1;

        if ((status = next_item(&by, &item)) != IMGSIM_OK)
            return status;
        if (item.has_value &&
            (!parse_weight(item.value, &weight) || !isfinite(weight) || weight <= 0))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "weight \"%s\" of \"%s\" is not a number above 0",
                item.value, item.name);
        if ((status = append(choice, item.name, weight)) != IMGSIM_OK)
            return status;
    }
    return IMGSIM_OK;
}

static imgsim_status
choose_by(const imgsim_query *query, const char *by, struct ims_channel_choice *choice)
{
    memset(choice, 0, sizeof(*choice));
    if (by == NULL || by[0] == '\0')
        return ims_channels_choose(query, choice);
    if (strcmp(by, "fused") == 0)
        return choose_list("embedding=0.7,color=0.2,hash=0.1", choice);
    if (strcmp(by, "blend") == 0)
        return choose_blend(query, choice);
    return choose_list(by, choice);
}

/* Metrics of the chosen channels, in their order; DEFAULT where none is named. */
static imgsim_status choose_metrics(
    const char *metrics,
    const struct ims_channel_choice *choice,
    int32_t out_metrics[IMS_CHANNELS_MAX])
{
    imgsim_status status;
    struct item item;

    for (size_t i = 0; i < IMS_CHANNELS_MAX; i++)
        out_metrics[i] = IMGSIM_METRIC_DEFAULT;
    while (metrics != NULL && *metrics != '\0') {
        size_t i = 0;

        if ((status = next_item(&metrics, &item)) != IMGSIM_OK)
            return status;
        if (!item.has_value)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "metric \"%s\" names no feature, expected \"feature=metric\"", item.name);
        while (i < choice->count && strcmp(choice->names[i], item.name) != 0)
            i++;
        if (i == choice->count)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "metric \"%s\" is for \"%s\", which is not compared by", item.value, item.name);
        if ((status = imgsim_metric_from_name(item.value, &out_metrics[i])) != IMGSIM_OK)
            return status;
    }
    return IMGSIM_OK;
}

imgsim_status imgsim_query_add_channels(imgsim_query *query, const char *by, const char *metrics)
{
    imgsim_status status;
    struct ims_channel_choice choice;
    int32_t chosen_metrics[IMS_CHANNELS_MAX];
    size_t before;

    if (query == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "query must not be NULL");
    if ((status = choose_by(query, by, &choice)) != IMGSIM_OK ||
        (status = choose_metrics(metrics, &choice, chosen_metrics)) != IMGSIM_OK)
        return status;

    /* All of them or none. */
    before = query->channels_are_default ? 0 : query->channel_count;
    for (size_t i = 0; i < choice.count; i++) {
        imgsim_channel_options options;

        if ((status = imgsim_channel_options_init(&options, sizeof(options))) != IMGSIM_OK)
            break;
        options.weight = choice.weights[i];
        options.metric = chosen_metrics[i];
        if ((status = imgsim_query_add_channel(query, choice.names[i], &options)) != IMGSIM_OK)
            break;
    }
    if (status != IMGSIM_OK)
        ims_channels_truncate(query, before);
    return status;
}
