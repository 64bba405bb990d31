/* SPDX-License-Identifier: Apache-2.0 */
/* Positions, properties, dates and neighbours of a page, in the order of the curve. */
#include "page/write.h"

#include "core/memory.h"

imgsim_status ims_page_order(struct ims_page *page)
{
    const struct ims_page_input *input = page->input;
    size_t count = input->count;
    imgsim_status status;

    if ((page->order = ims_alloc_array(count, sizeof(*page->order))) == NULL ||
        (page->codes = ims_alloc_array(count, sizeof(*page->codes))) == NULL ||
        (page->places = ims_alloc_array(count, sizeof(*page->places))) == NULL)
        return ims_fail_memory(count * sizeof(*page->order));
    if ((input->flat != NULL &&
         (status = ims_quantise(input->flat, count, 2, &page->flat)) != IMGSIM_OK) ||
        (input->deep != NULL &&
         (status = ims_quantise(input->deep, count, 3, &page->deep)) != IMGSIM_OK))
        return status;
    status = ims_curve_order(
        input->flat != NULL ? &page->flat : &page->deep, count, page->order, page->codes);
    for (size_t place = 0; status == IMGSIM_OK && place < count; place++)
        page->places[page->order[place]] = (uint32_t)place;

    page->neighbour_count = 0;
    if (input->neighbours != NULL)
        page->neighbour_count = input->neighbour_count < page->settings->neighbours_shown
                                    ? input->neighbour_count
                                    : page->settings->neighbours_shown;
    return status;
}

/* Each axis by its differences along the curve, in two planes. */
static imgsim_status
write_positions(struct ims_page *page, const char *name, const struct ims_quantised *quantised)
{
    size_t count = page->input->count;
    uint32_t *steps = ims_alloc_array(count, sizeof(*steps));
    struct ims_bytes bytes = {0};
    imgsim_status status;

    if (steps == NULL)
        return ims_fail_memory(count * sizeof(*steps));
    for (uint32_t axis = 0; axis < quantised->dimension; axis++) {
        uint16_t last = 0;

        for (size_t place = 0; place < count; place++) {
            uint16_t value =
                quantised->values[(size_t)page->order[place] * quantised->dimension + axis];

            /* Modulo 2^16, so that two planes hold every difference. */
            steps[place] = ims_zigzag((int16_t)(uint16_t)(value - last)) & 0xFFFF;
            last = value;
        }
        ims_bytes_planes(&bytes, steps, count, 2);
    }
    status = ims_page_block(page, name, -1, &bytes);
    ims_bytes_clear(&bytes);
    ims_free(steps);
    return status;
}

imgsim_status ims_page_positions(struct ims_page *page)
{
    return page->input->flat != NULL ? write_positions(page, "flat", &page->flat)
                                     : write_positions(page, "deep", &page->deep);
}

imgsim_status ims_page_deep(struct ims_page *page)
{
    if (page->input->flat == NULL || page->input->deep == NULL)
        return IMGSIM_OK;
    return write_positions(page, "deep", &page->deep);
}

/* ---- properties ---- */

imgsim_status ims_page_columns(struct ims_page *page)
{
    size_t count = page->input->count;
    uint32_t *values = ims_alloc_array(count, sizeof(*values));
    imgsim_status status = IMGSIM_OK;

    if (values == NULL)
        return ims_fail_memory(count * sizeof(*values));
    for (size_t c = 0; c < page->input->column_count && status == IMGSIM_OK; c++) {
        const int32_t *from = page->input->columns[c].values;
        struct ims_bytes bytes = {0};

        /* One more than the value: none is 0. */
        for (size_t place = 0; place < count; place++) {
            int32_t value = from[page->order[place]];

            values[place] = value < 0 ? 0 : (uint32_t)value + 1;
        }
        ims_bytes_planes(&bytes, values, count, ims_planes_needed(values, count));
        status = ims_page_block(page, "column", (int64_t)c, &bytes);
        ims_bytes_clear(&bytes);
    }
    ims_free(values);
    return status;
}

/* ---- dates ---- */

/* The finest of second, minute, hour and day, ... in which the whole time fits into 16 bits. */
static uint32_t date_unit(uint64_t seconds)
{
    static const uint32_t units[] = {1, 60, 3600, 86400, 86400 * 366, 0};
    size_t i = 0;

    while (units[i + 1] != 0 && seconds / units[i] >= 65535)
        i++;
    return units[i];
}

static void date_range(const struct ims_page_input *input, int64_t *out_low, int64_t *out_high)
{
    int64_t low = INT64_MAX, high = INT64_MIN;

    for (size_t i = 0; i < input->count; i++) {
        int64_t date = input->dates[i];

        if (date == IMS_PAGE_NO_DATE)
            continue;
        low = date < low ? date : low;
        high = date > high ? date : high;
    }
    *out_low = low <= high ? low : 0;
    *out_high = low <= high ? high : 0;
}

void ims_page_date_scale(struct ims_page *page)
{
    int64_t low, high;

    if (page->input->dates == NULL)
        return;
    date_range(page->input, &low, &high);
    page->date_start = low;
    page->date_unit = date_unit((uint64_t)high - (uint64_t)low);
}

imgsim_status ims_page_dates(struct ims_page *page)
{
    size_t count = page->input->count;
    uint32_t *values;
    struct ims_bytes bytes = {0};
    imgsim_status status;

    if (page->input->dates == NULL)
        return IMGSIM_OK;
    if ((values = ims_alloc_array(count, sizeof(*values))) == NULL)
        return ims_fail_memory(count * sizeof(*values));
    for (size_t place = 0; place < count; place++) {
        int64_t date = page->input->dates[page->order[place]];
        uint64_t since = (uint64_t)date - (uint64_t)page->date_start;
        uint64_t step = since / page->date_unit;

        values[place] = date == IMS_PAGE_NO_DATE ? 0 : (uint32_t)(step < 65534 ? step : 65534) + 1;
    }
    ims_bytes_planes(&bytes, values, count, 2);
    status = ims_page_block(page, "dates", -1, &bytes);
    ims_bytes_clear(&bytes);
    ims_free(values);
    return status;
}

/* ---- neighbours ---- */

/* Of each place: how far along the curve its neighbours are. */
imgsim_status ims_page_neighbours(struct ims_page *page)
{
    const struct ims_page_input *input = page->input;
    size_t shown = page->neighbour_count, used = 0;
    uint32_t *steps;
    struct ims_bytes bytes = {0};
    imgsim_status status;

    if (shown == 0)
        return IMGSIM_OK;
    if ((steps = ims_alloc_array(input->count, shown * sizeof(*steps))) == NULL)
        return ims_fail_memory(input->count * shown * sizeof(*steps));
    for (size_t rank = 0; rank < shown; rank++)
        for (size_t place = 0; place < input->count; place++) {
            size_t point = page->order[place];
            uint32_t other = input->neighbours[point * input->neighbour_count + rank];

            steps[used++] = ims_zigzag((int32_t)page->places[other] - (int32_t)place);
        }
    ims_bytes_planes(&bytes, steps, used, ims_planes_needed(steps, used));
    status = ims_page_block(page, "neighbours", -1, &bytes);
    ims_bytes_clear(&bytes);
    ims_free(steps);
    return status;
}
