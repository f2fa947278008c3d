#include "interop/torch_params.h"
#include <stdio.h>
#include <string.h>

static void shape_text(char *out, size_t size, int ndim, const int64_t *dim)
{
    size_t n = 0;
    out[0] = 0;
    for (int d = 0; d < ndim && n < size; d++)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", d ? "," : "", (long long)dim[d]);
}

static sf_status copy_param(const sf_torch_checkpoint *c, sf_dtype dtype, sf_param *p)
{
    const sf_torch_tensor *t = sf_torch_find(c, p->name);
    SF_CHECK(t, SF_EDATA,
             "the checkpoint has no weight \"%s\": it belongs to another plan or network class",
             p->name);
    bool same = t->ndim == p->ndim;
    for (int d = 0; same && d < p->ndim; d++) same = t->dim[d] == p->dim[d];
    if (!same) {
        char have[128], want[128];
        shape_text(have, sizeof have, t->ndim, t->dim);
        shape_text(want, sizeof want, p->ndim, p->dim);
        return SF_FAIL(SF_EDATA,
                       "weight \"%s\" has shape (%s) in the checkpoint, but the plan needs (%s)",
                       p->name, have, want);
    }
    for (int64_t i = 0; i < p->count; i++) {
        if (dtype == SF_F64)
            ((double *)p->value)[i] = (double)t->data[i];
        else
            ((float *)p->value)[i] = t->data[i];
    }
    return SF_OK;
}

/** Names under which PyTorch repeats tensors. */
static bool repeats(const char *name)
{
    return strstr(name, ".all_modules.") || strncmp(name, "decoder.encoder.", 16) == 0;
}

sf_status sf_torch_to_params(const sf_torch_checkpoint *c, sf_params *p)
{
    for (int i = 0; i < c->count; i++)
        SF_CHECK(repeats(c->tensor[i].name) || sf_params_find(p, c->tensor[i].name), SF_EDATA,
                 "the checkpoint's weight \"%s\" has no place in the plan's network",
                 c->tensor[i].name);
    for (int i = 0; i < p->count; i++) SF_TRY(copy_param(c, p->dtype, &p->item[i]));
    return SF_OK;
}
