/* mpi/grad.h on any number of ranks: the sums of a group have the bits of one rank's, the bytes are
 * those of the formula, values and other arrays come together. */
#include "check.h"
#include "mpi/grad.h"
#include <stdlib.h>

enum { TENSORS = 5, SAMPLES = 11, MOST_LEAVES = 5, MOST_RANKS = 64 };
static const int64_t count_of[TENSORS] = { 9000, 17, 4096, 20001, 3 };
static const int64_t leaves_of[TENSORS] = { MOST_LEAVES, 1, 3, 1, 4 };
static const bool wide_of[TENSORS] = { false, true, false, false, true };

/* Element e of the sum of leaf `at` of tensor i: order matters, of either sign. */
static float leaf_value(int i, int64_t at, int64_t e)
{
    const uint32_t x = (uint32_t)(at * 7919 + e * 104729 + i * 31 + 1) * 2654435761u;
    return ((float)(x >> 8) - 8388608.0f) / (float)(1 + x % 977);
}

static void add(const sf_grad_tensor *t, void *to, const void *from)
{
    for (int64_t e = 0; e < t->count; e++) {
        if (t->wide)
            ((double *)to)[e] += ((const double *)from)[e];
        else
            ((float *)to)[e] += ((const float *)from)[e];
    }
}

/* What one rank's backward pass does with the positions [lo, hi): the nodes' sums. */
static int sum_leaves(const sf_grad_tensor *t, int i, int64_t lo, int64_t hi, void **part)
{
    sf_tree_stack s = { .n = 0 };
    s.bound[0] = lo;
    for (int64_t at = lo; at < hi; at++) {
        for (int64_t e = 0; e < t->count; e++) {
            if (t->wide)
                ((double *)part[s.n])[e] = (double)leaf_value(i, at, e);
            else
                ((float *)part[s.n])[e] = leaf_value(i, at, e);
        }
        sf_tree_push(&s, at + 1);
        while (sf_tree_fold(&s, &t->tree)) add(t, part[s.n - 1], part[s.n]);
    }
    return s.n;
}

typedef struct {
    sf_grad_tensor t[TENSORS];
    int64_t first[TENSORS][MOST_RANKS + 1];
    float *value[TENSORS], *grad[TENSORS], *want[TENSORS], *other[TENSORS];
    void *part[SF_TREE_MAX];
} world;

static void *get(int64_t n, size_t size)
{
    void *p = NULL;
    CHECK_OK(sf_mem_alloc(&p, (size_t)n, size, SF_MEM_MISC));
    return p;
}

/* by_leaf: the cuts between ranks go through samples, as slabs make them. */
static void make(world *w, int size, bool by_leaf)
{
    for (int i = 0; i < TENSORS; i++) {
        const int64_t n = count_of[i];
        float **all[] = { &w->value[i], &w->grad[i], &w->want[i], &w->other[i] };
        for (int k = 0; k < 4; k++) *all[k] = get(n, sizeof(float));
        w->t[i] = (sf_grad_tensor){ n,           wide_of[i],  { SAMPLES, leaves_of[i] },
                                    w->first[i], w->value[i], w->grad[i] };
        for (int r = 0; r <= size; r++)
            w->first[i][r] =
                by_leaf ? SAMPLES * leaves_of[i] * r / size : SAMPLES * r / size * leaves_of[i];
    }
    for (int k = 0; k < 32; k++) w->part[k] = get(20001, sizeof(double));
    for (int i = 0; i < TENSORS; i++) {
        CHECK(sum_leaves(&w->t[i], i, 0, SAMPLES * leaves_of[i], w->part) == 1);
        for (int64_t e = 0; e < count_of[i]; e++)
            w->want[i][e] =
                wide_of[i] ? (float)((double *)w->part[0])[e] : ((float *)w->part[0])[e];
    }
}

static void drop(world *w)
{
    for (int i = 0; i < TENSORS; i++) {
        void *all[] = { w->value[i], w->grad[i], w->want[i], w->other[i] };
        for (int k = 0; k < 4; k++) sf_mem_free(all[k]);
    }
    for (int k = 0; k < 32; k++) sf_mem_free(w->part[k]);
}

/* Updated weights of the owner: from the sum and the step. */
static float stepped(float grad, int step) { return grad * 0.5f + (float)step; }

static void one_step(world *w, sf_grad *g, int rank, int size, int step)
{
    const int64_t before = sf_grad_sent(g);
    int64_t begin, end, owned = 0;
    CHECK_OK(sf_grad_begin(g));
    for (int i = 0; i < TENSORS; i++) {
        const int64_t *first = w->first[i] + rank;
        const int n = sum_leaves(&w->t[i], i, first[0], first[1], w->part);
        CHECK_OK(sf_grad_ready(g, i, (const void *const *)w->part, n));
    }
    CHECK_OK(sf_grad_finish(g));
    for (int i = 0; i < TENSORS; i++) {
        sf_grad_piece(g, i, rank, &begin, &end);
        CHECK(memcmp(w->grad[i] + begin, w->want[i] + begin, (size_t)(end - begin) * 4) == 0);
        for (int64_t e = begin; e < end; e++) w->value[i][e] = stepped(w->grad[i][e], step);
        for (int64_t e = begin; e < end; e++) w->other[i][e] = (float)(rank + 1);
        for (int r = 0; r < size; r++, owned += end - begin) sf_grad_piece(g, i, r, &begin, &end);
        CHECK(end == count_of[i]);
    }
    CHECK(owned == 9000 + 17 + 4096 + 20001 + 3);
    CHECK_OK(sf_grad_share(g));
    CHECK(sf_grad_sent(g) - before == sf_grad_bytes(g));
    for (int i = 0; i < TENSORS; i++)
        for (int64_t e = 0; e < count_of[i]; e++)
            CHECK(w->value[i][e] == stepped(w->want[i][e], step));
}

static void collected(const world *w, sf_grad *g, int rank, int size)
{
    const int root = size - 1;
    CHECK_OK(sf_grad_collect(g, w->other, root));
    for (int i = 0; i < TENSORS && rank == root; i++)
        for (int r = 0; r < size; r++) {
            int64_t begin, end;
            sf_grad_piece(g, i, r, &begin, &end);
            for (int64_t e = begin; e < end; e++) CHECK(w->other[i][e] == (float)(r + 1));
        }
}

/* The formula of grad.h, written out for one tensor per bucket and whole samples. */
static void formula(const world *w, const sf_grad *g, int rank, int size)
{
    int64_t bytes = 0, begin, end;
    for (int i = 0; i < TENSORS; i++) {
        sf_tree_stack s;
        (void)sf_tree_cover(&w->t[i].tree, w->first[i][rank], w->first[i][rank + 1], &s);
        for (int r = 0; r < size; r++) {
            sf_grad_piece(g, i, r, &begin, &end);
            const int64_t part = ((end - begin) * (wide_of[i] ? 8 : 4) + 7) / 8 * 8;
            bytes += r == rank ? (size - 1) * (end - begin) * 4 : s.n * part;
        }
    }
    CHECK(bytes == sf_grad_bytes(g));
}

static void group(sf_comm *c, int64_t bucket, bool by_leaf)
{
    const int rank = sf_comm_rank(c), size = sf_comm_size(c);
    static world w;
    sf_grad *g;
    memset(&w, 0, sizeof w);
    make(&w, size, by_leaf);
    CHECK_OK(sf_grad_create(&g, c, w.t, TENSORS, bucket));
    formula(&w, g, rank, size);
    for (int step = 0; step < 3; step++) one_step(&w, g, rank, size, step);
    collected(&w, g, rank, size);
    CHECK_OK(sf_grad_begin(g)); /* another one than the next, or another number of parts */
    CHECK(sf_grad_ready(g, 1, (const void *const *)w.part, 1) == SF_EINTERNAL);
    CHECK(sf_grad_ready(g, 0, (const void *const *)w.part, 31) == SF_EINTERNAL);
    sf_grad_destroy(&g);
    drop(&w);
}

static void trees(void)
{
    /* nodes of all cuts of a batch fold to one sum, as one run of leaves does */
    for (int64_t samples = 1; samples <= 9; samples++)
        for (int64_t leaves = 1; leaves <= 6; leaves++)
            for (int64_t cut = 0; cut <= samples * leaves; cut++) {
                const sf_tree t = { samples, leaves };
                sf_tree_stack a, b, s;
                (void)sf_tree_cover(&t, 0, cut, &a);
                (void)sf_tree_cover(&t, cut, samples * leaves, &b);
                s.n = 0;
                s.bound[0] = 0;
                for (int k = 0; k < a.n + b.n; k++) {
                    sf_tree_push(&s, k < a.n ? a.bound[k + 1] : b.bound[k - a.n + 1]);
                    while (sf_tree_fold(&s, &t)) {
                    }
                }
                CHECK(s.n == 1 && s.bound[1] == samples * leaves);
            }
    /* 7 = (01 23) (45 6), as sf_tree_sum splits */
    const sf_tree seven = { 7, 1 };
    CHECK(sf_tree_siblings(&seven, 0, 4, 7) && sf_tree_siblings(&seven, 4, 6, 7));
    CHECK(!sf_tree_siblings(&seven, 2, 4, 6) && !sf_tree_siblings(&seven, 0, 4, 6));
}

int main(int argc, char **argv)
{
    CHECK_OK(sf_mpi_start(&argc, &argv));
    sf_comm *c = sf_comm_world();
    trees();
    for (int by_leaf = 0; by_leaf < 2; by_leaf++) {
        group(c, 1, by_leaf);       /* a bucket for each tensor */
        group(c, 40000, by_leaf);   /* some */
        group(c, 1 << 30, by_leaf); /* one */
    }
    CHECK_OK(sf_comm_barrier(c));
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    sf_mpi_stop();
    return 0;
}
