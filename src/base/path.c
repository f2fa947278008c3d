/* Paths, folders, and files that appear whole or not at all. */
#include "base/path.h"
#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

sf_status sf_path_format(char out[SF_PATH_MAX], const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(out, SF_PATH_MAX, fmt, args);
    va_end(args);
    SF_CHECK(n >= 0 && n < SF_PATH_MAX, SF_EINVAL, "path is longer than %d bytes: %.200s...",
             SF_PATH_MAX - 1, out);
    return SF_OK;
}

sf_status sf_path_join(char out[SF_PATH_MAX], const char *a, const char *b, const char *c)
{
    const size_t n = strlen(a);
    const char *const mid = n == 0 || a[n - 1] == '/' ? "" : "/";
    return sf_path_format(out, "%s%s%s%s%s", a, mid, b, c != NULL ? "/" : "", c != NULL ? c : "");
}

bool sf_path_is_file(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool sf_path_is_dir(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

const char *sf_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Another process may make the same folder between our look and our mkdir: EEXIST is success. */
static sf_status make_one(const char *dir)
{
    if (mkdir(dir, 0777) == 0) return SF_OK;
    const int why = errno;
    if (sf_path_is_dir(dir)) return SF_OK;
    return SF_FAIL(SF_EIO, "%s: cannot make this folder: %s", dir, strerror(why));
}

sf_status sf_path_make_dirs(const char *dir)
{
    char part[SF_PATH_MAX];
    SF_TRY(sf_path_format(part, "%s", dir));
    SF_CHECK(part[0] != 0, SF_EINVAL, "cannot make a folder with an empty name");
    for (char *p = part + 1; *p != 0; p++) {
        if (*p != '/') continue;
        *p = 0;
        SF_TRY(make_one(part));
        *p = '/';
    }
    return make_one(part);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void sf_path_free_list(char ***names, size_t count)
{
    if (names == NULL || *names == NULL) return;
    for (size_t i = 0; i < count; i++) sf_mem_free((*names)[i]);
    sf_mem_free(*names);
    *names = NULL;
}

static sf_status read_names(DIR *d, char ***names, size_t *count, const char *dir)
{
    size_t room = 0;
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        SF_CHECK(e != NULL || errno == 0, SF_EIO, "%s: cannot list: %s", dir, strerror(errno));
        if (e == NULL) return SF_OK;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (*count == room) {
            room = room == 0 ? 32 : 2 * room;
            SF_TRY(sf_mem_resize(names, room, sizeof **names, SF_MEM_MISC));
        }
        SF_TRY(sf_mem_strdup(&(*names)[*count], e->d_name));
        ++*count;
    }
}

sf_status sf_path_list(char ***names, size_t *count, const char *dir)
{
    *names = NULL;
    *count = 0;
    DIR *d = opendir(dir);
    SF_CHECK(d != NULL, SF_EIO, "%s: cannot list this folder: %s", dir, strerror(errno));
    const sf_status st = read_names(d, names, count, dir);
    closedir(d);
    if (st != SF_OK) {
        sf_path_free_list(names, *count);
        *count = 0;
        return st;
    }
    if (*count > 0) qsort(*names, *count, sizeof **names, compare_names);
    return SF_OK;
}

/* Reads until the end rather than trusting the size: /proc files and pipes say 0. */
static sf_status read_all(int fd, char **data, size_t *size, const char *path, size_t max_bytes)
{
    struct stat s;
    SF_CHECK(fstat(fd, &s) == 0, SF_EIO, "%s: cannot read: %s", path, strerror(errno));
    size_t room = s.st_size > 0 ? (size_t)s.st_size : 4096;
    if (max_bytes != 0 && room > max_bytes) room = max_bytes;
    SF_TRY(sf_mem_alloc(data, room + 1, 1, SF_MEM_MISC));
    for (;;) {
        const ssize_t got = read(fd, *data + *size, room - *size + 1);
        if (got < 0 && errno == EINTR) continue;
        SF_CHECK(got >= 0, SF_EIO, "%s: cannot read: %s", path, strerror(errno));
        if (got == 0) break;
        *size += (size_t)got;
        SF_CHECK(max_bytes == 0 || *size <= max_bytes, SF_EIO,
                 "%s: larger than the %zu bytes that are allowed here", path, max_bytes);
        if (*size > room) {
            room = 2 * *size;
            SF_TRY(sf_mem_resize(data, room + 1, 1, SF_MEM_MISC));
        }
    }
    (*data)[*size] = 0;
    return SF_OK;
}

sf_status sf_path_read(char **data, size_t *size, const char *path, size_t max_bytes)
{
    size_t n = 0;
    *data = NULL;
    if (size != NULL) *size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    SF_CHECK(fd >= 0, SF_EIO, "%s: cannot open: %s", path, strerror(errno));
    const sf_status st = read_all(fd, data, &n, path, max_bytes);
    close(fd);
    if (st != SF_OK) {
        sf_mem_free(*data);
        *data = NULL;
        return st;
    }
    if (size != NULL) *size = n;
    return SF_OK;
}

sf_status sf_path_tmp_name(char tmp[SF_PATH_MAX], const char *path)
{
    return sf_path_format(tmp, "%s.tmp.%ld", path, (long)getpid());
}

/* Without this a power cut may undo the rename. Some file systems refuse it for folders: not an
 * error. */
static void sync_parent(const char *path)
{
    char dir[SF_PATH_MAX];
    const char *base = sf_path_base(path);
    const int n = (int)(base - path);
    snprintf(dir, sizeof dir, "%.*s", n, path);
    const int fd = open(n > 0 ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)fsync(fd);
    close(fd);
}

static sf_status sync_file(const char *tmp, const char *path)
{
    const int fd = open(tmp, O_RDWR | O_CLOEXEC);
    SF_CHECK(fd >= 0, SF_EIO, "%s: cannot open the new file: %s", tmp, strerror(errno));
    const int bad = fsync(fd) != 0 ? errno : 0;
    close(fd);
    SF_CHECK(bad == 0, SF_EIO, "%s: cannot write to disk: %s", path, strerror(bad));
    return SF_OK;
}

sf_status sf_path_commit(const char *tmp, const char *path)
{
    const sf_status st = sync_file(tmp, path);
    if (st != SF_OK) {
        unlink(tmp);
        return sf_trace_(st, __FILE__, __LINE__, "sync_file");
    }
    if (rename(tmp, path) != 0) {
        const int why = errno;
        unlink(tmp);
        return SF_FAIL(SF_EIO, "%s: cannot replace this file: %s", path, strerror(why));
    }
    sync_parent(path);
    return SF_OK;
}

static sf_status write_all(int fd, const char *data, size_t size, const char *path)
{
    while (size > 0) {
        const ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        SF_CHECK(n > 0, SF_EIO, "%s: cannot write: %s", path, strerror(n < 0 ? errno : ENOSPC));
        data += n;
        size -= (size_t)n;
    }
    return SF_OK;
}

static sf_status open_tmp(int *fd, char tmp[SF_PATH_MAX], const char *path)
{
    SF_TRY(sf_path_tmp_name(tmp, path));
    *fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    SF_CHECK(*fd >= 0, SF_EIO, "%s: cannot write here: %s", path, strerror(errno));
    return SF_OK;
}

/* Some network file systems report a full disk only when the file is closed. */
static sf_status close_tmp(int fd, const char *tmp, const char *path, sf_status st)
{
    if (close(fd) != 0 && st == SF_OK)
        st = SF_FAIL(SF_EIO, "%s: cannot write: %s", path, strerror(errno));
    if (st != SF_OK) {
        unlink(tmp);
        return st;
    }
    return sf_path_commit(tmp, path);
}

sf_status sf_path_write(const char *path, const void *data, size_t size)
{
    char tmp[SF_PATH_MAX];
    int fd = -1;
    SF_TRY(open_tmp(&fd, tmp, path));
    return close_tmp(fd, tmp, path, write_all(fd, data, size, path));
}

static sf_status copy_bytes(int in, int out, const char *from, const char *to)
{
    char buffer[65536];
    for (;;) {
        const ssize_t n = read(in, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        SF_CHECK(n >= 0, SF_EIO, "%s: cannot read: %s", from, strerror(errno));
        if (n == 0) return SF_OK;
        SF_TRY(write_all(out, buffer, (size_t)n, to));
    }
}

sf_status sf_path_copy(const char *from, const char *to)
{
    char tmp[SF_PATH_MAX];
    int out = -1;
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    SF_CHECK(in >= 0, SF_EIO, "%s: cannot open: %s", from, strerror(errno));
    sf_status st = open_tmp(&out, tmp, to);
    if (st == SF_OK) st = close_tmp(out, tmp, to, copy_bytes(in, out, from, to));
    close(in);
    return st;
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *walk)
{
    (void)s, (void)kind, (void)walk;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

sf_status sf_path_remove(const char *path)
{
    enum { OPEN_FOLDERS = 16 };
    struct stat s;
    if (lstat(path, &s) != 0 && errno == ENOENT) return SF_OK;
    const int rc = nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    SF_CHECK(rc == 0, SF_EIO, "%s: cannot remove: %s", path, strerror(errno));
    return SF_OK;
}

sf_status sf_path_sweep_tmp(const char *dir)
{
    char **names = NULL, path[SF_PATH_MAX];
    size_t count = 0;
    sf_status st = sf_path_list(&names, &count, dir);
    for (size_t i = 0; st == SF_OK && i < count; i++) {
        if (strstr(names[i], ".tmp.") == NULL) continue;
        st = sf_path_join(path, dir, names[i], NULL);
        if (st == SF_OK && !sf_path_is_dir(path)) st = sf_path_remove(path);
    }
    sf_path_free_list(&names, count);
    return st;
}
