/** Files and folders. Every write of a result is temp file + fsync + rename. Not collective.
 *  Thread-safe, but two threads must not write the same file. SF_EIO names file and reason. */
#ifndef SF_BASE_PATH_H
#define SF_BASE_PATH_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Longest path that we build. sf_path_join fails with SF_EINVAL rather than cut. */
enum { SF_PATH_MAX = 4096 };

/** out = a/b[/c]; c may be NULL. */
sf_status sf_path_join(char out[SF_PATH_MAX], const char *a, const char *b, const char *c);
/** printf into a path buffer, SF_EINVAL when too long. */
sf_status sf_path_format(char out[SF_PATH_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/** Follow symbolic links; false when it does not exist or cannot be looked at. */
bool sf_path_is_file(const char *path);
bool sf_path_is_dir(const char *path);
/** Last component (pointer into path). */
const char *sf_path_base(const char *path);
/** mkdir -p; fine when it exists. Safe when several processes do it at once. */
sf_status sf_path_make_dirs(const char *dir);
/** Names in a folder (not "." and ".."), sorted by byte order. Free with sf_path_free_list. */
sf_status sf_path_list(char ***names, size_t *count, const char *dir);
/** Sets *names to NULL; NULL is fine. */
void sf_path_free_list(char ***names, size_t count);
/** Whole file into memory with a final 0 byte; SF_EIO names the file; max_bytes 0 = no limit. */
sf_status sf_path_read(char **data, size_t *size, const char *path, size_t max_bytes);
/** Atomic write of a buffer: PATH.tmp.PID, fsync, rename, fsync of the folder. */
sf_status sf_path_write(const char *path, const void *data, size_t size);
/** For writers that need a name: tmp = the temporary name of `path` in the same folder ... */
sf_status sf_path_tmp_name(char tmp[SF_PATH_MAX], const char *path);
/** ... then fsync + rename + fsync of the folder. On failure the temporary file is removed. */
sf_status sf_path_commit(const char *tmp, const char *path);
/** Remove a file or, recursively, a folder; missing = fine. Links are removed, never followed. */
sf_status sf_path_remove(const char *path);
/** Remove leftovers "*.tmp.*" directly in dir: call it when no other process writes there. */
sf_status sf_path_sweep_tmp(const char *dir);
/** Copy the bytes of a file; `to` appears whole or not at all. */
sf_status sf_path_copy(const char *from, const char *to);

#endif
