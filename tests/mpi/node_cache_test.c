/* A file in memory that the ranks of a node share: all bytes, for sizes around the size of a read;
 * a file that cannot be read leaves the cache as it was. And the text of MPI-IO hints. */
#include "base/path.h"
#include "mpi/io_hints.h"
#include "mpi/node_cache.h"
#include "tests/mpi/check.h"
#include <stdlib.h>
#include <unistd.h>

enum { FILES = 3 };
static const int64_t sizes[FILES] = { 1, 4097, (40 << 20) + 5 };

static unsigned char byte_at(int file, int64_t i)
{
    return (unsigned char)(i * 31 + file + i / 251);
}

static void write_file(const char *path, int file)
{
    char *data = malloc((size_t)sizes[file]);
    for (int64_t i = 0; i < sizes[file]; i++) data[i] = (char)byte_at(file, i);
    CHECK_OK(sf_path_write(path, data, (size_t)sizes[file]));
    free(data);
}

/* `writer`: rank in the job of the group's rank 0; groups side by side have files of their own. */
static void check_files(sf_comm *world, int writer)
{
    sf_node_cache *c;
    char path[FILES][64];
    int64_t bytes = 0;
    const int rank = sf_comm_rank(world);
    CHECK_OK(sf_node_cache_create(&c, world));
    CHECK(sf_node_cache_room() > 0);
    CHECK((sf_node_cache_node_rank(c) == 0) == (rank == 0)); /* one host */
    for (int f = 0; f < FILES; f++) {
        snprintf(path[f], sizeof path[f], "node_cache_%d_of_%d_by_%d.bin", f, sf_comm_size(world),
                 writer);
        if (rank == 0) write_file(path[f], f);
        CHECK_OK(sf_comm_barrier(world));
        CHECK_OK(sf_node_cache_add(c, path[f], sizes[f]));
        CHECK(sf_node_cache_add(c, "no such file", 10) == SF_EIO);
        CHECK(strstr(sf_error_text(), "no such file"));
        CHECK(sf_node_cache_add(c, path[f], sizes[f] + 1) == SF_EIO); /* shorter than promised */
    }
    CHECK_OK(sf_comm_barrier(world));
    if (rank == 0)
        for (int f = 0; f < FILES; f++) unlink(path[f]);
    for (int f = 0; f < FILES; f++) {
        const unsigned char *data = sf_node_cache_find(c, path[f], &bytes);
        CHECK(data && bytes == sizes[f]);
        int64_t wrong = 0;
        for (int64_t i = 0; i < bytes; i++) wrong += data[i] != byte_at(f, i);
        CHECK(wrong == 0);
    }
    CHECK(sf_node_cache_find(c, "no such file", &bytes) == NULL);
    sf_node_cache_destroy(&c);
    CHECK(c == NULL);
}

static sf_status collect(void *user, const char *key, const char *value)
{
    char *out = user;
    snprintf(out + strlen(out), 200 - strlen(out), "[%s|%s]", key, value);
    return SF_OK;
}

static void check_text(const char *text, const char *want)
{
    char got[200] = "";
    CHECK_OK(sf_io_hints_parse(text, "hints", collect, got));
    CHECK(strcmp(got, want) == 0);
}

static void check_hints(void)
{
    char got[200] = "";
    check_text("a=1\n\n # x=y\n  b = two words # c\r\nk=v=w", "[a|1][b|two words][k|v=w]");
    check_text(" {\"a\": \"1\", \"b\": 22}", "[a|1][b|22]");
    check_text("", "");
    static const char *const bad[] = { "a", "=1", "a=", "{\"a\": 1.5}", "{\"a\"", "{\"a\": \"\"}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(sf_io_hints_parse(bad[i], "hints", collect, got) == SF_EDATA);
}

int main(int argc, char **argv)
{
    CHECK_OK(sf_mpi_start(&argc, &argv));
    check_files(sf_comm_world(), 0);
    check_files(sf_comm_self(), sf_comm_rank(sf_comm_world()));
    check_hints();
    CHECK_OK(sf_comm_barrier(sf_comm_world()));
    sf_mpi_stop();
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    return 0;
}
