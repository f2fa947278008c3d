#include "fleet/handout.h"
#include "base/mem.h"
#include <string.h>

typedef struct {
    sf_case_props props;
    int64_t id_bytes;
    int channels, has_seg;
} head;

static int64_t voxels(const head *h)
{
    return h->props.shape[0] * h->props.shape[1] * h->props.shape[2];
}

static sf_status make_room(sf_prepared **out, const head *h)
{
    SF_TRY(sf_mem_calloc(out, 1, sizeof **out, SF_MEM_MISC));
    sf_prepared *p = *out;
    p->props = h->props;
    p->channels = h->channels;
    SF_TRY(sf_mem_calloc(&p->id, (size_t)h->id_bytes, 1, SF_MEM_MISC));
    if (h->channels > 0)
        SF_TRY(sf_mem_alloc(&p->data, (size_t)(h->channels * voxels(h)), sizeof *p->data,
                            SF_MEM_IMAGE));
    if (!h->has_seg) return SF_OK;
    return sf_mem_alloc(&p->seg, (size_t)voxels(h), sizeof *p->seg, SF_MEM_IMAGE);
}

static sf_status send_arrays(sf_comm *c, sf_prepared *p, const head *h)
{
    SF_TRY(sf_comm_bcast(c, p->id, (size_t)h->id_bytes, 0));
    if (h->channels > 0)
        SF_TRY(sf_comm_bcast(c, p->data, (size_t)(h->channels * voxels(h)) * sizeof *p->data, 0));
    if (!h->has_seg) return SF_OK;
    return sf_comm_bcast(c, p->seg, (size_t)voxels(h) * sizeof *p->seg, 0);
}

sf_status sf_handout_prepared(sf_comm *c, sf_prepared **p, sf_status mine)
{
    const bool first = sf_comm_rank(c) == 0;
    head h;
    sf_status st;
    if (sf_comm_size(c) == 1) return mine;
    SF_TRY(sf_comm_agree(c, mine));
    memset(&h, 0, sizeof h);
    if (first)
        h = (head){ .props = (*p)->props,
                    .id_bytes = (int64_t)strlen((*p)->id) + 1,
                    .channels = (*p)->channels,
                    .has_seg = (*p)->seg != NULL };
    SF_TRY(sf_comm_bcast(c, &h, sizeof h, 0));
    st = first ? SF_OK : make_room(p, &h);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    SF_GOTO(fail, st, send_arrays(c, *p, &h));
    return SF_OK;
fail:
    if (!first) sf_prepared_destroy(p);
    return st;
}
