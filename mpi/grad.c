#include "mpi/grad.h"
#include "base/mem.h"
#include "mpi/transfers.h"
#include <string.h>

enum { TAG_PARTS = 1, TAG_VALUES = 2, TAG_COLLECT = 3 };

/* Tensors [first, end) of the list travel together. Offsets in bytes. */
typedef struct {
    int first, end;
    int64_t units;
    int64_t *send_at; /* [ranks + 1] in g->out: what goes to each owner */
    int64_t *recv_at; /* [ranks + 1] in g->in: what comes from each rank */
} bucket;

struct sf_grad {
    sf_comm *comm; /* own: nothing else travels in it */
    int rank, size;
    sf_grad_tensor *t;
    int n;
    sf_tree_stack *nodes; /* [n][ranks]: nodes of each rank's positions */
    int *bucket_of;       /* [n] */
    int64_t *unit;        /* [n]: number of its first unit in its bucket */
    bucket *b;
    int n_buckets;
    int64_t *offsets; /* storage of send_at and recv_at */
    char *out, *in;   /* partial sums on their way; later the values */
    int64_t out_bytes, in_bytes;
    int next; /* tensor that must become ready next */
    sf_transfers *move;
};

static int64_t units_of(int64_t count) { return (count + SF_GRAD_UNIT - 1) / SF_GRAD_UNIT; }

static int64_t round8(int64_t bytes) { return (bytes + 7) / 8 * 8; }

static const sf_tree_stack *nodes_of(const sf_grad *g, int i, int rank)
{
    return &g->nodes[(int64_t)i * g->size + rank];
}

void sf_grad_piece(const sf_grad *g, int i, int rank, int64_t *begin, int64_t *end)
{
    const bucket *b = &g->b[g->bucket_of[i]];
    const int64_t count = g->t[i].count;
    const int64_t u0 = b->units * rank / g->size - g->unit[i];
    const int64_t u1 = b->units * (rank + 1) / g->size - g->unit[i];
    *begin = u0 < 0 ? 0 : u0 * SF_GRAD_UNIT;
    *end = u1 < 0 ? 0 : u1 * SF_GRAD_UNIT;
    if (*begin > count) *begin = count;
    if (*end > count) *end = count;
}

/* Bytes of one partial sum of the piece of `owner`, as it travels. */
static int64_t part_bytes(const sf_grad *g, int i, int owner)
{
    int64_t begin, end;
    sf_grad_piece(g, i, owner, &begin, &end);
    return round8((end - begin) * (g->t[i].wide ? 8 : 4));
}

/* Bytes of a bucket from rank to owner: partial sums, and on the way back values. */
static int64_t parts_bytes(const sf_grad *g, const bucket *b, int rank, int owner)
{
    int64_t sum = 0;
    for (int i = b->first; i < b->end; i++)
        sum += nodes_of(g, i, rank)->n * part_bytes(g, i, owner);
    return sum;
}

static int64_t values_count(const sf_grad *g, const bucket *b, int owner)
{
    int64_t sum = 0, begin, end;
    for (int i = b->first; i < b->end; i++) {
        sf_grad_piece(g, i, owner, &begin, &end);
        sum += end - begin;
    }
    return sum;
}

/* --- planning ------------------------------------------------------------------------------- */

/* @return number of buckets; fills them when b is there */
static int cut_buckets(const sf_grad *g, int64_t bytes, bucket *b)
{
    int n = 0;
    int64_t held = 0;
    for (int i = 0; i < g->n; i++) {
        if (held == 0) n++;
        if (b) {
            if (held == 0) b[n - 1].first = i;
            g->bucket_of[i] = n - 1;
            g->unit[i] = b[n - 1].units;
            b[n - 1].units += units_of(g->t[i].count);
            b[n - 1].end = i + 1;
        }
        held += g->t[i].count * 4;
        if (held >= bytes) held = 0;
    }
    return n;
}

static int64_t most64(int64_t a, int64_t b) { return a > b ? a : b; }

/* Places of all messages. The buffers serve the values as well, bucket after bucket. */
static void place_messages(sf_grad *g)
{
    int64_t out = 0, in = 0, values_out = 0, values_in = 0;
    for (int k = 0; k < g->n_buckets; k++) {
        bucket *b = &g->b[k];
        b->send_at = g->offsets + 2 * k * (g->size + 1);
        b->recv_at = b->send_at + g->size + 1;
        for (int r = 0; r < g->size; r++) {
            b->send_at[r] = out;
            b->recv_at[r] = in;
            if (r != g->rank) out += parts_bytes(g, b, g->rank, r);
            in += parts_bytes(g, b, r, g->rank);
            const int64_t values = round8(values_count(g, b, r) * 4);
            if (r == g->rank)
                values_out += values;
            else
                values_in += values;
        }
        b->send_at[g->size] = out;
        b->recv_at[g->size] = in;
    }
    g->out_bytes = most64(out, values_out);
    g->in_bytes = most64(in, values_in);
}

static sf_status plan(sf_grad *g, const sf_grad_tensor *t, int n, int64_t bucket_bytes)
{
    const size_t count = (size_t)(n > 0 ? n : 1), ranks = (size_t)g->size;
    g->n = n;
    SF_TRY(sf_mem_alloc(&g->t, count, sizeof *g->t, SF_MEM_MISC));
    memcpy(g->t, t, (size_t)n * sizeof *t);
    SF_TRY(sf_mem_alloc(&g->nodes, count * ranks, sizeof *g->nodes, SF_MEM_MISC));
    SF_TRY(sf_mem_alloc(&g->bucket_of, count, sizeof *g->bucket_of, SF_MEM_MISC));
    SF_TRY(sf_mem_alloc(&g->unit, count, sizeof *g->unit, SF_MEM_MISC));
    for (int i = 0; i < n; i++)
        for (int r = 0; r < g->size; r++)
            (void)sf_tree_cover(&t[i].tree, t[i].first[r], t[i].first[r + 1],
                                &g->nodes[(int64_t)i * g->size + r]);
    g->n_buckets = cut_buckets(g, bucket_bytes, NULL);
    SF_TRY(sf_mem_calloc(&g->b, (size_t)g->n_buckets + 1, sizeof *g->b, SF_MEM_MISC));
    (void)cut_buckets(g, bucket_bytes, g->b);
    SF_TRY(sf_mem_alloc(&g->offsets, ((size_t)g->n_buckets + 1) * 2 * (ranks + 1),
                        sizeof *g->offsets, SF_MEM_MISC));
    place_messages(g);
    return SF_OK;
}

static sf_status make_room(sf_grad *g)
{
    SF_TRY(sf_mem_alloc(&g->out, (size_t)g->out_bytes + 8, 1, SF_MEM_SCRATCH));
    return sf_mem_alloc(&g->in, (size_t)g->in_bytes + 8, 1, SF_MEM_SCRATCH);
}

sf_status sf_grad_plan(sf_grad **out, int rank, int ranks, const sf_grad_tensor *tensors, int n,
                       int64_t bucket_bytes)
{
    sf_grad *g = NULL;
    SF_TRY(sf_mem_calloc(&g, 1, sizeof *g, SF_MEM_MISC));
    g->rank = rank;
    g->size = ranks;
    const sf_status st = plan(g, tensors, n, bucket_bytes);
    if (st != SF_OK) sf_grad_destroy(&g);
    *out = g;
    return st;
}

sf_status sf_grad_create(sf_grad **out, sf_comm *c, const sf_grad_tensor *tensors, int n,
                         int64_t bucket_bytes)
{
    *out = NULL;
    sf_grad *g = NULL;
    sf_status st = sf_mem_calloc(&g, 1, sizeof *g, SF_MEM_MISC);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    SF_GOTO(fail, st, sf_comm_split(&g->comm, c, 0, sf_comm_rank(c)));
    g->rank = sf_comm_rank(c);
    g->size = sf_comm_size(c);
    st = plan(g, tensors, n, bucket_bytes);
    if (st == SF_OK) st = make_room(g);
    if (st == SF_OK) st = sf_transfers_create(&g->move, g->comm);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    *out = g;
    return SF_OK;
fail:
    sf_grad_destroy(&g);
    return st;
}

void sf_grad_destroy(sf_grad **grad)
{
    sf_grad *g = *grad;
    *grad = NULL;
    if (!g) return;
    sf_transfers_destroy(&g->move);
    if (g->comm) sf_comm_destroy(&g->comm);
    void *all[] = { g->t, g->nodes, g->bucket_of, g->unit, g->b, g->offsets, g->out, g->in };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sf_mem_free(all[i]);
    sf_mem_free(g);
}

/* --- partial sums to their owners --------------------------------------------------------------
 */

sf_status sf_grad_begin(sf_grad *g)
{
    g->next = 0;
    for (int k = 0; k < g->n_buckets; k++) {
        bucket *b = &g->b[k];
        for (int r = 0; r < g->size; r++)
            if (r != g->rank)
                SF_TRY(sf_transfers_recv(g->move, g->in + b->recv_at[r],
                                         b->recv_at[r + 1] - b->recv_at[r], r, TAG_PARTS));
    }
    return SF_OK;
}

/* Where the parts of tensor i for `owner` begin in this rank's message (for itself: among what
 * comes in). */
static char *place_of(const sf_grad *g, int i, int owner)
{
    const bucket *b = &g->b[g->bucket_of[i]];
    char *at = owner == g->rank ? g->in + b->recv_at[owner] : g->out + b->send_at[owner];
    for (int k = b->first; k < i; k++) at += nodes_of(g, k, g->rank)->n * part_bytes(g, k, owner);
    return at;
}

static void pack(const sf_grad *g, int i, const void *const *part, int owner)
{
    const int64_t size = g->t[i].wide ? 8 : 4, step = part_bytes(g, i, owner);
    int64_t begin, end;
    sf_grad_piece(g, i, owner, &begin, &end);
    if (begin == end) return;
    char *at = place_of(g, i, owner);
    for (int k = 0; k < nodes_of(g, i, g->rank)->n; k++, at += step) {
        memset(at + step - 8, 0, 8); /* the rest of the last word */
        memcpy(at, (const char *)part[k] + begin * size, (size_t)((end - begin) * size));
    }
}

sf_status sf_grad_ready(sf_grad *g, int i, const void *const *part, int n_parts)
{
    SF_CHECK(i == g->next && i < g->n, SF_EINTERNAL, "gradient %d is ready, but %d was expected", i,
             g->next);
    SF_CHECK(n_parts == nodes_of(g, i, g->rank)->n, SF_EINTERNAL,
             "gradient %d comes in %d parts instead of %d", i, n_parts, nodes_of(g, i, g->rank)->n);
    for (int r = 0; r < g->size; r++) pack(g, i, part, r);
    g->next++;
    const bucket *b = &g->b[g->bucket_of[i]];
    for (int r = 0; r < g->size && g->next == b->end; r++)
        if (r != g->rank)
            SF_TRY(sf_transfers_send(g->move, g->out + b->send_at[r],
                                     b->send_at[r + 1] - b->send_at[r], r, TAG_PARTS));
    return sf_grad_poll(g);
}

sf_status sf_grad_poll(sf_grad *g) { return sf_transfers_poll(g->move, NULL); }

/* --- adding ----------------------------------------------------------------------------------- */

static void add_f32(float *to, const float *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

static void add_f64(double *to, const double *from, int64_t n)
{
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

static void store(const sf_grad_tensor *t, int64_t begin, int64_t count, const void *sum)
{
    if (!t->wide) memcpy(t->grad + begin, sum, (size_t)count * sizeof *t->grad);
    for (int64_t k = 0; t->wide && k < count; k++)
        t->grad[begin + k] = (float)((const double *)sum)[k];
}

/* Sum of one tensor's own piece. at[r] walks through the messages of all ranks. */
static sf_status add_tensor(const sf_grad *g, int i, char **at)
{
    const sf_grad_tensor *t = &g->t[i];
    const int64_t step = part_bytes(g, i, g->rank);
    void *value[SF_TREE_MAX + 1];
    sf_tree_stack s = { .n = 0 };
    int64_t begin, end;
    sf_grad_piece(g, i, g->rank, &begin, &end);
    s.bound[0] = t->first[0];
    for (int r = 0; r < g->size; r++) {
        const sf_tree_stack *nodes = nodes_of(g, i, r);
        for (int k = 0; k < nodes->n; k++, at[r] += step) {
            value[s.n] = at[r];
            sf_tree_push(&s, nodes->bound[k + 1]);
            while (sf_tree_fold(&s, &t->tree)) {
                if (t->wide)
                    add_f64(value[s.n - 1], value[s.n], end - begin);
                else
                    add_f32(value[s.n - 1], value[s.n], end - begin);
            }
        }
    }
    SF_CHECK(s.n == 1, SF_EINTERNAL, "gradient %d: the ranks do not hold the whole batch", i);
    store(t, begin, end - begin, value[0]);
    return SF_OK;
}

sf_status sf_grad_finish(sf_grad *g)
{
    char **at = NULL;
    SF_CHECK(g->next == g->n, SF_EINTERNAL, "%d of %d gradients are ready", g->next, g->n);
    SF_TRY(sf_transfers_wait(g->move));
    SF_TRY(sf_mem_alloc(&at, (size_t)g->size, sizeof *at, SF_MEM_SCRATCH));
    sf_status st = SF_OK;
    for (int k = 0; k < g->n_buckets && st == SF_OK; k++) {
        for (int r = 0; r < g->size; r++) at[r] = g->in + g->b[k].recv_at[r];
        for (int i = g->b[k].first; i < g->b[k].end && st == SF_OK; i++) st = add_tensor(g, i, at);
    }
    sf_mem_free(at);
    return st;
}

/* --- values to all ---------------------------------------------------------------------------- */

/* Copy the pieces of `owner` in a bucket from arrays to a message or back; @return bytes. */
static int64_t copy_values(const sf_grad *g, const bucket *b, int owner, float *const *array,
                           float *message, bool back)
{
    float *at = message;
    for (int i = b->first; i < b->end; i++) {
        int64_t begin, end;
        sf_grad_piece(g, i, owner, &begin, &end);
        float *own = (array ? array[i] : g->t[i].value) + begin;
        const size_t size = (size_t)(end - begin) * sizeof *at;
        if (back)
            memcpy(own, at, size);
        else
            memcpy(at, own, size);
        at += end - begin;
    }
    return (at - message) * (int64_t)sizeof *at;
}

/* All pieces to rank `to`, or to everybody (-1). */
static sf_status move_values(sf_grad *g, float *const *array, int to, int tag)
{
    const bool take = to < 0 || to == g->rank;
    char *out = g->out, *in = g->in;
    for (int k = 0; k < g->n_buckets; k++) {
        const bucket *b = &g->b[k];
        for (int r = 0; r < g->size; r++) {
            const int64_t bytes = values_count(g, b, r) * 4;
            if (r == g->rank || !take) continue;
            SF_TRY(sf_transfers_recv(g->move, in, bytes, r, tag));
            in += round8(bytes);
        }
        const int64_t bytes = copy_values(g, b, g->rank, array, (float *)(void *)out, false);
        for (int r = 0; r < g->size; r++)
            if (r != g->rank && (to < 0 || r == to))
                SF_TRY(sf_transfers_send(g->move, out, bytes, r, tag));
        out += round8(bytes);
    }
    SF_TRY(sf_transfers_wait(g->move));
    in = g->in;
    for (int k = 0; k < g->n_buckets && take; k++)
        for (int r = 0; r < g->size; r++)
            if (r != g->rank)
                in += round8(copy_values(g, &g->b[k], r, array, (float *)(void *)in, true));
    return SF_OK;
}

sf_status sf_grad_share(sf_grad *g) { return move_values(g, NULL, -1, TAG_VALUES); }

sf_status sf_grad_collect(sf_grad *g, float *const *array, int root)
{
    return move_values(g, array, root, TAG_COLLECT);
}

int64_t sf_grad_bytes(const sf_grad *g)
{
    int64_t sum = 0;
    for (int k = 0; k < g->n_buckets; k++) {
        for (int r = 0; r < g->size; r++)
            if (r != g->rank) sum += parts_bytes(g, &g->b[k], g->rank, r);
        sum += (g->size - 1) * values_count(g, &g->b[k], g->rank) * 4;
    }
    return sum;
}

int64_t sf_grad_messages(const sf_grad *g) { return 2 * (int64_t)g->n_buckets * (g->size - 1); }

int64_t sf_grad_room(const sf_grad *g) { return g->out_bytes + g->in_bytes; }

int64_t sf_grad_sent(const sf_grad *g) { return sf_transfers_sent(g->move); }
