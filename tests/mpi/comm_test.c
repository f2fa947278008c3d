/* comm.h with any number of ranks; the program is also built with a transfer limit of a few bytes.
 */
#include "check.h"
#include "mpi/comm_private.h"
#include "mpi/prof_reduce.h"
#include <stdlib.h>

static void test_agree(sf_comm *c, int rank, int size)
{
    CHECK(sf_comm_agree(c, SF_OK) == SF_OK);
    CHECK(sf_comm_all_know(c) == (size == 1));
    for (int bad = 0; bad < size; bad++) { /* one rank fails */
        sf_status st = rank == bad ? SF_FAIL(SF_EDATA, "case %d is broken", bad) : SF_OK;
        char want[64];
        CHECK(sf_comm_agree(c, st) == SF_EDATA);
        CHECK(sf_comm_all_know(c));
        snprintf(want, sizeof want, "case %d is broken", bad);
        CHECK(strstr(sf_error_text(), want) != NULL);
        snprintf(want, sizeof want, "rank %d on ", bad);
        CHECK((strstr(sf_error_text(), want) == sf_error_text()) == (rank != bad));
    }
    if (size < 3) return;
    /* a failure counts more than a request to stop, the lowest rank of equals speaks */
    sf_status st = rank == 0 ? SF_FAIL(SF_ESTOP, "stop") : SF_FAIL(SF_EIO, "disk of %d", rank);
    CHECK(sf_comm_agree(c, st) == SF_EIO);
    CHECK(strstr(sf_error_text(), "disk of 1") != NULL);
    st = rank == 0 ? SF_FAIL(SF_ECOMM, "lost") : rank == 2 ? SF_FAIL(SF_EINVAL, "option") : SF_OK;
    CHECK(sf_comm_agree(c, st) == SF_EINVAL);
    CHECK(strstr(sf_error_text(), "option") != NULL);
}

static void test_sum(sf_comm *c, int rank, int size)
{
    enum { N = 20000 };
    double *v, *want;
    CHECK_OK(sf_mem_alloc(&v, N, sizeof *v, SF_MEM_MISC));
    CHECK_OK(sf_mem_alloc(&want, N, sizeof *want, SF_MEM_MISC));
    for (int n = 1; n <= N; n = n == 1 ? 700 : n == 700 ? N : N + 1) {
        for (int i = 0; i < n; i++) {
            /* numbers whose sum depends on the order */
            for (int r = 0; r < size; r++) {
                const double x = (r % 3 == 0 ? 1e16 : r % 3 == 1 ? 1.0 + i : -1e16) / (1 + i % 7);
                want[i] = r == 0 ? x : want[i] + x;
                if (r == rank) v[i] = x;
            }
        }
        CHECK_OK(sf_comm_sum_f64(c, v, n));
        CHECK(memcmp(v, want, (size_t)n * sizeof *v) == 0);
    }
    sf_mem_free(v);
    sf_mem_free(want);
}

static void test_extremes(sf_comm *c, int rank, int size)
{
    int64_t v[3] = { rank, -rank, 5 }, w[3] = { rank, -rank, (int64_t)1 << 60 };
    CHECK_OK(sf_comm_max_i64(c, v, 3));
    CHECK(v[0] == size - 1 && v[1] == 0 && v[2] == 5);
    CHECK_OK(sf_comm_min_i64(c, w, 3));
    CHECK(w[0] == 0 && w[1] == 1 - size && w[2] == (int64_t)1 << 60);
}

static unsigned char pattern(int rank, size_t i)
{
    return (unsigned char)(rank * 31 + (int)(i % 251));
}

static void test_bytes(sf_comm *c, int rank, int size)
{
    unsigned char *mine;
    void **all;
    size_t *sizes, n = rank % 3 == 1 ? 0 : (size_t)rank * 1700 + 3;
    CHECK_OK(sf_mem_alloc(&mine, 20000, 1, SF_MEM_MISC));
    for (size_t i = 0; i < n; i++) mine[i] = pattern(rank, i);
    CHECK_OK(sf_comm_allgather_bytes(c, mine, n, &all, &sizes));
    for (int r = 0; r < size; r++) {
        CHECK(sizes[r] == (r % 3 == 1 ? 0 : (size_t)r * 1700 + 3));
        CHECK((uintptr_t)all[r] % 64 == 0);
        for (size_t i = 0; i < sizes[r]; i++) CHECK(((unsigned char *)all[r])[i] == pattern(r, i));
    }
    sf_mem_free(all);
    for (int root = 0; root < size; root++) {
        for (size_t i = 0; i < 5001; i++) mine[i] = rank == root ? pattern(root, i) : 0;
        CHECK_OK(sf_comm_bcast(c, mine, 5001, root));
        for (size_t i = 0; i < 5001; i++) CHECK(mine[i] == pattern(root, i));
    }
    CHECK(sf_comm_bcast(c, mine, 1, size) == SF_EINTERNAL);
    sf_mem_free(mine);
}

static void receive(sf_comm *c, unsigned char *data, size_t want, int tag)
{
    bool waiting = false;
    int from = -1;
    size_t bytes = 0;
    while (!waiting) CHECK_OK(sf_comm_probe(c, &from, tag, &waiting, &bytes));
    CHECK(bytes == want && from > 0);
    CHECK_OK(sf_comm_recv(c, data, bytes, from % 2 ? from : -1, tag));
    for (size_t i = 0; i < bytes; i++) CHECK(data[i] == pattern(from, i));
}

static void test_messages(sf_comm *c, int rank, int size)
{
    enum { N = 4321 };
    unsigned char data[N];
    bool waiting = true;
    CHECK_OK(sf_comm_probe(c, NULL, 9, &waiting, NULL));
    CHECK(!waiting);
    CHECK(sf_comm_send(c, data, 1, rank, 0) == SF_EINTERNAL);
    if (rank == 0) {
        for (int r = 1; r < size; r++) receive(c, data, N, r);
        for (int r = 1; r < size; r++) CHECK_OK(sf_comm_recv(c, data, 0, r, 100));
    } else {
        for (size_t i = 0; i < N; i++) data[i] = pattern(rank, i);
        CHECK_OK(sf_comm_send(c, data, N, 0, rank));
        CHECK_OK(sf_comm_send(c, NULL, 0, 0, 100));
    }
    CHECK_OK(sf_comm_barrier(c));
    if (size > 1 && rank == 1) CHECK_OK(sf_comm_send(c, data, 10, 0, 7));
    if (size > 1 && rank == 0) CHECK(sf_comm_recv(c, data, 11, 1, 7) == SF_ECOMM);
}

static void test_split(sf_comm *c, int rank, int size)
{
    sf_comm *half, *none, *again;
    double v = rank;
    CHECK_OK(sf_comm_split(&half, c, rank % 2, -rank));
    CHECK(sf_comm_size(half) == (size + 1 - rank % 2) / 2);
    CHECK(sf_comm_rank(half) == sf_comm_size(half) - 1 - rank / 2); /* key turns the order round */
    CHECK_OK(sf_comm_sum_f64(half, &v, 1));
    double want = 0;
    for (int r = rank % 2; r < size; r += 2) want += r;
    CHECK(v == want);
    CHECK_OK(sf_comm_split(&none, c, rank == 0 ? 3 : -1, 0));
    CHECK((none != NULL) == (rank == 0));
    if (none) CHECK(sf_comm_size(none) == 1 && sf_comm_rank(none) == 0);
    CHECK_OK(sf_comm_split(&again, half, 0, 0));
    CHECK(sf_comm_size(again) == sf_comm_size(half));
    /* the text names the rank in the world, not in the group */
    sf_status st = sf_comm_rank(half) == 0 ? SF_FAIL(SF_EIO, "of %d", rank) : SF_OK;
    CHECK(sf_comm_agree(half, st) == SF_EIO);
    sf_comm_destroy(&again);
    sf_comm_destroy(&none);
    sf_comm_destroy(&none);
    sf_comm_destroy(&half);
    CHECK(half == NULL);
}

static void test_profile(sf_comm *c, int rank, int size)
{
    sf_prof p;
    sf_prof_summary s;
    memset(&p, 0, sizeof p);
    p.ev[SF_EV_FORWARD].calls = 2;
    p.ev[SF_EV_FORWARD].seconds = 1.0 + rank;
    p.ev[SF_EV_FORWARD].flops = 10;
    CHECK_OK(sf_prof_reduce(&s, c, &p));
    const sf_prof_event_summary *e = &s.ev[SF_EV_FORWARD];
    CHECK(s.ranks == size && e->calls == 2 * size && e->flops == 10.0 * size);
    CHECK(e->seconds_min == 1.0 && e->seconds_max == size && e->rank_max == size - 1);
    CHECK(e->seconds_mean > 0.999 * (size + 1) / 2 && e->seconds_mean < 1.001 * (size + 1) / 2);
    CHECK(s.ev[SF_EV_READ].calls == 0 && s.ev[SF_EV_READ].seconds_max == 0);
    CHECK_OK(sf_prof_reduce(&s, c, rank == 0 ? NULL : &p));
    CHECK(s.ev[SF_EV_FORWARD].calls == 2 * (size - 1));
}

static void test_all(sf_comm *c)
{
    const int rank = sf_comm_rank(c), size = sf_comm_size(c);
    test_agree(c, rank, size);
    test_sum(c, rank, size);
    test_extremes(c, rank, size);
    test_bytes(c, rank, size);
    test_messages(c, rank, size);
    test_split(c, rank, size);
    test_profile(c, rank, size);
    sf_comm_poll();
}

#ifdef SEGFLEET_MPI
static const char *const launch_word = "OMPI_MCA_pmix_base_async_modex";

/* What becomes of the setting where these are in the environment. */
static void launched(const char *step, const char *pmix, const char *ompi, const char *given,
                     const char *want)
{
    const char *const name[4] = { "SLURM_STEP_ID", "PMIX_RANK", "OMPI_COMM_WORLD_RANK",
                                  launch_word };
    const char *const value[4] = { step, pmix, ompi, given };
    for (int i = 0; i < 4; i++)
        CHECK((value[i] ? setenv(name[i], value[i], 1) : unsetenv(name[i])) == 0);
    sf_comm_prepare_launch_();
    const char *got = getenv(launch_word);
    CHECK(want ? got && strcmp(got, want) == 0 : !got);
}

/* In a process that starts no MPI. */
static void test_launch(void)
{
    launched(NULL, NULL, NULL, NULL, NULL); /* a process by itself */
    launched("0", "1", NULL, NULL, "1");    /* srun --mpi=pmix */
    launched("0", "1", NULL, "0", "0");     /* the user knows better */
    launched("0", "1", "1", NULL, NULL);    /* mpirun in a job */
    launched(NULL, "1", NULL, NULL, NULL);  /* another launcher with PMIx */
    launched("0", NULL, NULL, NULL, NULL);  /* srun --mpi=none */
}
#endif

int main(int argc, char **argv)
{
#ifdef SEGFLEET_MPI
    if (argc > 1 && strcmp(argv[1], "launch") == 0) {
        test_launch();
        return 0;
    }
#endif
    test_all(sf_comm_world()); /* works before the start, as one rank */
    CHECK_OK(sf_mpi_start(&argc, &argv));
    if (argc > 1 && strcmp(argv[1], "abort") == 0) {
        if (sf_comm_rank(sf_comm_world()) == sf_comm_size(sf_comm_world()) - 1)
            sf_mpi_abort(SF_FAIL(SF_EDATA, "the\ntext"));
        CHECK_OK(sf_comm_barrier(sf_comm_world())); /* the others wait for ever */
        return 0;
    }
    CHECK(argc == 1);
    CHECK(sf_comm_host()[0] != '\0');
    test_all(sf_comm_self());
    test_all(sf_comm_world());
    sf_mpi_stop();
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    return 0;
}
