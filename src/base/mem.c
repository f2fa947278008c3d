/* Aligned allocation with counters. Every block carries a header of one alignment unit, so that
 * freeing and resizing know size and category. */
#include "base/mem.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { ALIGN = 64, MAGIC = 0x5f6d656d, HUGE_PAGE = 2 << 20, HUGE_FROM = 8 << 20 };

typedef struct {
    size_t bytes;
    uint32_t cat, magic;
} header;

static _Atomic int64_t live[SF_MEM_CATEGORIES], total, peak;

static void count(sf_mem_cat cat, int64_t bytes)
{
    atomic_fetch_add(&live[cat], bytes);
    const int64_t now = atomic_fetch_add(&total, bytes) + bytes;
    int64_t seen = atomic_load(&peak);
    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now)) continue;
}

static header *header_of(void *p) { return (header *)((char *)p - ALIGN); }

/* Large blocks ask for huge pages: kernels walk hundreds of streams at once, more than the address
 * caches hold in small pages. A system without them says no, and nothing changes. */
static char *raw_block(size_t bytes)
{
    if (bytes < HUGE_FROM) return aligned_alloc(ALIGN, bytes);
    const size_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *raw = aligned_alloc(HUGE_PAGE, whole);
#ifdef MADV_HUGEPAGE
    if (raw != NULL) (void)madvise(raw, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return raw;
}

/* @return NULL when memory runs out or count * size overflows. */
static void *block_new(size_t n, size_t size, sf_mem_cat cat)
{
    size_t bytes = 0;
    if (__builtin_mul_overflow(n, size, &bytes) || bytes > (size_t)PTRDIFF_MAX - 2 * HUGE_PAGE)
        return NULL;
    const size_t whole = (bytes + 2 * ALIGN - 1) / ALIGN * ALIGN;
    char *raw = raw_block(whole);
    if (raw == NULL) return NULL;
    *(header *)raw = (header){ .bytes = bytes, .cat = (uint32_t)cat, .magic = MAGIC };
    count(cat, (int64_t)bytes);
    return raw + ALIGN;
}

static sf_status no_memory(size_t n, size_t size)
{
    return SF_FAIL(SF_ENOMEM, "no memory for %zu x %zu bytes (%.1f MiB in use)", n, size,
                   (double)atomic_load(&total) / 1048576.0);
}

sf_status sf_mem_alloc(void *out, size_t n, size_t size, sf_mem_cat cat)
{
    void *p = block_new(n, size, cat);
    memcpy(out, &p, sizeof p); /* `out` may be the address of any pointer type */
    return p != NULL ? SF_OK : no_memory(n, size);
}

sf_status sf_mem_calloc(void *out, size_t n, size_t size, sf_mem_cat cat)
{
    SF_TRY(sf_mem_alloc(out, n, size, cat));
    void *p = NULL;
    memcpy(&p, out, sizeof p);
    memset(p, 0, n * size);
    return SF_OK;
}

sf_status sf_mem_resize(void *inout, size_t n, size_t size, sf_mem_cat cat)
{
    void *old = NULL;
    memcpy(&old, inout, sizeof old);
    void *p = block_new(n, size, cat);
    if (p == NULL) return no_memory(n, size);
    if (old != NULL) {
        const size_t had = header_of(old)->bytes;
        memcpy(p, old, had < n * size ? had : n * size);
        sf_mem_free(old);
    }
    memcpy(inout, &p, sizeof p);
    return SF_OK;
}

void sf_mem_free(void *p)
{
    if (p == NULL) return;
    header *h = header_of(p);
    if (h->magic != MAGIC) abort(); /* our own bug: freed twice, or never ours */
    h->magic = 0;
    count((sf_mem_cat)h->cat, -(int64_t)h->bytes);
    free(h);
}

sf_status sf_mem_strdup(char **out, const char *s)
{
    const size_t n = strlen(s) + 1;
    SF_TRY(sf_mem_alloc(out, n, 1, SF_MEM_MISC));
    memcpy(*out, s, n);
    return SF_OK;
}

sf_status sf_mem_printf(char **out, const char *fmt, ...)
{
    va_list args;
    *out = NULL;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    SF_CHECK(n >= 0, SF_EINTERNAL, "text cannot be formatted: %s", fmt);
    SF_TRY(sf_mem_alloc(out, (size_t)n + 1, 1, SF_MEM_MISC));
    va_start(args, fmt);
    vsnprintf(*out, (size_t)n + 1, fmt, args);
    va_end(args);
    return SF_OK;
}

int64_t sf_mem_live(sf_mem_cat cat)
{
    return cat < SF_MEM_CATEGORIES ? atomic_load(&live[cat]) : atomic_load(&total);
}

int64_t sf_mem_peak(void) { return atomic_load(&peak); }

void sf_mem_of_process(sf_mem_process *p)
{
    char line[256];
    long long kib;
    memset(p, 0, sizeof *p);
    FILE *f = fopen("/proc/self/status", "r");
    if (f == NULL) return;
    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "VmRSS: %lld", &kib) == 1) p->resident = kib * 1024;
        if (sscanf(line, "VmHWM: %lld", &kib) == 1) p->highest = kib * 1024;
        if (sscanf(line, "RssFile: %lld", &kib) == 1) p->mapped = kib * 1024;
    }
    fclose(f);
}
