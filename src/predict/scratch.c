#include "predict/scratch.h"
#include "base/mem.h"
#include "base/path.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sf_scratch {
    int fd;
    char dir[SF_PATH_MAX];
};

sf_status sf_scratch_open(sf_scratch **out, const char *dir, int64_t bytes)
{
    char name[SF_PATH_MAX];
    sf_scratch *s;
    *out = NULL;
    SF_TRY(sf_path_format(name, "%s/.sums.tmp.XXXXXX", dir));
    SF_TRY(sf_mem_calloc(&s, 1, sizeof *s, SF_MEM_MISC));
    strcpy(s->dir, dir);
    s->fd = mkstemp(name);
    int failed = s->fd < 0 ? errno : 0;
    if (!failed && (unlink(name) != 0 || ftruncate(s->fd, (off_t)bytes) != 0)) failed = errno;
    if (failed) {
        sf_scratch_close(&s);
        return SF_FAIL(SF_EIO, "%s: no working file of %lld bytes can be made: %s", dir,
                       (long long)bytes, strerror(failed));
    }
    *out = s;
    return SF_OK;
}

void sf_scratch_close(sf_scratch **s)
{
    if (*s == NULL) return;
    if ((*s)->fd >= 0) close((*s)->fd);
    sf_mem_free(*s);
    *s = NULL;
}

sf_status sf_scratch_read(const sf_scratch *s, int64_t offset, void *dst, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n =
            pread(s->fd, (char *)dst + done, bytes - done, (off_t)offset + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        SF_CHECK(n > 0, SF_EIO, "%s: the working file cannot be read: %s", s->dir,
                 n < 0 ? strerror(errno) : "it ends too early");
        done += (size_t)n;
    }
    return SF_OK;
}

sf_status sf_scratch_write(const sf_scratch *s, int64_t offset, const void *src, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n =
            pwrite(s->fd, (const char *)src + done, bytes - done, (off_t)offset + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        SF_CHECK(n > 0, SF_EIO, "%s: the working file cannot be written: %s", s->dir,
                 n < 0 ? strerror(errno) : "nothing was written");
        done += (size_t)n;
    }
    return SF_OK;
}
