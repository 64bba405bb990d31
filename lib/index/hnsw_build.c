/* SPDX-License-Identifier: Apache-2.0 */
#include "index/hnsw.h"
imgsim_status ims_graph_new(const imgsim_index *i, struct ims_graph **g)
{
    (void)i;
    (void)g;
    return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "hnsw is not there yet");
}
void ims_graph_free(struct ims_graph *g)
{
    (void)g;
}
imgsim_status ims_graph_add(
    imgsim_index *i,
    const uint32_t *s,
    size_t c,
    struct ims_pool *p,
    struct ims_meter *m,
    size_t *d)
{
    (void)i;
    (void)s;
    (void)c;
    (void)p;
    (void)m;
    (void)d;
    return IMGSIM_OK;
}
imgsim_status ims_graph_own(struct ims_graph *g, size_t c)
{
    (void)g;
    (void)c;
    return IMGSIM_OK;
}
bool ims_graph_remove(struct ims_graph *g, uint32_t s)
{
    (void)g;
    (void)s;
    return false;
}
imgsim_status ims_graph_sweep(imgsim_index *i, struct ims_pool *p, bool f)
{
    (void)i;
    (void)p;
    (void)f;
    return IMGSIM_OK;
}
imgsim_status ims_graph_search(const struct ims_search *s)
{
    return ims_exact_search(s);
}
size_t ims_graph_sections(
    const struct ims_graph *g,
    size_t c,
    struct ims_graph_header *h,
    struct ims_section_data *s)
{
    (void)g;
    (void)c;
    (void)h;
    (void)s;
    return 0;
}
imgsim_status ims_graph_open(imgsim_index *i, struct ims_graph **g)
{
    (void)i;
    (void)g;
    return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "hnsw is not there yet");
}
