#include "batch/loader.h"
#include "base/log.h"
#include "base/mem.h"
#include "batch/augment.h"
#include "batch/cascade.h"
#include "batch/sampler.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* One place of the ring: a whole batch, filled sample by sample by any worker. */
typedef struct {
    sf_batch batch;
    int64_t done;         /* finished samples */
    sf_error_state error; /* failure of the lowest failed sample; status SF_OK: none */
    int64_t error_sample;
} ring_slot;

struct sf_loader {
    sf_loader_options opt;
    sf_case_view *view;  /* [n_ids], borrowed pointers into the map */
    sf_augment *augment; /* NULL in validation */
    sf_cascade cascade;  /* rows 13 and 14, when there are previous labels and augmentation */
    bool disturb;
    int *label;               /* [classes]: labels 1.. that become channels */
    const int16_t **previous; /* [n_ids], own copy of the pointers; NULL: no cascade */
    char scope[300];
    int64_t loaded[3];     /* size of the box that is cut: the enlarged patch, or the patch */
    int channels, classes; /* of the image; of the previous stage */
    int64_t voxels;        /* of the patch */

    sf_workspace caller; /* for threads = 0 and sf_loader_sample */
    ring_slot *slot;
    int slots;

    /* Where production started and how far it is; batches are counted from the last seek. */
    int64_t epoch, iteration, iterations;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t work, ready; /* room in the ring; a batch or a worker became ready */
    pthread_t *thread;
    int threads, active; /* started workers; workers inside a sample */
    int64_t next_job;    /* sample number over all batches since the seek */
    int64_t held;        /* batch that the caller holds, -1: none */
    bool stop, paused;
};

static int64_t batch_epoch(const sf_loader *l, int64_t b)
{
    return l->epoch + (l->iteration + b) / l->iterations;
}

static int64_t batch_iteration(const sf_loader *l, int64_t b)
{
    return (l->iteration + b) % l->iterations;
}

static int64_t total_channels(const sf_loader *l) { return l->channels + l->classes; }

/* Rows 12 to 14: the previous stage's labels of a patch become channels behind the image. */
static sf_status append_previous(const sf_loader *l, const sf_sample_key *key,
                                 const sf_sample_patch *patch, sf_workspace *ws)
{
    if (l->classes == 0) return SF_OK;
    float *one_hot = patch->data + l->channels * l->voxels;
    sf_one_hot(one_hot, patch->previous, l->voxels, l->label, l->classes);
    if (!l->disturb) return SF_OK;
    return sf_cascade_disturb(&l->cascade, key, one_hot, l->classes, l->opt.cfg->patch, ws);
}

/* Draw the case and the box, then cut and augment: a function of the key alone. */
static sf_status make_sample(const sf_loader *l, const sf_sample_key *key, float *data,
                             int16_t *seg, int *case_index, sf_workspace *ws)
{
    const sf_loader_options *o = &l->opt;
    const sf_rng_key full = { .seed = key->seed,
                              .scope = key->scope,
                              .epoch = key->epoch,
                              .iteration = key->iteration,
                              .sample = key->sample,
                              .purpose = SF_RNG_SAMPLE };
    sf_rng rng;
    sf_rng_init(&rng, &full);
    const bool forced =
        sf_sample_is_forced(o->batch, key->sample, o->recipe->train.foreground_fraction,
                            o->recipe->train.foreground_at_least_one);
    *case_index = (int)sf_rng_below(&rng, o->n_ids);
    const sf_case_view *v = &l->view[*case_index];
    int64_t start[3];
    sf_box_draw(start, &rng, forced, v->loc, o->labels->n_eval, o->labels->ignore >= 0,
                v->props.shape, l->loaded, o->cfg->patch);
    sf_sample_source src = { .data = v->data, .seg = v->seg };
    sf_sample_patch patch = { .data = data, .seg = seg };
    memcpy(src.shape, v->props.shape, sizeof src.shape);
    if (l->previous != NULL) {
        src.previous = l->previous[*case_index];
        SF_TRY(sf_workspace_get(ws, SF_WS_PREVIOUS, (size_t)l->voxels, sizeof *patch.previous,
                                &patch.previous));
    }
    if (l->augment != NULL) {
        SF_TRY(sf_augment_sample(l->augment, key, &src, start, &patch, ws));
    } else {
        sf_plain_sample(l->channels, &src, start, o->cfg->patch, &patch);
    }
    return append_previous(l, key, &patch, ws);
}

static sf_sample_key sample_key(const sf_loader *l, int64_t epoch, int64_t iteration,
                                int64_t sample)
{
    const sf_sample_key key = { .seed = l->opt.key.seed,
                                .scope = l->scope,
                                .epoch = (uint32_t)epoch,
                                .iteration = (uint32_t)iteration,
                                .sample = (uint32_t)sample };
    return key;
}

/* Sample `s` of batch `b` into its slot. */
static sf_status fill_sample(const sf_loader *l, int64_t b, int64_t s, sf_workspace *ws)
{
    sf_batch *batch = &l->slot[b % l->slots].batch;
    const sf_sample_key key =
        sample_key(l, batch_epoch(l, b), batch_iteration(l, b), l->opt.first + s);
    return make_sample(l, &key, batch->data + s * total_channels(l) * l->voxels,
                       batch->seg + s * l->voxels, &batch->case_index[s], ws);
}

static void begin_batch(sf_loader *l, int64_t b)
{
    ring_slot *slot = &l->slot[b % l->slots];
    slot->done = 0;
    slot->error.status = SF_OK;
    slot->batch.epoch = batch_epoch(l, b);
    slot->batch.iteration = batch_iteration(l, b);
    slot->batch.count = l->opt.count;
}

static void note_failure(ring_slot *slot, int64_t sample, sf_status st)
{
    if (slot->error.status != SF_OK && slot->error_sample < sample) return;
    sf_error_save(&slot->error, st);
    slot->error_sample = sample;
}

/* Is there a sample to make, with room in the ring for its batch? Called with the lock held. */
static bool has_work(const sf_loader *l)
{
    if (!l->started || l->paused || l->opt.count == 0) return false;
    return l->next_job / l->opt.count < l->held + l->slots;
}

static void *worker_main(void *user)
{
    sf_loader *l = user;
    sf_workspace ws;
    memset(&ws, 0, sizeof ws);
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!has_work(l)) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        const int64_t job = l->next_job++, b = job / l->opt.count, s = job % l->opt.count;
        if (s == 0) begin_batch(l, b);
        l->active++;
        pthread_mutex_unlock(&l->lock);
        const sf_status st = fill_sample(l, b, s, &ws);
        pthread_mutex_lock(&l->lock);
        ring_slot *slot = &l->slot[b % l->slots];
        if (st != SF_OK) note_failure(slot, s, st);
        slot->done++;
        l->active--;
        pthread_cond_broadcast(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
    sf_workspace_clear(&ws);
    return NULL;
}

static sf_status check_case(const sf_loader *l, const sf_case_view *v)
{
    SF_CHECK(v->seg != NULL, SF_EDATA, "case %s has no labels in the preprocessed data", v->id);
    SF_CHECK(v->channels == l->channels, SF_EDATA, "case %s has %d channels, the first case %d",
             v->id, v->channels, l->channels);
    for (int a = 0; a < 3; a++) {
        SF_CHECK(v->props.shape[a] > 0, SF_EDATA, "case %s: size %lld on axis %d", v->id,
                 (long long)v->props.shape[a], a);
    }
    return SF_OK;
}

static sf_status find_cases(sf_loader *l)
{
    const sf_loader_options *o = &l->opt;
    SF_CHECK(o->n_ids > 0, SF_EDATA, "no cases to load: the fold's list is empty");
    SF_TRY(sf_mem_calloc(&l->view, (size_t)o->n_ids, sizeof *l->view, SF_MEM_MISC));
    for (int i = 0; i < o->n_ids; i++) {
        const int at = sf_cases_index(o->cases, o->ids[i]);
        SF_CHECK(at >= 0, SF_EDATA,
                 "case %s of the split is not in the preprocessed data: run preprocess again",
                 o->ids[i]);
        SF_TRY(sf_cases_get(o->cases, at, &l->view[i]));
        if (i == 0) l->channels = l->view[0].channels;
        SF_TRY(check_case(l, &l->view[i]));
    }
    return SF_OK;
}

static sf_status make_ring(sf_loader *l)
{
    l->slots = l->opt.threads > 0 ? l->opt.depth + 1 : 1;
    SF_TRY(sf_mem_calloc(&l->slot, (size_t)l->slots, sizeof *l->slot, SF_MEM_BATCH));
    const size_t samples = (size_t)l->opt.count, voxels = (size_t)l->voxels;
    for (int i = 0; i < l->slots; i++) {
        sf_batch *b = &l->slot[i].batch;
        SF_TRY(sf_mem_alloc(&b->data, samples * voxels, (size_t)total_channels(l) * sizeof *b->data,
                            SF_MEM_BATCH));
        SF_TRY(sf_mem_alloc(&b->seg, samples * voxels, sizeof *b->seg, SF_MEM_BATCH));
        SF_TRY(sf_mem_calloc(&b->case_index, samples, sizeof *b->case_index, SF_MEM_BATCH));
    }
    return SF_OK;
}

static sf_status start_workers(sf_loader *l)
{
    if (l->opt.threads == 0) return SF_OK;
    SF_TRY(sf_mem_calloc(&l->thread, (size_t)l->opt.threads, sizeof *l->thread, SF_MEM_MISC));
    for (int i = 0; i < l->opt.threads; i++) {
        const int rc = pthread_create(&l->thread[i], NULL, worker_main, l);
        SF_CHECK(rc == 0, SF_ENOMEM, "loader: thread %d of %d could not be started: %s", i + 1,
                 l->opt.threads, strerror(rc));
        l->threads++;
    }
    return SF_OK;
}

static sf_status check_options(const sf_loader_options *o)
{
    SF_CHECK(o->batch > 0 && o->first >= 0 && o->count >= 0 && o->first + o->count <= o->batch,
             SF_EINVAL, "loader: samples %lld..%lld of a batch of %lld", (long long)o->first,
             (long long)(o->first + o->count), (long long)o->batch);
    SF_CHECK(o->batch < (1 << 24), SF_EINVAL, "loader: batch size %lld", (long long)o->batch);
    SF_CHECK(o->threads >= 0 && o->depth >= 1, SF_EINVAL, "loader: %d threads, %d batches ahead",
             o->threads, o->depth);
    return SF_OK;
}

/* Labels 1.. as channels, and how training disturbs them. */
static sf_status set_up_cascade(sf_loader *l)
{
    const sf_loader_options *o = &l->opt;
    if (o->previous == NULL) return SF_OK;
    SF_CHECK(o->labels->n_labels >= 2, SF_EINVAL, "loader: a cascade without foreground labels");
    const int classes = o->labels->n_labels - 1;
    SF_TRY(sf_mem_alloc(&l->label, (size_t)classes, sizeof *l->label, SF_MEM_MISC));
    for (int k = 0; k < classes; k++) l->label[k] = k + 1;
    SF_TRY(sf_mem_alloc(&l->previous, (size_t)o->n_ids, sizeof *l->previous, SF_MEM_MISC));
    for (int i = 0; i < o->n_ids; i++) {
        SF_CHECK(o->previous[i] != NULL, SF_EDATA, "case %s has no labels of the previous stage",
                 o->ids[i]);
        l->previous[i] = o->previous[i];
    }
    l->classes = classes;
    l->disturb = l->augment != NULL && l->augment->enabled;
    return l->disturb ? sf_cascade_parse(&l->cascade, o->recipe->augment) : SF_OK;
}

static sf_status set_up(sf_loader *l)
{
    const sf_config *cfg = l->opt.cfg;
    for (int a = 0; a < 3; a++) {
        SF_CHECK(cfg->patch[a] > 0 && (cfg->dim == 3 || a > 0 || cfg->patch[0] == 1), SF_EINVAL,
                 "loader: patch size %lld on axis %d of a %d-D configuration",
                 (long long)cfg->patch[a], a, cfg->dim);
    }
    SF_TRY(find_cases(l));
    memcpy(l->loaded, cfg->patch, sizeof l->loaded);
    l->voxels = cfg->patch[0] * cfg->patch[1] * cfg->patch[2];
    if (l->opt.training) {
        SF_TRY(sf_augment_create(&l->augment, l->opt.recipe->augment, cfg, l->channels,
                                 l->opt.mirror));
        memcpy(l->loaded, l->augment->setup.initial, sizeof l->loaded);
    }
    char scope[256];
    sf_work_scope(scope, &l->opt.key);
    snprintf(l->scope, sizeof l->scope, "%s/%s", scope,
             l->opt.training ? "training" : "validation");
    SF_TRY(set_up_cascade(l));
    SF_TRY(make_ring(l));
    return start_workers(l);
}

sf_status sf_loader_create(sf_loader **out, const sf_loader_options *opt)
{
    *out = NULL;
    SF_TRY(check_options(opt));
    sf_loader *l = NULL;
    SF_TRY(sf_mem_calloc(&l, 1, sizeof *l, SF_MEM_MISC));
    l->opt = *opt;
    l->held = -1;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    const sf_status st = set_up(l);
    if (st != SF_OK) {
        sf_trace_(st, __FILE__, __LINE__, "set_up");
        sf_loader_destroy(&l);
        return st;
    }
    *out = l;
    return SF_OK;
}

/* Is the batch that comes next the one that is asked for? */
static bool is_there(const sf_loader *l, int64_t epoch, int64_t iteration, int64_t iterations)
{
    const int64_t next = l->held + 1;
    return l->started && iterations == l->iterations && epoch == batch_epoch(l, next) &&
           iteration == batch_iteration(l, next);
}

sf_status sf_loader_seek(sf_loader *l, int64_t epoch, int64_t iteration, int64_t iterations)
{
    SF_CHECK(epoch >= 0 && iteration >= 0 && iterations > 0, SF_EINVAL,
             "loader: seek to epoch %lld, iteration %lld of %lld", (long long)epoch,
             (long long)iteration, (long long)iterations);
    if (is_there(l, epoch, iteration, iterations)) return SF_OK;
    pthread_mutex_lock(&l->lock);
    l->paused = true;
    while (l->active > 0) pthread_cond_wait(&l->ready, &l->lock);
    l->epoch = epoch;
    l->iteration = iteration;
    l->iterations = iterations;
    l->next_job = 0;
    l->held = -1;
    for (int i = 0; i < l->slots; i++) l->slot[i].done = -1;
    l->started = true;
    l->paused = false;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    return SF_OK;
}

/* Bytes of one batch, for the profile. */
static double batch_bytes(const sf_loader *l)
{
    return (double)l->opt.count * (double)l->voxels * (4.0 * (double)total_channels(l) + 2.0);
}

static sf_status next_here(sf_loader *l, int64_t b, sf_prof *prof)
{
    sf_status st = SF_OK;
    begin_batch(l, b);
    sf_prof_begin(prof, SF_EV_AUGMENT);
    for (int64_t s = 0; s < l->opt.count && st == SF_OK; s++) st = fill_sample(l, b, s, &l->caller);
    sf_prof_end(prof, SF_EV_AUGMENT, 0, batch_bytes(l));
    return st;
}

static sf_status next_waited(sf_loader *l, int64_t b, sf_prof *prof)
{
    ring_slot *slot = &l->slot[b % l->slots];
    sf_prof_begin(prof, SF_EV_WAIT);
    pthread_mutex_lock(&l->lock);
    /* A slot belongs to batch b from the moment that its first sample was handed out. */
    while (l->next_job <= b * l->opt.count || slot->done < l->opt.count) {
        pthread_cond_wait(&l->ready, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    sf_prof_end(prof, SF_EV_WAIT, 0, batch_bytes(l));
    return slot->error.status == SF_OK ? SF_OK : sf_error_restore(&slot->error);
}

sf_status sf_loader_next(sf_loader *l, const sf_batch **out, sf_prof *prof)
{
    *out = NULL;
    SF_CHECK(l->started, SF_EINVAL, "loader: next before seek");
    pthread_mutex_lock(&l->lock);
    const int64_t b = ++l->held; /* gives the previous batch back to the ring */
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    if (l->opt.count == 0) {
        begin_batch(l, b);
    } else if (l->threads == 0) {
        SF_TRY(next_here(l, b, prof));
    } else {
        SF_TRY(next_waited(l, b, prof));
    }
    *out = &l->slot[b % l->slots].batch;
    return SF_OK;
}

void sf_loader_destroy(sf_loader **loader)
{
    sf_loader *l = *loader;
    if (l == NULL) return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->threads; i++) pthread_join(l->thread[i], NULL);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->ready);
    pthread_mutex_destroy(&l->lock);
    for (int i = 0; l->slot != NULL && i < l->slots; i++) {
        sf_mem_free(l->slot[i].batch.data);
        sf_mem_free(l->slot[i].batch.seg);
        sf_mem_free(l->slot[i].batch.case_index);
    }
    sf_mem_free(l->slot);
    sf_mem_free(l->thread);
    sf_mem_free(l->view);
    sf_mem_free(l->label);
    sf_mem_free(l->previous);
    sf_workspace_clear(&l->caller);
    sf_augment_destroy(&l->augment);
    sf_mem_free(l);
    *loader = NULL;
}

sf_status sf_loader_sample(sf_loader *l, int64_t epoch, int64_t iteration, int64_t sample,
                           float *data, int16_t *seg, int *case_index)
{
    SF_CHECK(epoch >= 0 && iteration >= 0 && sample >= 0 && sample < l->opt.batch, SF_EINVAL,
             "loader: sample %lld of a batch of %lld", (long long)sample, (long long)l->opt.batch);
    const sf_sample_key key = sample_key(l, epoch, iteration, sample);
    int drawn;
    SF_TRY(make_sample(l, &key, data, seg, &drawn, &l->caller));
    if (case_index) *case_index = drawn;
    return SF_OK;
}
