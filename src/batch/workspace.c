#include "batch/workspace.h"
#include "base/mem.h"

/* 47 address bits: no process of today's machines can hold more. */
static const size_t ADDRESSABLE = (size_t)1 << 47;

sf_status sf_workspace_get(sf_workspace *ws, sf_ws_slot slot, size_t count, size_t size, void *out)
{
    SF_CHECK(count <= ADDRESSABLE / size, SF_ENOMEM, "a patch of %zu voxels does not fit in memory",
             count);
    const size_t bytes = count * size;
    if (bytes > ws->bytes[slot] || ws->buffer[slot] == NULL) {
        sf_mem_free(ws->buffer[slot]);
        ws->buffer[slot] = NULL;
        ws->bytes[slot] = 0;
        SF_TRY(sf_mem_alloc(&ws->buffer[slot], bytes, 1, SF_MEM_BATCH));
        ws->bytes[slot] = bytes;
    }
    *(void **)out = ws->buffer[slot];
    return SF_OK;
}

void sf_workspace_clear(sf_workspace *ws)
{
    for (int i = 0; i < SF_WS_COUNT; i++) {
        sf_mem_free(ws->buffer[i]);
        ws->buffer[i] = NULL;
        ws->bytes[i] = 0;
    }
}
