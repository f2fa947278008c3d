#include "predict/predict.h"
#include "base/mem.h"
#include "predict/sums.h"
#include "predict/window.h"
#include <string.h>

/* Small patches share a forward pass up to this many voxels; more would only cost memory. The
 * number depends on the plan alone, so it cannot change bits between machines. */
enum { BATCH_VOXELS = 64 * 64 * 64, BATCH_MAX = 16 };
/* Bytes of averaged rows handed on at once, and the least that the sums get of opt.memory. */
static const int64_t CHUNK_BYTES = (int64_t)16 << 20;
/* nnunet-training.md 8.2, for callers without a recipe at hand */
static const double DEFAULT_SIGMA = 1.0 / 8.0;

/** One network and the buffers around it. The network may be borrowed (validation inside training).
 */
typedef struct {
    sf_network *net;
    const sf_config *cfg;
    sf_predict_options opt;
    bool mirror_axis[3], sigmoid;
    int heads, folds;
    sf_weights *const *weights; /* per fold; NULL: as the network is */
    int applied;                /* fold whose weights the network has; -1: not known */
    int64_t batch, patch[3], in_channels;
    float *map;   /* importance, NULL without Gaussian */
    float *input; /* [batch][in_channels][patch] */
} engine;

struct sf_predictor {
    const sf_model *model;
    engine e;
};

/** One case on its way through the engine. */
typedef struct {
    engine *e;
    const sf_source *src;
    sf_sliding t;
    sf_sums *sums;
    float *chunk; /* [heads][chunk_rows][plane] */
    int64_t chunk_rows, done;
    sf_row_sink sink;
    sf_prof *prof;
    const sf_predict_team *team; /* NULL: alone; else all below */
    float *unit;                 /* [unit_samples][heads][patch]: on its way between members */
    int64_t unit_samples, units, agreed; /* units so far; when the members agreed last */
    sf_error_state failed;               /* this member's first failure since */
} passage;

/* Rounds of units after which the members of a team hear of each other's failures. */
enum { AGREE_ROUNDS = 8 };

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

static void engine_free(engine *e)
{
    sf_mem_free(e->map);
    sf_mem_free(e->input);
}

/** Buffers for e's cfg, opt, batch, patch, in_channels; freed by engine_free also after a failure.
 */
static sf_status engine_buffers(engine *e)
{
    const size_t patch = (size_t)volume(e->patch);
    const double sigma = e->opt.gaussian_sigma > 0 ? e->opt.gaussian_sigma : DEFAULT_SIGMA;
    SF_TRY(sf_mem_alloc(&e->input, (size_t)(e->batch * e->in_channels) * patch, sizeof(float),
                        SF_MEM_BATCH));
    if (!e->opt.gaussian) return SF_OK;
    SF_TRY(sf_mem_alloc(&e->map, patch, sizeof(float), SF_MEM_BATCH));
    return sf_window_gaussian(e->patch, sigma, 1.0, e->map);
}

static sf_status use_fold(engine *e, int fold)
{
    if (e->weights == NULL || e->folds == 1 || e->applied == fold) return SF_OK;
    e->applied = -1;
    SF_TRY(sf_weights_apply(e->weights[fold], sf_network_params(e->net)));
    e->applied = fold;
    return SF_OK;
}

/** `used` samples from `first` on through a fold's network. */
static sf_status compute(passage *p, int fold, int64_t first, int64_t used)
{
    engine *e = p->e;
    const int64_t size = e->in_channels * volume(e->patch);
    const double flops = 2.0 * sf_network_forward_macs(e->net) / (double)e->batch;
    SF_TRY(use_fold(e, fold));
    for (int64_t s = 0; s < used; s++) {
        sf_prof_begin(p->prof, SF_EV_CUT);
        sf_sliding_cut(&p->t, first + s, p->src, e->input + s * size, e->opt.threads);
        sf_prof_end(p->prof, SF_EV_CUT, 0, 0);
    }
    sf_prof_begin(p->prof, SF_EV_FORWARD);
    SF_TRY(sf_network_forward(e->net, e->input, used));
    sf_prof_end(p->prof, SF_EV_FORWARD, flops * (double)used, 0);
    return SF_OK;
}

static sf_status add(passage *p, int fold, int64_t first, int64_t used, const float *logits)
{
    const int64_t answer = p->e->heads * volume(p->e->patch);
    sf_prof_begin(p->prof, SF_EV_ACCUMULATE);
    for (int64_t s = 0; s < used; s++)
        SF_TRY(sf_sums_add(p->sums, fold, first + s, logits + s * answer));
    sf_prof_end(p->prof, SF_EV_ACCUMULATE, 0, 0);
    return SF_OK;
}

static void note(passage *p, sf_status st)
{
    if (st != SF_OK && p->failed.status == SF_OK) sf_error_save(&p->failed, st);
}

/** One unit of a team. A member that has failed goes on exchanging, without computing, until all
 * hear of it: nobody waits for it in vain. */
static sf_status share_unit(passage *p, int fold, int64_t first, int64_t used)
{
    const sf_predict_team *m = p->team;
    const int owner = (int)(p->units++ % m->size);
    const int64_t values = used * p->e->heads * volume(p->e->patch);
    if (owner == m->member && p->failed.status == SF_OK) note(p, compute(p, fold, first, used));
    if (owner == m->member && owner > 0) {
        SF_TRY(m->sent(m->user));
        memcpy(p->unit, sf_network_logits(p->e->net, 0), (size_t)values * sizeof(float));
        SF_TRY(m->give(m->user, p->unit, values));
    }
    if (m->member > 0) return SF_OK;
    if (owner > 0) SF_TRY(m->take(m->user, owner, p->unit, values));
    if (p->failed.status == SF_OK)
        note(p, add(p, fold, first, used, owner > 0 ? p->unit : sf_network_logits(p->e->net, 0)));
    return SF_OK;
}

/** Samples [from, to) of a fold into its sums. */
static sf_status run_samples(passage *p, int fold, int64_t from, int64_t to)
{
    const int64_t most = p->team != NULL ? p->unit_samples : p->e->batch;
    for (int64_t first = from; first < to; first += most) {
        const int64_t used = to - first < most ? to - first : most;
        if (p->team != NULL) {
            SF_TRY(share_unit(p, fold, first, used));
            continue;
        }
        SF_TRY(compute(p, fold, first, used));
        SF_TRY(add(p, fold, first, used, sf_network_logits(p->e->net, 0)));
    }
    return SF_OK;
}

/** Layers [from, to), all folds. */
static sf_status run_layers(passage *p, int from, int to)
{
    const int64_t each = sf_sliding_layer_samples(&p->t);
    for (int f = 0; f < p->e->folds; f++) SF_TRY(run_samples(p, f, from * each, to * each));
    return SF_OK;
}

/** Rows up to `end` are final. */
static sf_status hand_on(passage *p, int64_t end)
{
    while (p->done < end) {
        const int64_t hi = end - p->done < p->chunk_rows ? end : p->done + p->chunk_rows;
        sf_prof_begin(p->prof, SF_EV_ACCUMULATE);
        SF_TRY(sf_sums_take(p->sums, p->done, hi, p->chunk));
        sf_prof_end(p->prof, SF_EV_ACCUMULATE, 0, 0);
        sf_prof_begin(p->prof, SF_EV_EXPORT);
        SF_TRY(p->sink.take(p->sink.user, p->done, hi, p->chunk));
        sf_prof_end(p->prof, SF_EV_EXPORT, 0, 0);
        p->done = hi;
    }
    return SF_OK;
}

/** Layers that are run together: enough samples for a batch, which matters where every slice is a
 * layer; with a team for two units for each member. */
static int layers_at_once(const engine *e, const sf_sliding *t, const sf_predict_team *team)
{
    const int64_t each = sf_sliding_layer_samples(t);
    int64_t n = (e->batch + each - 1) / each;
    if (team != NULL) {
        const int64_t samples = 2 * team->size * e->batch, of_folds = each * e->folds;
        if (n * of_folds < samples) n = (samples + of_folds - 1) / of_folds;
    }
    return n < t->count[0] ? (int)n : t->count[0];
}

/** Rows that `together` layers cover at most. */
static int64_t rows_at_once(const sf_sliding *t, int together)
{
    int64_t rows = 0;
    for (int l = 0; l < t->count[0]; l += together) {
        const int last = l + together < t->count[0] ? l + together - 1 : t->count[0] - 1;
        int64_t lo, hi, unused;
        sf_sliding_layer(t, l, &lo, &unused);
        sf_sliding_layer(t, last, &unused, &hi);
        if (hi - lo > rows) rows = hi - lo;
    }
    return rows;
}

/** What opt.memory leaves for the sums. */
static int64_t sums_memory(const engine *e, const sf_sliding *t)
{
    if (e->opt.memory <= 0) return 0;
    const int64_t patch = volume(e->patch), plane = t->shape[1] * t->shape[2];
    int64_t values = e->batch * e->in_channels * patch + patch + 2 * plane * e->heads;
    if (t->n_mirrors > 1) values += e->heads * patch;
    if (e->opt.team != NULL) values += e->batch * e->heads * patch;
    const int64_t params = sf_network_params(e->net)->total;
    if (e->weights != NULL) values += e->folds * params;
    const int64_t left = e->opt.memory - sf_network_bytes(e->net) -
                         values * (int64_t)sizeof(float) - 2 * CHUNK_BYTES;
    return left > CHUNK_BYTES ? left : CHUNK_BYTES;
}

/** The sums, and room for rows on their way to the sink. */
static sf_status open_sums(passage *p, int *together)
{
    const engine *e = p->e;
    const sf_average kind = !e->opt.average_probabilities ? SF_AVERAGE_LOGITS
                            : e->sigmoid                  ? SF_AVERAGE_SIGMOID
                                                          : SF_AVERAGE_SOFTMAX;
    sf_sums_options o = { .heads = e->heads,
                          .folds = e->folds,
                          .average = kind,
                          .map = e->map,
                          .rows = rows_at_once(&p->t, *together),
                          .memory = sums_memory(e, &p->t),
                          .scratch_dir = e->opt.scratch_dir,
                          .threads = e->opt.threads };
    if (o.memory > 0 && sf_sums_bytes(&p->t, &o) > o.memory) { /* more layers do not fit */
        *together = layers_at_once(e, &p->t, NULL);
        o.rows = rows_at_once(&p->t, *together);
    }
    if (p->team != NULL && p->team->member > 0) return SF_OK;
    SF_TRY(sf_sums_create(&p->sums, &p->t, &o));
    const int64_t row = e->heads * p->t.shape[1] * p->t.shape[2];
    p->chunk_rows = CHUNK_BYTES / (row * (int64_t)sizeof(float));
    if (p->chunk_rows < 1) p->chunk_rows = 1;
    if (p->chunk_rows > o.rows) p->chunk_rows = o.rows;
    return sf_mem_alloc(&p->chunk, (size_t)(p->chunk_rows * row), sizeof(float), SF_MEM_BATCH);
}

static sf_status open_passage(passage *p, int *together)
{
    engine *e = p->e;
    static const bool none[3] = { false, false, false };
    SF_TRY(sf_sliding_make(&p->t, p->src->shape, e->patch, e->cfg->dim, e->opt.step,
                           e->opt.mirror ? e->mirror_axis : none));
    *together = layers_at_once(e, &p->t, p->team);
    SF_TRY(open_sums(p, together));
    if (p->team == NULL) return SF_OK;
    const int64_t of_set = sf_sliding_layer_samples(&p->t) * *together * e->folds;
    p->unit_samples = of_set / (2 * p->team->size);
    if (p->unit_samples < 1) p->unit_samples = 1;
    if (p->unit_samples > e->batch) p->unit_samples = e->batch;
    return sf_mem_alloc(&p->unit, (size_t)(p->unit_samples * e->heads * volume(e->patch)),
                        sizeof(float), SF_MEM_BATCH);
}

/** All members: wait for what is on its way, and hear of failures. */
static sf_status settle(passage *p, sf_status mine)
{
    const sf_predict_team *m = p->team;
    if (m == NULL) return mine;
    if (m->member > 0) SF_TRY(m->sent(m->user));
    if (p->failed.status != SF_OK) mine = sf_error_restore(&p->failed);
    p->agreed = p->units;
    return m->agree(m->user, mine);
}

/** Layers [l, next), and the rows that are final then. */
static sf_status run_set(passage *p, int l, int next)
{
    int64_t final = p->t.shape[0], unused;
    SF_TRY(run_layers(p, l, next));
    if (next < p->t.count[0]) sf_sliding_layer(&p->t, next, &final, &unused);
    if (p->team == NULL) return hand_on(p, final);
    if (p->team->member == 0 && p->failed.status == SF_OK) note(p, hand_on(p, final));
    return p->units - p->agreed < AGREE_ROUNDS * p->team->size ? SF_OK : settle(p, SF_OK);
}

/** All windows, mirrorings and folds of a case into the sink. */
static sf_status run_case(engine *e, const sf_source *src, sf_row_sink sink, sf_prof *prof)
{
    passage p = { .e = e, .src = src, .sink = sink, .prof = prof, .team = e->opt.team };
    int together = 1;
    sf_status st;
    SF_GOTO(done, st, settle(&p, open_passage(&p, &together)));
    for (int l = 0; l < p.t.count[0]; l += together) {
        const int next = l + together < p.t.count[0] ? l + together : p.t.count[0];
        SF_GOTO(done, st, run_set(&p, l, next));
    }
    st = settle(&p, SF_OK);
done:
    sf_mem_free(p.chunk);
    sf_mem_free(p.unit);
    sf_sums_destroy(&p.sums);
    sf_sliding_free(&p.t);
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
    e->folds = m->n_folds;
    e->weights = m->weights;
    e->applied = -1;
    e->in_channels = m->dataset->n_channels + one_hot_channels(m);
    e->batch = opt->windows_per_batch > 0 ? opt->windows_per_batch : automatic_batch(m->cfg);
    memcpy(e->patch, m->cfg->patch, sizeof e->patch);
    memcpy(e->mirror_axis, m->mirror_axis, sizeof e->mirror_axis);
    const sf_network_options no = { .arch = &m->cfg->arch,
                                    .in_channels = e->in_channels,
                                    .heads = e->heads,
                                    .batch = e->batch,
                                    .patch = { e->patch[0], e->patch[1], e->patch[2] },
                                    .dtype = opt->precision,
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
    /* every fold must fit the plan; a single one stays */
    for (int f = m->n_folds - 1; f >= 0 && st == SF_OK; f--)
        st = sf_weights_apply(m->weights[f], sf_network_params(p->e.net));
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

void sf_predictor_team(sf_predictor *p, const sf_predict_team *team) { p->e.opt.team = team; }

sf_status sf_predictor_rows(sf_predictor *p, const sf_prepared *c, sf_row_sink sink, sf_prof *prof)
{
    sf_source src;
    SF_TRY(make_source(&src, p, c));
    sf_prof_begin(prof, SF_EV_PREDICT);
    const sf_status st = run_case(&p->e, &src, sink, prof);
    sf_prof_end(prof, SF_EV_PREDICT, 0, 0);
    if (st != SF_OK) return sf_trace_(st, __FILE__, __LINE__, c->id);
    return SF_OK;
}

/** A sink that keeps all rows. */
typedef struct {
    float *out; /* [heads][shape] */
    int heads;
    const int64_t *shape;
} keeper;

static sf_status keep(void *user, int64_t lo, int64_t hi, const float *values)
{
    const keeper *k = user;
    const int64_t plane = k->shape[1] * k->shape[2], n = (hi - lo) * plane;
    for (int c = 0; c < k->heads; c++)
        memcpy(k->out + (c * k->shape[0] + lo) * plane, values + c * n, (size_t)n * sizeof *values);
    return SF_OK;
}

sf_status sf_predictor_case(sf_predictor *p, const sf_prepared *c, float *out, sf_prof *prof)
{
    keeper k = { .out = out, .heads = p->e.heads, .shape = c->props.shape };
    return sf_predictor_rows(p, c, (sf_row_sink){ .take = keep, .user = &k }, prof);
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
                 .folds = 1,
                 .batch = top.n,
                 .patch = { top.d, top.h, top.w },
                 .in_channels = channels };
    memcpy(e.mirror_axis, mirror_axis, sizeof e.mirror_axis);
    sf_source src = { .data = data, .channels = channels };
    memcpy(src.shape, shape, sizeof src.shape);
    SF_CHECK(top.c == heads, SF_EINTERNAL, "a network with %lld heads instead of %d",
             (long long)top.c, heads);
    keeper k = { .out = out, .heads = heads, .shape = shape };
    sf_status st = engine_buffers(&e);
    if (opt->team != NULL) st = opt->team->agree(opt->team->user, st);
    if (st == SF_OK) st = run_case(&e, &src, (sf_row_sink){ .take = keep, .user = &k }, NULL);
    engine_free(&e);
    if (st != SF_OK) return sf_trace_(st, __FILE__, __LINE__, "sf_predict_network");
    return SF_OK;
}
