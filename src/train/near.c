#include "train/near.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "mpi/node_cache.h"
#include "store/trailer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

typedef struct {
    char *container, *staged; /* staged "": none */
} copy;

struct sf_near {
    sf_comm *world;
    sf_cache_kind cache;
    sf_node_cache *memory;
    char stage[SF_PATH_MAX]; /* "": none */
    copy *c;
    int n;
};

sf_status sf_cache_parse(sf_cache_kind *k, const char *word)
{
    static const char *const words[] = { "auto", "shared", "map" };
    *k = SF_CACHE_AUTO;
    if (!word) return SF_OK;
    for (int i = 0; i < 3; i++) {
        *k = (sf_cache_kind)i;
        if (strcmp(word, words[i]) == 0) return SF_OK;
    }
    return SF_FAIL(SF_EINVAL, "--cache must be auto, shared or map, not '%s'", word);
}

static double gib(int64_t bytes) { return (double)bytes / (1 << 30); }

/* ---- a disk of the node ------------------------------------------------------------------- */

static sf_status stage_dir(char out[SF_PATH_MAX], const char *word)
{
    const char *dir = word;
    out[0] = 0;
    if (!word) return SF_OK;
    if (strcmp(word, "tmpdir") == 0) {
        dir = getenv("TMPDIR");
        SF_CHECK(dir && dir[0], SF_EINVAL,
                 "--stage tmpdir: TMPDIR is not set on %s; set it, or give a folder",
                 sf_comm_host());
    }
    SF_TRY(sf_path_format(out, "%s", dir));
    return sf_path_make_dirs(out);
}

static sf_status check_room(const char *dir, const char *container, int64_t bytes)
{
    struct statvfs s;
    SF_CHECK(statvfs(dir, &s) == 0, SF_EIO, "%s: %s", dir, strerror(errno));
    const int64_t room = (int64_t)s.f_bavail * (int64_t)s.f_frsize;
    SF_CHECK(room >= bytes, SF_EIO,
             "%s on %s has %.3f GiB of room, the copy of %s needs %.3f GiB: give another --stage "
             "folder, or none",
             dir, sf_comm_host(), gib(room), container, gib(bytes));
    return SF_OK;
}

static sf_status verify(const char *path)
{
    int64_t bytes;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    SF_CHECK(fd >= 0, SF_EIO, "%s: cannot be read: %s", path, strerror(errno));
    const sf_status st = sf_trailer_verify(fd, path, true, &bytes);
    close(fd);
    return st;
}

/* Is a complete copy there already? */
static bool is_there(const char *to)
{
    if (!sf_path_is_file(to)) return false;
    const bool sound = verify(to) == SF_OK;
    if (!sound) sf_log(SF_LOG_WARN, "stage", "%s; it is copied again", sf_error_text());
    sf_error_clear();
    return sound;
}

/* One rank per node. The temporary copy is checked before it gets its name. */
static sf_status stage_file(const char *from, const char *to, const char *dir, int64_t bytes)
{
    char tmp[SF_PATH_MAX];
    const bool there = is_there(to);
    if (!there) {
        SF_TRY(check_room(dir, from, bytes));
        SF_TRY(sf_path_format(tmp, "%s.part.%ld", to, (long)getpid()));
        sf_status st = sf_path_copy(from, tmp);
        if (st == SF_OK) st = verify(tmp);
        if (st == SF_OK) st = sf_path_commit(tmp, to);
        if (st != SF_OK) unlink(tmp);
        SF_TRY(st);
    }
    sf_log(SF_LOG_INFO, "stage", "file=%s copy=%s gib=%.3f %s", from, to, gib(bytes),
           there ? "kept" : "copied");
    return SF_OK;
}

/* The seal's hash is in the copy's name: a container that was made anew gets another copy. */
static sf_status stage(sf_near *n, copy *c, int64_t bytes)
{
    char id[65], path[SF_PATH_MAX];
    sf_status st = sf_trailer_id(c->container, id);
    if (st == SF_OK)
        st = sf_path_format(path, "%s/segfleet-%.16s-%s", n->stage, id, sf_path_base(c->container));
    if (st == SF_OK) st = sf_mem_strdup(&c->staged, path);
    if (st == SF_OK && sf_node_cache_node_rank(n->memory) == 0)
        st = stage_file(c->container, path, n->stage, bytes);
    return sf_comm_agree(n->world, st);
}

/* ---- memory of the node ------------------------------------------------------------------- */

/* Is reading a page of this file a message to another machine? */
static bool on_network(const char *path)
{
    static const unsigned long kinds[] = {
        0x6969 /* NFS */,
        0x0bd00bd0 /* Lustre */,
        0x47504653 /* GPFS */,
        0x19830326 /* BeeGFS */,
        0x00c36400 /* Ceph */,
        0x65735546 /* FUSE */,
        0xff534d42 /* CIFS */,
        0xfe534d42 /* SMB 2 */,
        0x5346414f /* AFS */,
        0x01021997 /* 9P */,
        0x7461636f /* OCFS2 */,
        0x01161970 /* GFS2 */,
        0xaad7aaea /* PanFS */
    };
    struct statfs s;
    if (statfs(path, &s) != 0) return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (((unsigned long)s.f_type & 0xffffffffUL) == kinds[i]) return true;
    }
    return false;
}

/* The container, or its copy, into the memory of every node, when the rule says so. */
static sf_status hold(sf_near *n, const copy *c, int64_t bytes)
{
    const char *path = c->staged ? c->staged : c->container;
    int64_t fits = n->cache != SF_CACHE_MAP, room = sf_node_cache_room(), remote = on_network(path);
    SF_TRY(sf_comm_min_i64(n->world, &room, 1));
    SF_TRY(sf_comm_max_i64(n->world, &remote, 1));
    fits = fits && bytes <= room;
    SF_CHECK(fits || n->cache != SF_CACHE_SHARED, SF_ENOMEM,
             "%s has %.3f GiB, of %.3f GiB that may be taken on every node (half of what is free, "
             "/dev/shm included): use --cache auto or map",
             c->container, gib(bytes), gib(room));
    const bool wanted = fits && (remote || n->cache == SF_CACHE_SHARED);
    sf_log(SF_LOG_INFO, "cache", "file=%s gib=%.3f room_gib=%.3f network=%d read_from=%s",
           c->container, gib(bytes), gib(room), (int)remote,
           wanted      ? "shared_memory"
           : c->staged ? "staged_map"
                       : "map");
    return wanted ? sf_node_cache_add(n->memory, path, bytes) : SF_OK;
}

/* ---- all of it ---------------------------------------------------------------------------- */

static sf_status new_copy(sf_near *n, const char *container, int64_t *bytes)
{
    struct stat s;
    SF_CHECK(stat(container, &s) == 0, SF_EIO, "%s: cannot be read: %s", container,
             strerror(errno));
    *bytes = (int64_t)s.st_size;
    SF_TRY(sf_mem_resize(&n->c, (size_t)n->n + 1, sizeof *n->c, SF_MEM_MISC));
    n->c[n->n] = (copy){ .staged = NULL };
    SF_TRY(sf_mem_strdup(&n->c[n->n].container, container));
    n->n++;
    return SF_OK;
}

sf_status sf_near_add(sf_near *n, const char *container)
{
    int64_t bytes = 0;
    SF_TRY(sf_comm_agree(n->world, new_copy(n, container, &bytes)));
    copy *c = &n->c[n->n - 1];
    if (n->stage[0]) SF_TRY(stage(n, c, bytes));
    return hold(n, c, bytes);
}

sf_status sf_near_open(sf_cases **out, const sf_near *n, const char *container)
{
    const char *path = container;
    for (int i = 0; n && i < n->n; i++) {
        const copy *c = &n->c[i];
        /* another run on this node, with the same data, may have removed the copy */
        if (strcmp(c->container, container) == 0 && c->staged && sf_path_is_file(c->staged))
            path = c->staged;
    }
    int64_t bytes = 0;
    const void *image = n ? sf_node_cache_find(n->memory, path, &bytes) : NULL;
    return sf_cases_open_image(out, path, false, image, bytes);
}

static sf_status set_up(sf_near *n, const char *stage_word)
{
    SF_TRY(sf_comm_agree(n->world, stage_dir(n->stage, stage_word)));
    return sf_node_cache_create(&n->memory, n->world);
}

sf_status sf_near_create(sf_near **out, sf_comm *world, sf_cache_kind cache, const char *stage_word)
{
    sf_near *n = NULL;
    *out = NULL;
    SF_TRY(sf_comm_agree(world, sf_mem_calloc(&n, 1, sizeof *n, SF_MEM_MISC)));
    n->world = world;
    n->cache = cache;
    const sf_status st = set_up(n, stage_word);
    if (st != SF_OK) {
        sf_near_destroy(&n);
        return st;
    }
    *out = n;
    return SF_OK;
}

void sf_near_destroy(sf_near **n)
{
    if (*n == NULL) return;
    /* nobody reads any more, and a rank that failed is not waited for longer than for the others */
    if ((*n)->memory && (*n)->stage[0]) (void)sf_comm_barrier((*n)->world);
    for (int i = 0; i < (*n)->n; i++) {
        copy *c = &(*n)->c[i];
        if (c->staged && sf_node_cache_node_rank((*n)->memory) == 0) unlink(c->staged);
        sf_mem_free(c->staged);
        sf_mem_free(c->container);
    }
    sf_mem_free((*n)->c);
    sf_node_cache_destroy(&(*n)->memory);
    sf_mem_free(*n);
    *n = NULL;
}
