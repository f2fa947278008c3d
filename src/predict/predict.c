#include "predict/predict.h"
#include "base/mem.h"
#include "predict/sliding.h"
#include "predict/window.h"
#include <string.h>

/* Small patches share a forward pass up to this many voxels; more would only cost memory. The
 * number depends on the plan alone, so it cannot change bits between machines. */
enum { BATCH_VOXELS = 64 * 64 * 64, BATCH_MAX = 16 };
/* nnunet-training.md 8.2, for callers without a recipe at hand */
static const double DEFAULT_SIGMA = 1.0 / 8.0;

/** One network and the buffers around it. The network may be borrowed (validation inside training).
 */
typedef struct {
    sf_network *net;
    const sf_config *cfg;
    sf_predict_options opt;
    bool mirror_axis[3], sigmoid;
    int heads;
    int64_t batch, patch[3], in_channels;
    float *map;            /* importance, NULL without Gaussian */
    float *input, *answer; /* [batch][in_channels][patch], [heads][patch] */
    float *window;         /* [heads][patch] */
} engine;

struct sf_predictor {
    const sf_model *model;
    engine e;
};

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

static void engine_free(engine *e)
{
    sf_mem_free(e->map);
    sf_mem_free(e->input);
    sf_mem_free(e->answer);
    sf_mem_free(e->window);
}

/** Buffers for e's net, cfg, opt, heads, batch, patch, in_channels; freed by engine_free also after
 * a failure. */
static sf_status engine_buffers(engine *e)
{
    const size_t patch = (size_t)volume(e->patch), heads = (size_t)e->heads;
    const double sigma = e->opt.gaussian_sigma > 0 ? e->opt.gaussian_sigma : DEFAULT_SIGMA;
    SF_TRY(sf_mem_alloc(&e->input, (size_t)(e->batch * e->in_channels) * patch, sizeof(float),
                        SF_MEM_BATCH));
    SF_TRY(sf_mem_alloc(&e->window, heads * patch, sizeof(float), SF_MEM_BATCH));
    if (e->opt.average_probabilities)
        SF_TRY(sf_mem_alloc(&e->answer, heads * patch, sizeof(float), SF_MEM_BATCH));
    if (!e->opt.gaussian) return SF_OK;
    SF_TRY(sf_mem_alloc(&e->map, patch, sizeof(float), SF_MEM_BATCH));
    return sf_window_gaussian(e->patch, sigma, 1.0, e->map);
}

/** The answer to one sample of the last forward pass, as it is to be averaged. */
static const float *sample_answer(engine *e, int64_t sample)
{
    const int64_t n = e->heads * volume(e->patch);
    const float *logits = (const float *)sf_network_logits(e->net, 0) + sample * n;
    if (!e->opt.average_probabilities) return logits;
    memcpy(e->answer, logits, (size_t)n * sizeof *logits);
    sf_to_probabilities(e->answer, e->heads, volume(e->patch), e->sigmoid, e->opt.threads);
    return e->answer;
}

static sf_status run_samples(engine *e, const sf_sliding *t, const sf_source *src,
                             sf_window_sums *sums, sf_prof *prof)
{
    const int64_t size = e->in_channels * volume(e->patch);
    const double flops = 2.0 * sf_network_forward_macs(e->net);
    for (int64_t first = 0; first < t->samples; first += e->batch) {
        const int64_t used = t->samples - first < e->batch ? t->samples - first : e->batch;
        for (int64_t s = 0; s < used; s++)
            sf_sliding_cut(t, first + s, src, e->input + s * size, e->opt.threads);
        sf_prof_begin(prof, SF_EV_FORWARD);
        SF_TRY(sf_network_forward(e->net, e->input, used));
        sf_prof_end(prof, SF_EV_FORWARD, flops * (double)used / (double)e->batch, 0);
        for (int64_t s = 0; s < used; s++) sf_sliding_add(t, first + s, sample_answer(e, s), sums);
    }
    return SF_OK;
}

/** All windows and mirrorings with the network as it is: out [heads][shape]. */
static sf_status run_case(engine *e, const sf_source *src, float *out, sf_prof *prof)
{
    static const bool none[3] = { false, false, false };
    const size_t voxels = (size_t)volume(src->shape);
    sf_sliding t;
    sf_status st;
    SF_TRY(sf_sliding_make(&t, src->shape, e->patch, e->cfg->dim, e->opt.step,
                           e->opt.mirror ? e->mirror_axis : none));
    sf_window_sums s = {
        .heads = e->heads, .map = e->map, .window = e->window, .sum = out, .threads = e->opt.threads
    };
    SF_GOTO(done, st, sf_mem_calloc(&s.weight, voxels, sizeof(float), SF_MEM_BATCH));
    memset(out, 0, (size_t)e->heads * voxels * sizeof *out);
    SF_GOTO(done, st, run_samples(e, &t, src, &s, prof));
    sf_sliding_divide(&t, &s);
done:
    sf_mem_free(s.weight);
    sf_sliding_free(&t);
    return st;
}

/** Channels of the second stage of a cascade that come from the first stage's labels. */
static int one_hot_channels(const sf_model *m)
{
    return m->cfg->previous_stage != NULL ? m->dataset->labels.n_labels - 1 : 0;
}

static int64_t automatic_batch(const sf_config *cfg)
{
    const int64_t fit = BATCH_VOXELS / volume(cfg->patch);
    return fit < 1 ? 1 : fit > BATCH_MAX ? BATCH_MAX : fit;
}

static sf_status predictor_setup(sf_predictor *p, const sf_model *m, const sf_predict_options *opt)
{
    engine *e = &p->e;
    p->model = m;
    e->cfg = m->cfg;
    e->opt = *opt;
    if (e->opt.gaussian_sigma <= 0) e->opt.gaussian_sigma = m->plans->recipe->infer.gaussian_sigma;
    e->sigmoid = m->dataset->labels.has_regions;
    e->heads = m->dataset->labels.n_heads;
    e->in_channels = m->dataset->n_channels + one_hot_channels(m);
    e->batch = opt->windows_per_batch > 0 ? opt->windows_per_batch : automatic_batch(m->cfg);
    memcpy(e->patch, m->cfg->patch, sizeof e->patch);
    memcpy(e->mirror_axis, m->mirror_axis, sizeof e->mirror_axis);
    const sf_network_options no = { .arch = &m->cfg->arch,
                                    .in_channels = e->in_channels,
                                    .heads = e->heads,
                                    .batch = e->batch,
                                    .patch = { e->patch[0], e->patch[1], e->patch[2] },
                                    .dtype = SF_F32,
                                    .exact = opt->exact,
                                    .threads = opt->threads };
    SF_TRY(sf_network_create(&e->net, &no));
    return engine_buffers(e);
}

sf_status sf_predictor_create(sf_predictor **out, const sf_model *m, const sf_predict_options *opt)
{
    sf_predictor *p;
    *out = NULL;
    SF_CHECK(m->n_folds > 0, SF_EINVAL, "a model without folds");
    SF_TRY(sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC));
    sf_status st = predictor_setup(p, m, opt);
    /* one fold: its weights are set once, not per case */
    if (st == SF_OK) st = sf_weights_apply(m->weights[0], sf_network_params(p->e.net));
    if (st != SF_OK) {
        sf_predictor_destroy(&p);
        return sf_trace_(st, __FILE__, __LINE__, "predictor");
    }
    *out = p;
    return SF_OK;
}

void sf_predictor_destroy(sf_predictor **p)
{
    if (*p == NULL) return;
    engine_free(&(*p)->e);
    sf_network_destroy(&(*p)->e.net);
    sf_mem_free(*p);
    *p = NULL;
}

/** What the network is to see of a prepared case. */
static sf_status make_source(sf_source *src, const sf_predictor *p, const sf_prepared *c)
{
    const int extra = one_hot_channels(p->model);
    *src = (sf_source){ .data = c->data, .channels = c->channels };
    memcpy(src->shape, c->props.shape, sizeof src->shape);
    if (c->channels == p->e.in_channels) return SF_OK; /* complete already */
    SF_CHECK(c->channels + extra == p->e.in_channels, SF_EDATA,
             "case %s has %d channels, the model was trained on %lld", c->id, c->channels,
             (long long)(p->e.in_channels - extra));
    SF_CHECK(c->seg != NULL, SF_EINVAL,
             "case %s: configuration %s needs the labels of the previous stage (%s)", c->id,
             p->e.cfg->name, p->e.cfg->previous_stage);
    src->seg = c->seg;
    src->one_hot = extra;
    return SF_OK;
}

static void add_scaled(float *out, const float *v, int64_t n, float scale, int threads)
{
#pragma omp parallel for num_threads(threads > 1 ? threads : 1) schedule(static)
    for (int64_t i = 0; i < n; i++) out[i] = (out[i] + (v != NULL ? v[i] : 0.0f)) * scale;
}

static sf_status run_folds(sf_predictor *p, const sf_source *src, float *out, float *fold_out,
                           sf_prof *prof)
{
    const sf_model *m = p->model;
    const int64_t n = p->e.heads * volume(src->shape);
    for (int f = 0; f < m->n_folds; f++) {
        if (m->n_folds > 1) SF_TRY(sf_weights_apply(m->weights[f], sf_network_params(p->e.net)));
        SF_TRY(run_case(&p->e, src, f == 0 ? out : fold_out, prof));
        if (f > 0) add_scaled(out, fold_out, n, 1.0f, p->e.opt.threads);
    }
    if (m->n_folds > 1) add_scaled(out, NULL, n, 1.0f / (float)m->n_folds, p->e.opt.threads);
    return SF_OK;
}

sf_status sf_predictor_case(sf_predictor *p, const sf_prepared *c, float *out, sf_prof *prof)
{
    sf_source src;
    float *fold_out = NULL;
    SF_TRY(make_source(&src, p, c));
    if (p->model->n_folds > 1)
        SF_TRY(sf_mem_alloc(&fold_out, (size_t)(p->e.heads * volume(src.shape)), sizeof *fold_out,
                            SF_MEM_BATCH));
    sf_prof_begin(prof, SF_EV_PREDICT);
    const sf_status st = run_folds(p, &src, out, fold_out, prof);
    sf_prof_end(prof, SF_EV_PREDICT, 0, 0);
    sf_mem_free(fold_out);
    if (st != SF_OK) return sf_trace_(st, __FILE__, __LINE__, c->id);
    return SF_OK;
}

sf_status sf_predict_network(sf_network *net, const sf_config *cfg, const sf_predict_options *opt,
                             const bool mirror_axis[3], int heads, const float *data, int channels,
                             const int64_t shape[3], bool sigmoid, float *out)
{
    sf_shape top;
    sf_network_level_shape(net, 0, &top);
    engine e = { .net = net,
                 .cfg = cfg,
                 .opt = *opt,
                 .sigmoid = sigmoid,
                 .heads = heads,
                 .batch = top.n,
                 .patch = { top.d, top.h, top.w },
                 .in_channels = channels };
    memcpy(e.mirror_axis, mirror_axis, sizeof e.mirror_axis);
    sf_source src = { .data = data, .channels = channels };
    memcpy(src.shape, shape, sizeof src.shape);
    SF_CHECK(top.c == heads, SF_EINTERNAL, "a network with %lld heads instead of %d",
             (long long)top.c, heads);
    sf_status st = engine_buffers(&e);
    if (st == SF_OK) st = run_case(&e, &src, out, NULL);
    engine_free(&e);
    if (st != SF_OK) return sf_trace_(st, __FILE__, __LINE__, "sf_predict_network");
    return SF_OK;
}
