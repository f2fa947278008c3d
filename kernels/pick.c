#include "kernels/pick.h"
#include "base/log.h"
#include "kernels/cpu.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Refusals so far, as text; what does not fit is cut. */
typedef struct {
    char text[256];
} refusals;

static void refuse(refusals *r, const char *name, const char *why)
{
    const size_t used = strlen(r->text);
    snprintf(r->text + used, sizeof r->text - used, "%s%s: %s", used ? ", " : " (", name, why);
}

static void report(const char *what, sf_shape in, int64_t co, const int k[3], const int s[3],
                   const char *name, const refusals *r)
{
    sf_log(SF_LOG_DEBUG, "dispatch",
           "%s n=%" PRId64 " ci=%" PRId64 " co=%" PRId64 " in=%" PRId64 "x%" PRId64 "x%" PRId64
           " k=%dx%dx%d s=%dx%dx%d -> %s%s%s",
           what, in.n, in.c, co, in.d, in.h, in.w, k[0], k[1], k[2], s[0], s[1], s[2], name,
           r->text, r->text[0] ? ")" : "");
}

const sf_conv_impl *sf_conv_pick(const sf_conv *c)
{
    const unsigned isa = sf_cpu_isa();
    refusals r = { "" };
    const sf_conv_impl *const *im = sf_conv_impls;
    for (; im[1]; im++) {
        if ((*im)->isa & ~isa)
            refuse(&r, (*im)->name, "isa");
        else if ((*im)->accepts && !(*im)->accepts(c))
            refuse(&r, (*im)->name, "shape or type");
        else
            break;
    }
    report("conv", c->in, c->out.c, c->kernel, c->stride, (*im)->name, &r);
    return *im;
}

const sf_convt_impl *sf_convt_pick(const sf_convt *c)
{
    const unsigned isa = sf_cpu_isa();
    refusals r = { "" };
    const sf_convt_impl *const *im = sf_convt_impls;
    for (; im[1]; im++) {
        if ((*im)->isa & ~isa)
            refuse(&r, (*im)->name, "isa");
        else if ((*im)->accepts && !(*im)->accepts(c))
            refuse(&r, (*im)->name, "shape or type");
        else
            break;
    }
    report("convt", c->in, c->out.c, c->stride, c->stride, (*im)->name, &r);
    return *im;
}
