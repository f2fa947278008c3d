#include "store/trailer.h"
#include "base/hash.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { END_SIZE = 128, BLOCK = 1 << 20, LINE = 128 };
static const int64_t text_limit = (int64_t)1 << 28;

static sf_status file_size(int64_t *out, int fd, const char *path)
{
    struct stat s;
    SF_CHECK(fstat(fd, &s) == 0, SF_EIO, "%s: %s", path, strerror(errno));
    SF_CHECK(S_ISREG(s.st_mode), SF_EDATA, "%s: not a regular file", path);
    *out = (int64_t)s.st_size;
    return SF_OK;
}

static sf_status read_at(int fd, const char *path, void *data, int64_t n, int64_t at)
{
    while (n > 0) {
        const ssize_t k = pread(fd, data, (size_t)n, (off_t)at);
        if (k < 0 && errno == EINTR) continue;
        SF_CHECK(k >= 0, SF_EIO, "%s: cannot be read: %s", path, strerror(errno));
        SF_CHECK(k > 0, SF_EDATA, "%s: ends too early", path);
        data = (char *)data + k;
        n -= k;
        at += k;
    }
    return SF_OK;
}

static sf_status write_all(int fd, const char *path, const char *data, size_t n)
{
    while (n > 0) {
        const ssize_t k = write(fd, data, n);
        if (k < 0 && errno == EINTR) continue;
        SF_CHECK(k > 0, SF_EIO, "%s: cannot be written: %s", path,
                 strerror(k < 0 ? errno : ENOSPC));
        data += k;
        n -= (size_t)k;
    }
    return SF_OK;
}

/* ---- hashing ------------------------------------------------------------------------------ */

typedef struct {
    int fd;
    const char *path;
    char *block; /* BLOCK bytes */
} source;

static sf_status add_range(const source *f, int64_t from, int64_t to, sf_sha256 *a, sf_sha256 *b)
{
    for (int64_t at = from; at < to; at += BLOCK) {
        const int64_t n = to - at < BLOCK ? to - at : BLOCK;
        SF_TRY(read_at(f->fd, f->path, f->block, n, at));
        if (a) sf_sha256_add(a, f->block, (size_t)n);
        if (b) sf_sha256_add(b, f->block, (size_t)n);
    }
    return SF_OK;
}

/* `part` leaves out the skipped spans, `full` does not; each may be NULL. The spans are sorted and
 * inside. */
static sf_status hash_file(const source *f, int64_t bytes, const sf_span *skip, int64_t n,
                           char *part, char *full)
{
    sf_sha256 hp, hf;
    int64_t at = 0;
    sf_sha256_begin(&hp);
    sf_sha256_begin(&hf);
    for (int64_t i = 0; i <= n; i++) {
        const int64_t gap = i < n ? skip[i].offset : bytes;
        const int64_t next = i < n ? gap + skip[i].bytes : bytes;
        SF_TRY(add_range(f, at, gap, part ? &hp : NULL, full ? &hf : NULL));
        if (full) SF_TRY(add_range(f, gap, next, &hf, NULL));
        at = next;
    }
    if (part) sf_sha256_end(&hp, part);
    if (full) sf_sha256_end(&hf, full);
    return SF_OK;
}

static bool spans_fit(const sf_span *skip, int64_t n, int64_t bytes)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        if (skip[i].offset < at || skip[i].bytes < 0 || skip[i].offset > bytes) return false;
        if (skip[i].bytes > bytes - skip[i].offset) return false;
        at = skip[i].offset + skip[i].bytes;
    }
    return true;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int by_offset(const void *a, const void *b)
{
    const int64_t x = ((const sf_span *)a)->offset, y = ((const sf_span *)b)->offset;
    return (x > y) - (x < y);
}

static size_t add_line(char *text, size_t at, const char *key, int64_t a, int64_t b)
{
    if (b < 0) return at + (size_t)snprintf(text + at, LINE, "%s %" PRId64 "\n", key, a);
    return at + (size_t)snprintf(text + at, LINE, "%s %" PRId64 " %" PRId64 "\n", key, a, b);
}

static sf_status write_text(const source *f, int64_t bytes, const sf_span *skip, int64_t n,
                            char *text)
{
    char part[65], full[65], sum[65], end[END_SIZE + 1];
    sf_sha256 h;
    SF_TRY(hash_file(f, bytes, skip, n, part, full));
    size_t at = (size_t)snprintf(text, LINE, "segfleet-trailer 1\n");
    at = add_line(text, at, "bytes", bytes, -1);
    for (int64_t i = 0; i < n; i++) at = add_line(text, at, "skip", skip[i].offset, skip[i].bytes);
    at += (size_t)snprintf(text + at, LINE, "part %s\n", part);
    at += (size_t)snprintf(text + at, LINE, "full %s\n", full);
    sf_sha256_begin(&h);
    sf_sha256_add(&h, text, at);
    sf_sha256_end(&h, sum);
    memset(end, ' ', END_SIZE);
    const int k = snprintf(end, sizeof end, "segfleet-end %" PRId64 " %zu %s", bytes, at, sum);
    end[k] = ' ';
    end[END_SIZE - 1] = '\n';
    SF_CHECK(lseek(f->fd, (off_t)bytes, SEEK_SET) == (off_t)bytes, SF_EIO, "%s: %s", f->path,
             strerror(errno));
    SF_TRY(write_all(f->fd, f->path, text, at));
    return write_all(f->fd, f->path, end, END_SIZE);
}

sf_status sf_trailer_append(const char *path, sf_span *skip, int64_t n)
{
    source f = { .fd = open(path, O_RDWR | O_CLOEXEC), .path = path };
    int64_t bytes = 0;
    char *text = NULL;
    sf_status st = SF_OK;
    SF_CHECK(f.fd >= 0, SF_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    SF_GOTO(done, st, file_size(&bytes, f.fd, path));
    if (n > 0) qsort(skip, (size_t)n, sizeof *skip, by_offset);
    SF_CHECK_GOTO(done, st, spans_fit(skip, n, bytes), SF_EINTERNAL,
                  "%s: arrays lie outside the file", path);
    SF_GOTO(done, st, sf_mem_alloc(&f.block, BLOCK, 1, SF_MEM_SCRATCH));
    SF_GOTO(done, st, sf_mem_alloc(&text, (size_t)n + 8, LINE, SF_MEM_SCRATCH));
    SF_GOTO(done, st, write_text(&f, bytes, skip, n, text));
done:
    sf_mem_free(text);
    sf_mem_free(f.block);
    if (close(f.fd) != 0 && st == SF_OK)
        st = SF_FAIL(SF_EIO, "%s: cannot be written: %s", path, strerror(errno));
    return st;
}

/* ---- checking ----------------------------------------------------------------------------- */

typedef struct {
    int64_t bytes;
    sf_span *skip;
    int64_t n;
    char part[65], full[65];
} seal;

static sf_status no_seal(const char *path)
{
    return SF_FAIL(SF_EDATA,
                   "%s: no valid end mark: not written by this program, or cut off; make it again",
                   path);
}

/* A decimal number without sign and its end; -1 when there is none. */
static int64_t number(const char **p)
{
    int64_t v = 0;
    const char *s = *p;
    if (*s < '0' || *s > '9') return -1;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (v > (INT64_MAX / 2 - 9) / 10) return -1;
        v = v * 10 + (*s - '0');
    }
    *p = s;
    return v;
}

static bool word(const char **p, const char *w)
{
    const size_t n = strlen(w);
    if (strncmp(*p, w, n) != 0) return false;
    *p += n;
    return true;
}

static bool hash_word(const char **p, char out[65])
{
    if (strspn(*p, "0123456789abcdef") != 64) return false;
    memcpy(out, *p, 64);
    out[64] = '\0';
    *p += 64;
    return true;
}

static bool parse_lines(seal *s, const char *p, int64_t max_spans)
{
    if (!word(&p, "segfleet-trailer 1\nbytes ")) return false;
    if (number(&p) != s->bytes || !word(&p, "\n")) return false;
    while (word(&p, "skip ")) {
        if (s->n == max_spans) return false;
        sf_span *k = &s->skip[s->n++];
        k->offset = number(&p);
        if (k->offset < 0 || !word(&p, " ")) return false;
        k->bytes = number(&p);
        if (k->bytes < 0 || !word(&p, "\n")) return false;
    }
    return word(&p, "part ") && hash_word(&p, s->part) && word(&p, "\nfull ") &&
           hash_word(&p, s->full) && word(&p, "\n") && *p == '\0' &&
           spans_fit(s->skip, s->n, s->bytes);
}

/* The fixed last line: where the others are and their hash. */
static sf_status read_end(seal *s, int64_t *length, char sum[65], int fd, const char *path)
{
    char end[END_SIZE + 1] = "";
    int64_t size = 0;
    const char *p = end;
    SF_TRY(file_size(&size, fd, path));
    if (size < END_SIZE) return no_seal(path);
    SF_TRY(read_at(fd, path, end, END_SIZE, size - END_SIZE));
    if (!word(&p, "segfleet-end ")) return no_seal(path);
    s->bytes = number(&p);
    if (s->bytes < 0 || !word(&p, " ")) return no_seal(path);
    *length = number(&p);
    if (*length < 0 || *length > text_limit || !word(&p, " ")) return no_seal(path);
    if (!hash_word(&p, sum)) return no_seal(path);
    p += strspn(p, " ");
    if (p != end + END_SIZE - 1 || *p != '\n') return no_seal(path);
    if (s->bytes > size || *length != size - END_SIZE - s->bytes) return no_seal(path);
    return SF_OK;
}

static sf_status read_seal(seal *s, char **text, int fd, const char *path)
{
    char want[65], have[65];
    int64_t length = 0;
    sf_sha256 h;
    SF_TRY(read_end(s, &length, want, fd, path));
    SF_TRY(sf_mem_calloc(text, (size_t)length + 1, 1, SF_MEM_SCRATCH));
    SF_TRY(read_at(fd, path, *text, length, s->bytes));
    sf_sha256_begin(&h);
    sf_sha256_add(&h, *text, (size_t)length);
    sf_sha256_end(&h, have);
    if (strcmp(have, want) != 0) return no_seal(path);
    const int64_t most = length / 8 + 1; /* "skip 0 0" and a newline is the shortest line */
    SF_TRY(sf_mem_alloc(&s->skip, (size_t)most, sizeof *s->skip, SF_MEM_SCRATCH));
    if (!parse_lines(s, *text, most)) return no_seal(path);
    return SF_OK;
}

sf_status sf_trailer_verify(int fd, const char *path, bool full, int64_t *bytes)
{
    source f = { .fd = fd, .path = path };
    seal s = { .skip = NULL };
    char *text = NULL, have[65] = "";
    sf_status st = SF_OK;
    SF_GOTO(done, st, read_seal(&s, &text, fd, path));
    SF_GOTO(done, st, sf_mem_alloc(&f.block, BLOCK, 1, SF_MEM_SCRATCH));
    SF_GOTO(done, st, hash_file(&f, s.bytes, s.skip, s.n, full ? NULL : have, full ? have : NULL));
    SF_CHECK_GOTO(done, st, strcmp(have, full ? s.full : s.part) == 0, SF_EDATA,
                  "%s: damaged: its SHA-256 is not the one it was written with; make it again",
                  path);
    *bytes = s.bytes;
done:
    sf_mem_free(f.block);
    sf_mem_free(s.skip);
    sf_mem_free(text);
    return st;
}
