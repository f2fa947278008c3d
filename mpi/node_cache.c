#include "mpi/node_cache.h"
#include "base/mem.h"
#include "base/path.h"
#include "mpi/comm_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Bytes of one read; a rank's part of a file starts at a multiple of it. */
static const int64_t READ_BYTES = (int64_t)16 << 20;

typedef struct {
    char *path;
    void *data;
    int64_t bytes;
#ifdef SEGFLEET_MPI
    MPI_Win window; /* MPI_WIN_NULL: data is the process's own */
#endif
} entry;

struct sf_node_cache {
    sf_comm *world;
    int rank, size; /* on the node */
#ifdef SEGFLEET_MPI
    MPI_Comm node; /* MPI_COMM_NULL: one rank in all */
#endif
    entry *e;
    int n;
};

/* ---- how much there is -------------------------------------------------------------------- */

/* First number after `key` in a file, -1 without one; key "" = the file starts with it. */
static int64_t number_in(const char *path, const char *key)
{
    char *text = NULL;
    size_t size;
    long long v = -1;
    if (sf_path_read(&text, &size, path, 0) != SF_OK) {
        sf_error_clear();
        return -1;
    }
    const char *at = strstr(text, key);
    if (at && sscanf(at + strlen(key), " %lld", &v) != 1) v = -1;
    sf_mem_free(text);
    return v;
}

/* Room below a limit of a control group; pages of files that are not in use count as room. */
static int64_t room_of_group(const char *limit, const char *used, const char *stat)
{
    const int64_t most = number_in(limit, ""), now = number_in(used, "");
    if (most < 0 || now < 0) return INT64_MAX;
    const int64_t idle = number_in(stat, "\ninactive_file");
    return most - now + (idle > 0 ? idle : 0);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The smallest room of the control group `name` below `mount` and of those above it. */
static int64_t room_upward(const char *mount, const char *name, const char *limit, const char *used)
{
    char dir[SF_PATH_MAX], file[3][SF_PATH_MAX];
    int64_t room = INT64_MAX;
    if (sf_path_format(dir, "%s%s", mount, name) != SF_OK) return room;
    for (;;) {
        if (sf_path_join(file[0], dir, limit, NULL) == SF_OK &&
            sf_path_join(file[1], dir, used, NULL) == SF_OK &&
            sf_path_join(file[2], dir, "memory.stat", NULL) == SF_OK)
            room = least(room, room_of_group(file[0], file[1], file[2]));
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= strlen(mount) || slash == NULL) return room;
        *slash = 0;
    }
}

/* Lines of /proc/self/cgroup: "0::/GROUP" (version 2), "9:memory:/GROUP" (version 1). */
static int64_t room_of_groups(void)
{
    char *text = NULL, *next = NULL;
    int64_t room = INT64_MAX;
    if (sf_path_read(&text, NULL, "/proc/self/cgroup", 0) != SF_OK) {
        sf_error_clear();
        return room;
    }
    for (char *l = strtok_r(text, "\n", &next); l; l = strtok_r(NULL, "\n", &next)) {
        const char *group = strrchr(l, ':');
        if (strncmp(l, "0::", 3) == 0)
            room = least(room,
                         room_upward("/sys/fs/cgroup", group + 1, "memory.max", "memory.current"));
        else if (group && strstr(l, ":memory:"))
            room = least(room, room_upward("/sys/fs/cgroup/memory", group + 1,
                                           "memory.limit_in_bytes", "memory.usage_in_bytes"));
    }
    sf_mem_free(text);
    return room;
}

int64_t sf_node_cache_room(void)
{
    struct statvfs shm;
    int64_t room = number_in("/proc/meminfo", "MemAvailable:");
    room = room < 0 ? 0 : room * 1024;
    room = least(room, room_of_groups());
    if (statvfs("/dev/shm", &shm) == 0)
        room = least(room, (int64_t)shm.f_bavail * (int64_t)shm.f_frsize);
    return room > 0 ? room / 2 : 0;
}

/* ---- one file ----------------------------------------------------------------------------- */

static sf_status read_part(char *to, int fd, const char *path, int64_t from, int64_t end)
{
    while (from < end) {
        const int64_t most = least(end - from, READ_BYTES);
        const ssize_t n = pread(fd, to + from, (size_t)most, (off_t)from);
        if (n < 0 && errno == EINTR) continue;
        SF_CHECK(n > 0, SF_EIO, "%s: cannot be read: %s", path,
                 n < 0 ? strerror(errno) : "it is shorter than it was");
        from += n;
    }
    return SF_OK;
}

/* This rank's part of the file. */
static sf_status fill(const sf_node_cache *c, const entry *e)
{
    const int64_t blocks = (e->bytes + READ_BYTES - 1) / READ_BYTES;
    const int64_t from = blocks * c->rank / c->size * READ_BYTES,
                  end = blocks * (c->rank + 1) / c->size * READ_BYTES;
    const int fd = open(e->path, O_RDONLY | O_CLOEXEC);
    SF_CHECK(fd >= 0, SF_EIO, "%s: cannot be read: %s", e->path, strerror(errno));
    const sf_status st = read_part(e->data, fd, e->path, from, least(end, e->bytes));
    close(fd);
    return st;
}

static sf_status take_memory(const sf_node_cache *c, entry *e)
{
#ifdef SEGFLEET_MPI
    e->window = MPI_WIN_NULL;
    if (c->size > 1) {
        void *mine;
        MPI_Aint bytes;
        int unit;
        SF_MPI_TRY(MPI_Win_allocate_shared(c->rank == 0 ? (MPI_Aint)e->bytes : 0, 1, MPI_INFO_NULL,
                                           c->node, &mine, &e->window));
        SF_MPI_TRY(MPI_Win_shared_query(e->window, 0, &bytes, &unit, &e->data));
        SF_MPI_TRY(MPI_Win_lock_all(MPI_MODE_NOCHECK, e->window));
        return SF_OK;
    }
#endif
    (void)c;
    return sf_mem_alloc(&e->data, (size_t)e->bytes, 1, SF_MEM_BATCH);
}

/* Collective over the node. */
static void free_entry(entry *e)
{
#ifdef SEGFLEET_MPI
    if (e->window != MPI_WIN_NULL) {
        MPI_Win_unlock_all(e->window);
        MPI_Win_free(&e->window);
        e->data = NULL;
    }
#endif
    sf_mem_free(e->data);
    sf_mem_free(e->path);
}

/* What was stored by one rank is seen by the others. */
static sf_status publish(const sf_node_cache *c, const entry *e)
{
#ifdef SEGFLEET_MPI
    if (e->window != MPI_WIN_NULL) SF_MPI_TRY(MPI_Win_sync(e->window));
#endif
    SF_TRY(sf_comm_barrier(c->world));
#ifdef SEGFLEET_MPI
    if (e->window != MPI_WIN_NULL) SF_MPI_TRY(MPI_Win_sync(e->window));
#else
    (void)e;
#endif
    return SF_OK;
}

sf_status sf_node_cache_add(sf_node_cache *c, const char *path, int64_t bytes)
{
    entry e = { .bytes = bytes };
#ifdef SEGFLEET_MPI
    e.window = MPI_WIN_NULL;
#endif
    sf_status st = sf_mem_strdup(&e.path, path);
    if (st == SF_OK) st = sf_mem_resize(&c->e, (size_t)c->n + 1, sizeof *c->e, SF_MEM_MISC);
    SF_GOTO(fail, st, sf_comm_agree(c->world, st));
    SF_GOTO(fail, st, sf_comm_agree(c->world, take_memory(c, &e)));
    SF_GOTO(fail, st, sf_comm_agree(c->world, fill(c, &e)));
    SF_GOTO(fail, st, publish(c, &e));
    c->e[c->n++] = e;
    return SF_OK;
fail:
    free_entry(&e);
    return st;
}

const void *sf_node_cache_find(const sf_node_cache *c, const char *path, int64_t *bytes)
{
    for (int i = 0; c && i < c->n; i++) {
        if (strcmp(c->e[i].path, path) != 0) continue;
        *bytes = c->e[i].bytes;
        return c->e[i].data;
    }
    return NULL;
}

/* ---- the cache ---------------------------------------------------------------------------- */

int sf_node_cache_node_rank(const sf_node_cache *c) { return c->rank; }

sf_status sf_node_cache_create(sf_node_cache **out, sf_comm *world)
{
    sf_node_cache *c = NULL;
    *out = NULL;
    SF_TRY(sf_comm_agree(world, sf_mem_calloc(&c, 1, sizeof *c, SF_MEM_MISC)));
    c->world = world;
    c->size = 1;
#ifdef SEGFLEET_MPI
    c->node = MPI_COMM_NULL;
    if (world->size > 1) {
        const int code = MPI_Comm_split_type(world->mpi, MPI_COMM_TYPE_SHARED, world->rank,
                                             MPI_INFO_NULL, &c->node);
        if (code != MPI_SUCCESS) {
            sf_mem_free(c);
            return sf_comm_mpi_fail_(code, "MPI_Comm_split_type", __FILE__, __LINE__);
        }
        MPI_Comm_rank(c->node, &c->rank);
        MPI_Comm_size(c->node, &c->size);
    }
#endif
    *out = c;
    return SF_OK;
}

void sf_node_cache_destroy(sf_node_cache **c)
{
    if (*c == NULL) return;
    for (int i = 0; i < (*c)->n; i++) free_entry(&(*c)->e[i]);
#ifdef SEGFLEET_MPI
    if ((*c)->node != MPI_COMM_NULL) MPI_Comm_free(&(*c)->node);
#endif
    sf_mem_free((*c)->e);
    sf_mem_free(*c);
    *c = NULL;
}
