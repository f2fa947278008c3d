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

enum { END_SIZE = 128, BLOCK = 1 << 20, LINE = 160 };
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

static sf_status add_range(const source *f, int64_t from, int64_t to, sf_sha256 *h)
{
    for (int64_t at = from; at < to; at += BLOCK) {
        const int64_t n = to - at < BLOCK ? to - at : BLOCK;
        SF_TRY(read_at(f->fd, f->path, f->block, n, at));
        sf_sha256_add(h, f->block, (size_t)n);
    }
    return SF_OK;
}

/* Everything but the arrays, which are sorted and inside. */
static sf_status hash_rest(const source *f, int64_t bytes, const sf_sealed *array, int64_t n,
                           char hex[65])
{
    sf_sha256 h;
    int64_t at = 0;
    sf_sha256_begin(&h);
    for (int64_t i = 0; i < n; i++) {
        SF_TRY(add_range(f, at, array[i].offset, &h));
        at = array[i].offset + array[i].bytes;
    }
    SF_TRY(add_range(f, at, bytes, &h));
    sf_sha256_end(&h, hex);
    return SF_OK;
}

static bool arrays_fit(const sf_sealed *array, int64_t n, int64_t bytes)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const sf_sealed *a = &array[i];
        if (a->offset < at || a->bytes < 0 || a->offset > bytes) return false;
        if (a->bytes > bytes - a->offset) return false;
        at = a->offset + a->bytes;
    }
    return true;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int by_offset(const void *a, const void *b)
{
    const int64_t x = ((const sf_sealed *)a)->offset, y = ((const sf_sealed *)b)->offset;
    return (x > y) - (x < y);
}

static sf_status write_text(const source *f, int64_t bytes, const sf_sealed *array, int64_t n,
                            char *text)
{
    char rest[65], sum[65], end[END_SIZE + 1];
    sf_sha256 h;
    SF_TRY(hash_rest(f, bytes, array, n, rest));
    size_t at = (size_t)snprintf(text, LINE, "segfleet-trailer 1\nbytes %" PRId64 "\n", bytes);
    for (int64_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, LINE, "array %" PRId64 " %" PRId64 " %s\n",
                               array[i].offset, array[i].bytes, array[i].sha256);
    at += (size_t)snprintf(text + at, LINE, "rest %s\n", rest);
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

sf_status sf_trailer_append(const char *path, sf_sealed *array, int64_t n)
{
    source f = { .fd = open(path, O_RDWR | O_CLOEXEC), .path = path };
    int64_t bytes = 0;
    char *text = NULL;
    sf_status st = SF_OK;
    SF_CHECK(f.fd >= 0, SF_EIO, "%s: cannot be opened: %s", path, strerror(errno));
    SF_GOTO(done, st, file_size(&bytes, f.fd, path));
    if (n > 0) qsort(array, (size_t)n, sizeof *array, by_offset);
    SF_CHECK_GOTO(done, st, arrays_fit(array, n, bytes), SF_EINTERNAL,
                  "%s: arrays lie outside the file", path);
    SF_GOTO(done, st, sf_mem_alloc(&f.block, BLOCK, 1, SF_MEM_SCRATCH));
    SF_GOTO(done, st, sf_mem_alloc(&text, (size_t)n + 8, LINE, SF_MEM_SCRATCH));
    SF_GOTO(done, st, write_text(&f, bytes, array, n, text));
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
    sf_sealed *array;
    int64_t n;
    char rest[65];
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

static bool parse_lines(seal *s, const char *p, int64_t most)
{
    if (!word(&p, "segfleet-trailer 1\nbytes ")) return false;
    if (number(&p) != s->bytes || !word(&p, "\n")) return false;
    while (word(&p, "array ")) {
        if (s->n == most) return false;
        sf_sealed *k = &s->array[s->n++];
        k->offset = number(&p);
        if (k->offset < 0 || !word(&p, " ")) return false;
        k->bytes = number(&p);
        if (k->bytes < 0 || !word(&p, " ") || !hash_word(&p, k->sha256) || !word(&p, "\n"))
            return false;
    }
    return word(&p, "rest ") && hash_word(&p, s->rest) && word(&p, "\n") && *p == '\0' &&
           arrays_fit(s->array, s->n, s->bytes);
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

sf_status sf_trailer_id(const char *path, char id[65])
{
    seal s = { 0 };
    int64_t length;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    SF_CHECK(fd >= 0, SF_EIO, "%s: cannot be read: %s", path, strerror(errno));
    const sf_status st = read_end(&s, &length, id, fd, path);
    close(fd);
    return st;
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
    const int64_t most = length / 64; /* every line of an array has a hash */
    SF_TRY(sf_mem_alloc(&s->array, (size_t)most, sizeof *s->array, SF_MEM_SCRATCH));
    if (!parse_lines(s, *text, most)) return no_seal(path);
    return SF_OK;
}

static sf_status check_hash(const char *have, const char *want, const char *path)
{
    SF_CHECK(strcmp(have, want) == 0, SF_EDATA,
             "%s: damaged: its SHA-256 is not the one it was written with; make it again", path);
    return SF_OK;
}

static sf_status check_hashes(const source *f, const seal *s, bool full)
{
    char have[65];
    SF_TRY(hash_rest(f, s->bytes, s->array, s->n, have));
    SF_TRY(check_hash(have, s->rest, f->path));
    for (int64_t i = 0; full && i < s->n; i++) {
        sf_sha256 h;
        sf_sha256_begin(&h);
        SF_TRY(add_range(f, s->array[i].offset, s->array[i].offset + s->array[i].bytes, &h));
        sf_sha256_end(&h, have);
        SF_TRY(check_hash(have, s->array[i].sha256, f->path));
    }
    return SF_OK;
}

sf_status sf_trailer_verify(int fd, const char *path, bool full, int64_t *bytes)
{
    source f = { .fd = fd, .path = path };
    seal s = { .array = NULL };
    char *text = NULL;
    sf_status st = SF_OK;
    SF_GOTO(done, st, read_seal(&s, &text, fd, path));
    SF_GOTO(done, st, sf_mem_alloc(&f.block, BLOCK, 1, SF_MEM_SCRATCH));
    SF_GOTO(done, st, check_hashes(&f, &s, full));
    *bytes = s.bytes;
done:
    sf_mem_free(f.block);
    sf_mem_free(s.array);
    sf_mem_free(text);
    return st;
}
