#include "network/optim.h"
#include "kernels/sgd.h"
#include <math.h>

double sf_optim_lr(const sf_optim *o, int64_t epoch, int64_t epochs)
{
    return o->lr0 * pow(1.0 - (double)epoch / (double)epochs, o->poly_power);
}

/* The same tree as sf_tree_sum over all parameters, without a buffer for their sums: halves split
   at the largest power of two below n. Absent gradients count 0. */
static double tree_of_squares(const sf_params *p, int first, int n, int threads)
{
    if (n == 0) return 0.0;
    if (n == 1) {
        const sf_param *q = &p->item[first];
        return q->has_grad ? sf_sum_squares(p->dtype, q->count, q->grad, threads) : 0.0;
    }
    int half = 1;
    while (2 * half < n) half *= 2;
    const double left = tree_of_squares(p, first, half, threads);
    return left + tree_of_squares(p, first + half, n - half, threads);
}

double sf_optim_grad_norm(const sf_params *p, int threads)
{
    return sqrt(tree_of_squares(p, 0, p->count, threads));
}

static void *element(sf_dtype dtype, void *array, int64_t i)
{
    return (char *)array + i * (int64_t)sf_dtype_size(dtype);
}

int64_t sf_optim_squares(sf_dtype dtype, const sf_param *q, int64_t begin, int64_t end, double *out)
{
    int64_t n = 0;
    for (int64_t at = begin; at < end; at += SF_OPTIM_BLOCK) {
        const int64_t size = end - at < SF_OPTIM_BLOCK ? end - at : SF_OPTIM_BLOCK;
        out[n++] = sf_sum_squares(dtype, size, element(dtype, q->grad, at), 1);
    }
    return n;
}

double sf_optim_clip(const sf_optim *o, double norm)
{
    return o->clip_norm > 0.0 ? fmin(1.0, o->clip_norm / (norm + 1e-6)) : 1.0;
}

void sf_optim_step_part(const sf_optim *o, double lr, double clip, sf_dtype dtype,
                        const sf_param *q, int64_t begin, int64_t end, int threads)
{
    const sf_sgd s = { lr, o->momentum, o->decay, clip, !q->has_velocity };
    sf_sgd_step(dtype, end - begin, &s, element(dtype, q->value, begin),
                element(dtype, q->grad, begin), element(dtype, q->velocity, begin), threads);
}

void sf_optim_step(const sf_optim *o, double lr, sf_params *p, int threads, double *norm)
{
    const double n = sf_optim_grad_norm(p, threads), clip = sf_optim_clip(o, n);
    for (int i = 0; i < p->count; i++) {
        sf_param *q = &p->item[i];
        if (!q->has_grad) continue;
        sf_optim_step_part(o, lr, clip, p->dtype, q, 0, q->count, threads);
        q->has_velocity = true;
    }
    if (norm) *norm = n;
}
