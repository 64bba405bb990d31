/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people and pages, written the same in every locale. */
#include "query/query.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void ims_text_add_url(struct ims_text *text, const char *path)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

    ims_text_add(text, "file://");
    for (const unsigned char *p = (const unsigned char *)path; *p != '\0'; p++) {
        char encoded[4];

        if (strchr(plain, *p) != NULL)
            ims_text_add_bytes(text, p, 1);
        else {
            snprintf(encoded, sizeof(encoded), "%%%02X", *p);
            ims_text_add(text, encoded);
        }
    }
}

/* ---- numbers ---- */

void ims_text_add_decimal(struct ims_text *text, double value, int digits)
{
    char number[64];
    double scale = pow(10, digits);
    double scaled = round(fabs(value) * scale);
    uint64_t rest;

    if (!(scaled < 1e15)) { /* also NaN; no decimal point appears */
        snprintf(number, sizeof(number), "%.0f", value);
        ims_text_add(text, number);
        return;
    }
    rest = (uint64_t)scaled;
    snprintf(
        number, sizeof(number), "%s%" PRIu64 "%s", value < 0 && rest > 0 ? "-" : "",
        rest / (uint64_t)scale, digits > 0 ? "." : "");
    ims_text_add(text, number);
    rest %= (uint64_t)scale;
    for (uint64_t place = (uint64_t)scale / 10; place > 0; place /= 10) {
        char digit = (char)('0' + rest / place % 10);

        ims_text_add_bytes(text, &digit, 1);
    }
}

void ims_text_add_count(struct ims_text *text, uint64_t count)
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count);

    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            ims_text_add(text, ",");
        ims_text_add_bytes(text, &digits[i], 1);
    }
}

/* ---- lines about results ---- */

const char *ims_short_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *start = slash;

    if (slash == NULL)
        return path;
    while (start > path && start[-1] != '/')
        start--;
    return start == slash ? slash + 1 : start;
}

void ims_text_add_summary(struct ims_text *text, const imgsim_result *result)
{
    ims_text_add_count(text, result->count);
    ims_text_add(text, " of ");
    ims_text_add_count(text, result->image_count);
    ims_text_add(
        text, result->exact ? " images \xC2\xB7 exact \xC2\xB7 "
                            : " images \xC2\xB7 approximate \xC2\xB7 ");
    ims_text_add_decimal(text, result->elapsed_ms, 1);
    ims_text_add(text, " ms");
}

void ims_text_add_channels(struct ims_text *text, const imgsim_result *result)
{
    for (size_t i = 0; i < result->channel_count; i++) {
        const struct ims_result_channel *channel = &result->channels[i];

        ims_text_add(text, i > 0 ? ", " : "");
        ims_text_add(text, channel->feature);
        ims_text_add(text, " ");
        ims_text_add(text, imgsim_metric_name(channel->metric));
        if (result->channel_count > 1) {
            ims_text_add(text, " ");
            ims_text_add_decimal(text, channel->weight * 100, 0);
            ims_text_add(text, " %");
        }
    }
}
