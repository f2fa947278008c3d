#include "base/tree.h"

/* Halves of a node of a tree over n. */
static bool halves(int64_t n, int64_t a, int64_t b, int64_t c)
{
    const int64_t size = b - a;
    if ((size & (size - 1)) != 0 || a % (2 * size) != 0) return false;
    return c == (a + 2 * size < n ? a + 2 * size : n);
}

bool sf_tree_siblings(const sf_tree *t, int64_t a, int64_t b, int64_t c)
{
    const int64_t n = t->leaves, base = a / n * n;
    if (c <= base + n) return halves(n, a - base, b - base, c - base);
    if (a % n != 0 || b % n != 0 || c % n != 0) return false;
    return halves(t->samples, a / n, b / n, c / n);
}

void sf_tree_push(sf_tree_stack *s, int64_t end) { s->bound[++s->n] = end; }

bool sf_tree_fold(sf_tree_stack *s, const sf_tree *t)
{
    int64_t *top = s->bound + s->n;
    if (s->n < 2 || !sf_tree_siblings(t, top[-2], top[-1], top[0])) return false;
    top[-1] = top[0];
    s->n--;
    return true;
}

int sf_tree_cover(const sf_tree *t, int64_t lo, int64_t hi, sf_tree_stack *out)
{
    int most = 0;
    out->n = 0;
    out->bound[0] = lo;
    for (int64_t at = lo; at < hi; at++) {
        sf_tree_push(out, at + 1);
        if (out->n > most) most = out->n;
        while (sf_tree_fold(out, t)) {
        }
    }
    return most;
}
