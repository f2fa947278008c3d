/* comm.h on MPI 3. Every wait goes through sf_comm_wait_, which sleeps; a comm of one rank never
 * calls MPI. */
#include "base/mem.h"
#include "mpi/comm_private.h"
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longest single transfer in bytes; tests compile this file once more with a small one. */
#ifndef SF_COMM_CHUNK
#define SF_COMM_CHUNK ((int64_t)1 << 30)
#endif

static sf_comm self_comm = { .rank = 0, .size = 1, .world_rank = 0, .mpi = MPI_COMM_NULL };
static sf_comm world_comm = { .rank = 0, .size = 1, .world_rank = 0, .mpi = MPI_COMM_NULL };

static void (*poll_hook)(void *user);
static void *poll_user;

static bool mpi_running(void)
{
    int begun = 0, ended = 0;
    MPI_Initialized(&begun);
    MPI_Finalized(&ended);
    return begun && !ended;
}

sf_status sf_comm_mpi_fail_(int code, const char *call, const char *file, int line)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    int name = 0;
    while (call[name] != '\0' && call[name] != '(') name++;
    return sf_fail_(SF_ECOMM, file, line, "%.*s failed: %s", name, call, text);
}

int sf_comm_wait_(MPI_Request *request, MPI_Status *status)
{
    int done = 0;
    for (int64_t turn = 0;; turn++) {
        int rc = MPI_Test(request, &done, status);
        if (rc != MPI_SUCCESS || done) return rc;
        if (poll_hook) poll_hook(poll_user);
        if (turn < 1000) {
            if (turn % 16 == 15) sched_yield();
        } else {
            usleep(turn < 2000 ? 50 : 1000);
        }
    }
}

/* ---- start and end ------------------------------------------------------------------------ */

void sf_comm_prepare_launch_(void)
{
    /* mpirun gives its ranks the last of these as well, within a job too */
    const bool by_srun =
        getenv("SLURM_STEP_ID") && getenv("PMIX_RANK") && !getenv("OMPI_COMM_WORLD_RANK");
    if (by_srun) (void)setenv("OMPI_MCA_pmix_base_async_modex", "1", 0);
}

sf_status sf_mpi_start(int *argc, char ***argv)
{
    int have = 0;
    SF_CHECK(world_comm.mpi == MPI_COMM_NULL, SF_EINTERNAL, "sf_mpi_start called twice");
    sf_comm_prepare_launch_();
    if (!mpi_running()) SF_MPI_TRY(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &have));
    SF_MPI_TRY(MPI_Query_thread(&have));
    SF_CHECK(have >= MPI_THREAD_FUNNELED, SF_EUNSUPPORTED,
             "this MPI library has no thread support (MPI_THREAD_FUNNELED): use another build");
    SF_MPI_TRY(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    SF_MPI_TRY(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN));
    MPI_Comm_rank(MPI_COMM_WORLD, &world_comm.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_comm.size);
    world_comm.world_rank = self_comm.world_rank = world_comm.rank;
    if (world_comm.size > 1) SF_MPI_TRY(MPI_Comm_dup(MPI_COMM_WORLD, &world_comm.mpi));
    return SF_OK;
}

void sf_mpi_stop(void)
{
    if (!mpi_running()) return;
    if (world_comm.mpi != MPI_COMM_NULL) MPI_Comm_free(&world_comm.mpi);
    if (world_comm.has_hints) MPI_Info_free(&world_comm.hints);
    world_comm = (sf_comm){ .rank = 0, .size = 1, .mpi = MPI_COMM_NULL };
    MPI_Finalize();
}

void sf_mpi_abort(sf_status st)
{
    sf_comm_abort_line_(st, world_comm.rank);
    if (mpi_running()) MPI_Abort(MPI_COMM_WORLD, sf_comm_exit_code_(st));
    _exit(sf_comm_exit_code_(st));
}

sf_comm *sf_comm_world(void) { return &world_comm; }

sf_comm *sf_comm_self(void) { return &self_comm; }

void sf_comm_poll(void)
{
    int mine = 0, waiting = 0;
    if (world_comm.size == 1 || !mpi_running()) return;
    MPI_Is_thread_main(&mine);
    if (!mine) return;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, world_comm.mpi, &waiting, MPI_STATUS_IGNORE);
    if (poll_hook) poll_hook(poll_user);
}

void sf_comm_poll_hook_(void (*hook)(void *user), void *user)
{
    poll_hook = hook;
    poll_user = user;
}

/* ---- groups ------------------------------------------------------------------------------- */

sf_status sf_comm_split(sf_comm **out, sf_comm *c, int color, int key)
{
    *out = NULL;
    sf_comm *made = NULL;
    sf_status st = sf_mem_calloc(&made, 1, sizeof *made, SF_MEM_MISC);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    *made = *c;
    made->failed = false;
    if (c->size > 1) {
        int rc = MPI_Comm_split(c->mpi, color < 0 ? MPI_UNDEFINED : color, key, &made->mpi);
        if (rc != MPI_SUCCESS) {
            st = sf_comm_mpi_fail_(rc, "MPI_Comm_split", __FILE__, __LINE__);
            goto fail;
        }
    }
    if (color < 0) {
        sf_mem_free(made);
        return SF_OK;
    }
    if (made->mpi != MPI_COMM_NULL) {
        MPI_Comm_rank(made->mpi, &made->rank);
        MPI_Comm_size(made->mpi, &made->size);
        if (made->size == 1) MPI_Comm_free(&made->mpi);
    }
    *out = made;
    return SF_OK;
fail:
    sf_mem_free(made);
    return st;
}

static sf_status create_group(MPI_Comm *out, MPI_Comm mpi, const int *ranks, int n)
{
    MPI_Group all, part;
    SF_MPI_TRY(MPI_Comm_group(mpi, &all));
    int rc = MPI_Group_incl(all, n, ranks, &part);
    MPI_Group_free(&all);
    SF_MPI_CODE(rc, "MPI_Group_incl");
    rc = MPI_Comm_create_group(mpi, part, 0, out);
    MPI_Group_free(&part);
    SF_MPI_CODE(rc, "MPI_Comm_create_group");
    return SF_OK;
}

sf_status sf_comm_of(sf_comm **out, sf_comm *c, const int *ranks, int n)
{
    sf_comm *made = NULL;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&made, 1, sizeof *made, SF_MEM_MISC));
    *made = *c;
    made->failed = false;
    made->mpi = MPI_COMM_NULL;
    made->size = n;
    for (made->rank = 0; made->rank < n && ranks[made->rank] != c->rank;) made->rank++;
    sf_status st = SF_OK;
    SF_CHECK_GOTO(fail, st, made->rank < n, SF_EINTERNAL, "rank %d is not in its own comm",
                  c->rank);
    if (n > 1) SF_GOTO(fail, st, create_group(&made->mpi, c->mpi, ranks, n));
    *out = made;
    return SF_OK;
fail:
    sf_mem_free(made);
    return st;
}

void sf_comm_destroy(sf_comm **c)
{
    if (*c != NULL && *c != &world_comm && *c != &self_comm) {
        if ((*c)->mpi != MPI_COMM_NULL && mpi_running()) MPI_Comm_free(&(*c)->mpi);
        sf_mem_free(*c);
    }
    *c = NULL;
}

/* ---- agreement ---------------------------------------------------------------------------- */

static int64_t severity(sf_status st)
{
    switch (st) {
    case SF_OK:
        return 0;
    case SF_ESTOP:
        return 1;
    case SF_ECOMM:
        return 2;
    case SF_EINVAL:
    case SF_EDATA:
    case SF_EIO:
    case SF_ENOMEM:
    case SF_EUNSUPPORTED:
    case SF_EINTERNAL:
        return 2 + (int64_t)st;
    }
    return 2 + (int64_t)SF_EINTERNAL;
}

typedef struct {
    int status, rank;
    char host[SF_COMM_HOST_MAX], text[1024];
} verdict;

static void fill_verdict(verdict *v, const sf_comm *c, sf_status mine)
{
    const char *text = sf_error_text();
    memset(v, 0, sizeof *v);
    v->status = (int)mine;
    v->rank = c->world_rank;
    snprintf(v->host, sizeof v->host, "%s", sf_comm_host());
    snprintf(v->text, sizeof v->text, "%s", text[0] ? text : sf_status_name(mine));
}

sf_status sf_comm_agree(sf_comm *c, sf_status mine)
{
    if (c->size == 1) return mine;
    /* one number decides: the worst status, then the lowest rank that has it */
    int64_t key = severity(mine) * ((int64_t)1 << 32) + (INT_MAX - c->rank), top = 0;
    MPI_Request request;
    c->failed = false;
    SF_MPI_WAIT(MPI_Iallreduce(&key, &top, 1, MPI_INT64_T, MPI_MAX, c->mpi, &request));
    c->failed = top >> 32 != 0;
    if (!c->failed) return SF_OK;
    const int root = INT_MAX - (int)(top & 0xffffffff);
    verdict v;
    if (root == c->rank) fill_verdict(&v, c, mine);
    SF_MPI_WAIT(MPI_Ibcast(&v, (int)sizeof v, MPI_BYTE, root, c->mpi, &request));
    if (root == c->rank) return mine;
    return SF_FAIL((sf_status)v.status, "rank %d on %s: %s", v.rank, v.host, v.text);
}

/* ---- collectives -------------------------------------------------------------------------- */

sf_status sf_comm_barrier(sf_comm *c)
{
    MPI_Request request;
    if (c->size > 1) SF_MPI_WAIT(MPI_Ibarrier(c->mpi, &request));
    return SF_OK;
}

sf_status sf_comm_bcast(sf_comm *c, void *data, size_t bytes, int root)
{
    MPI_Request request;
    SF_CHECK(root >= 0 && root < c->size, SF_EINTERNAL, "broadcast from rank %d of %d", root,
             c->size);
    if (c->size == 1) return SF_OK;
    for (size_t at = 0; at < bytes; at += (size_t)SF_COMM_CHUNK) {
        size_t n = bytes - at < (size_t)SF_COMM_CHUNK ? bytes - at : (size_t)SF_COMM_CHUNK;
        SF_MPI_WAIT(MPI_Ibcast((char *)data + at, (int)n, MPI_BYTE, root, c->mpi, &request));
    }
    return SF_OK;
}

/* Sum one block: gathered on rank 0, added in rank order, and sent to all, so every rank gets the
 * same bits. */
static sf_status sum_block(sf_comm *c, double *v, int64_t n, double *all)
{
    MPI_Request request;
    SF_MPI_WAIT(MPI_Igather(v, (int)n, MPI_DOUBLE, all, (int)n, MPI_DOUBLE, 0, c->mpi, &request));
    for (int64_t i = 0; c->rank == 0 && i < n; i++) {
        double sum = all[i];
        for (int r = 1; r < c->size; r++) sum += all[r * n + i];
        v[i] = sum;
    }
    SF_MPI_WAIT(MPI_Ibcast(v, (int)n, MPI_DOUBLE, 0, c->mpi, &request));
    return SF_OK;
}

sf_status sf_comm_sum_f64(sf_comm *c, double *v, int64_t n)
{
    enum { SMALL = 4096 };
    double small[SMALL], *large = NULL;
    if (c->size == 1) return SF_OK;
    int64_t block = SMALL / c->size;
    if (n > block) { /* n is the same on all ranks, so they all come here */
        block = SF_COMM_CHUNK / 1024 / (int64_t)sizeof(double);
        if (block < 1) block = 1;
        sf_status st = SF_OK;
        if (c->rank == 0)
            st = sf_mem_alloc(&large, (size_t)(block * c->size), sizeof *large, SF_MEM_SCRATCH);
        SF_TRY(sf_comm_agree(c, st));
    }
    sf_status st = SF_OK;
    for (int64_t at = 0; at < n && st == SF_OK; at += block)
        st = sum_block(c, v + at, n - at < block ? n - at : block, large ? large : small);
    sf_mem_free(large);
    return st;
}

static sf_status extreme(sf_comm *c, int64_t *v, int64_t n, MPI_Op op)
{
    MPI_Request request;
    const int64_t block = SF_COMM_CHUNK / 8 > 0 ? SF_COMM_CHUNK / 8 : 1;
    if (c->size == 1) return SF_OK;
    for (int64_t at = 0; at < n; at += block) {
        const int count = (int)(n - at < block ? n - at : block);
        SF_MPI_WAIT(MPI_Iallreduce(MPI_IN_PLACE, v + at, count, MPI_INT64_T, op, c->mpi, &request));
    }
    return SF_OK;
}

sf_status sf_comm_max_i64(sf_comm *c, int64_t *v, int64_t n) { return extreme(c, v, n, MPI_MAX); }

sf_status sf_comm_min_i64(sf_comm *c, int64_t *v, int64_t n) { return extreme(c, v, n, MPI_MIN); }

sf_status sf_comm_allgather_f64(sf_comm *c, double *v, const int64_t *first)
{
    if (c->size == 1) return SF_OK;
    MPI_Request request;
    int *count = NULL;
    const int64_t all = first[c->size];
    sf_status st = sf_mem_alloc(&count, 2 * (size_t)c->size, sizeof *count, SF_MEM_SCRATCH);
    if (st == SF_OK && all > INT_MAX)
        st = SF_FAIL(SF_EUNSUPPORTED, "%lld numbers to gather at once", (long long)all);
    SF_GOTO(done, st, sf_comm_agree(c, st));
    int *at = count + c->size;
    for (int r = 0; r < c->size; r++) {
        at[r] = (int)first[r];
        count[r] = (int)(first[r + 1] - first[r]);
    }
    int code =
        MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DOUBLE, v, count, at, MPI_DOUBLE, c->mpi, &request);
    if (code == MPI_SUCCESS) code = sf_comm_wait_(&request, MPI_STATUS_IGNORE);
    if (code != MPI_SUCCESS) st = sf_comm_mpi_fail_(code, "MPI_Iallgatherv", __FILE__, __LINE__);
done:
    sf_mem_free(count);
    return st;
}

static sf_status gather_sizes(sf_comm *c, size_t bytes, int64_t *all)
{
    MPI_Request request;
    const int64_t mine = (int64_t)bytes;
    SF_MPI_WAIT(MPI_Iallgather(&mine, 1, MPI_INT64_T, all, 1, MPI_INT64_T, c->mpi, &request));
    return SF_OK;
}

sf_status sf_comm_allgather_bytes(sf_comm *c, const void *data, size_t bytes, void ***all,
                                  size_t **sizes)
{
    int64_t *count = NULL;
    *all = NULL;
    *sizes = NULL;
    if (c->size == 1) return sf_comm_gather_self_(data, bytes, all, sizes);
    sf_status st = sf_mem_alloc(&count, (size_t)c->size, sizeof *count, SF_MEM_SCRATCH);
    SF_GOTO(done, st, sf_comm_agree(c, st));
    SF_GOTO(done, st, gather_sizes(c, bytes, count));
    st = sf_comm_gather_block_(all, sizes, count, c->size);
    SF_GOTO(done, st, sf_comm_agree(c, st));
    if (bytes > 0) memcpy((*all)[c->rank], data, bytes);
    for (int r = 0; r < c->size && st == SF_OK; r++)
        st = sf_comm_bcast(c, (*all)[r], (*sizes)[r], r);
done:
    if (st != SF_OK) {
        sf_mem_free(*all);
        *all = NULL;
        *sizes = NULL;
    }
    sf_mem_free(count);
    return st;
}

/* ---- messages ----------------------------------------------------------------------------- */

/* A datatype of exactly `bytes`, so that one message may be longer than INT_MAX. */
static sf_status make_span(MPI_Datatype *out, size_t bytes)
{
    const size_t chunk = (size_t)SF_COMM_CHUNK, whole = bytes / chunk;
    int length[2] = { (int)whole, (int)(bytes % chunk) };
    MPI_Aint at[2] = { 0, (MPI_Aint)(whole * chunk) };
    MPI_Datatype kind[2] = { MPI_BYTE, MPI_BYTE };
    SF_CHECK(whole < INT_MAX, SF_EUNSUPPORTED, "a message of %zu bytes is too long", bytes);
    SF_MPI_TRY(MPI_Type_contiguous((int)chunk, MPI_BYTE, &kind[0]));
    int rc = MPI_Type_create_struct(2, length, at, kind, out);
    MPI_Type_free(&kind[0]);
    SF_MPI_CODE(rc, "MPI_Type_create_struct");
    SF_MPI_TRY(MPI_Type_commit(out));
    return SF_OK;
}

static sf_status check_peer(const sf_comm *c, int peer, int tag)
{
    SF_CHECK(peer >= 0 && peer < c->size && peer != c->rank, SF_EINTERNAL,
             "rank %d of %d exchanges a message with rank %d", c->rank, c->size, peer);
    SF_CHECK(tag >= 0 && tag <= SF_COMM_TAG_MAX, SF_EINTERNAL, "message tag %d", tag);
    return SF_OK;
}

sf_status sf_comm_send(sf_comm *c, const void *data, size_t bytes, int to, int tag)
{
    MPI_Request request;
    MPI_Datatype span;
    SF_TRY(check_peer(c, to, tag));
    SF_TRY(make_span(&span, bytes));
    int rc = MPI_Isend(data, 1, span, to, tag, c->mpi, &request);
    MPI_Type_free(&span);
    if (rc == MPI_SUCCESS) rc = sf_comm_wait_(&request, MPI_STATUS_IGNORE);
    SF_MPI_CODE(rc, "MPI_Isend");
    return SF_OK;
}

sf_status sf_comm_recv(sf_comm *c, void *data, size_t bytes, int from, int tag)
{
    MPI_Request request;
    MPI_Status status;
    MPI_Datatype span;
    MPI_Count got = 0;
    SF_TRY(check_peer(c, from == -1 ? (c->rank + 1) % c->size : from, tag));
    SF_TRY(make_span(&span, bytes));
    int rc = MPI_Irecv(data, 1, span, from == -1 ? MPI_ANY_SOURCE : from, tag, c->mpi, &request);
    MPI_Type_free(&span);
    if (rc == MPI_SUCCESS) rc = sf_comm_wait_(&request, &status);
    SF_MPI_CODE(rc, "MPI_Irecv");
    MPI_Get_elements_x(&status, MPI_BYTE, &got);
    SF_CHECK((size_t)got == bytes, SF_ECOMM, "rank %d sent %lld bytes, expected %zu",
             status.MPI_SOURCE, (long long)got, bytes);
    return SF_OK;
}

sf_status sf_comm_probe(sf_comm *c, int *from, int tag, bool *waiting, size_t *bytes)
{
    int flag = 0;
    MPI_Status status;
    MPI_Count size = 0;
    if (from) *from = -1;
    if (bytes) *bytes = 0;
    *waiting = false;
    if (c->size == 1) return SF_OK;
    SF_MPI_TRY(MPI_Iprobe(MPI_ANY_SOURCE, tag, c->mpi, &flag, &status));
    if (!flag) return SF_OK;
    MPI_Get_elements_x(&status, MPI_BYTE, &size);
    *waiting = true;
    if (from) *from = status.MPI_SOURCE;
    if (bytes) *bytes = (size_t)size;
    return SF_OK;
}
