/** Memory: 64-byte aligned (one cache line, one AVX-512 vector), counted by category.
 *  The counters must be zero when a test program ends. All functions are thread-safe; none is
 *  collective. Every block is freed with sf_mem_free, never with free. */
#ifndef SF_BASE_MEM_H
#define SF_BASE_MEM_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef enum {
    SF_MEM_MISC,
    SF_MEM_IMAGE,
    SF_MEM_ARENA,
    SF_MEM_PARAMS,
    SF_MEM_BATCH,
    SF_MEM_SCRATCH,
    SF_MEM_CATEGORIES
} sf_mem_cat;

/** Allocate count * size bytes (overflow checked), 64-byte aligned, not cleared.
 *  @param out  address of a pointer of any type; NULL on failure. A zero count gives a pointer too.
 *  @return SF_OK or SF_ENOMEM. Thread-safe. Free with sf_mem_free. */
sf_status sf_mem_alloc(void *out, size_t count, size_t size, sf_mem_cat cat);
/** The same, cleared. */
sf_status sf_mem_calloc(void *out, size_t count, size_t size, sf_mem_cat cat);
/** Grow or shrink *inout (any pointer type, may hold NULL) keeping its content.
 *  On failure it is unchanged. */
sf_status sf_mem_resize(void *inout, size_t count, size_t size, sf_mem_cat cat);
/** NULL is allowed. */
void sf_mem_free(void *p);
/** Copy a string; caller frees with sf_mem_free. */
sf_status sf_mem_strdup(char **out, const char *s);
/** printf into a new string; caller frees with sf_mem_free. */
sf_status sf_mem_printf(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Bytes that are allocated now, of one category or (SF_MEM_CATEGORIES) of all. */
int64_t sf_mem_live(sf_mem_cat cat);
/** The highest total so far. */
int64_t sf_mem_peak(void);

/** What the system counts for this process, in bytes; all 0 where it does not tell (/proc). */
typedef struct {
    int64_t resident; /* in memory now (VmRSS) */
    int64_t highest;  /* the most so far (VmHWM) */
    int64_t mapped; /* of resident: pages of files, which all processes of a node share (RssFile) */
} sf_mem_process;

/** Reads a small file of the kernel: for a few calls per training, not for every step. */
void sf_mem_of_process(sf_mem_process *p);

#endif
