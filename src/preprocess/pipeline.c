#include "preprocess/pipeline.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "preprocess/origin.h"
#include "preprocess/prepare.h"
#include <stdlib.h>
#include <string.h>

static sf_status read_label(sf_label_image **out, const sf_case *c, const sf_image *img)
{
    SF_CHECK(c->label != NULL, SF_EDATA, "case %s has no label file", c->id);
    SF_TRY(sf_label_image_read(out, c->label));
    const int64_t *a = (*out)->geo.shape, *b = img->geo.shape;
    SF_CHECK(memcmp(a, b, sizeof(int64_t[3])) == 0, SF_EDATA,
             "%s has %lld x %lld x %lld voxels (z,y,x), its image %s has %lld x %lld x %lld",
             c->label, (long long)a[0], (long long)a[1], (long long)a[2], c->images[0],
             (long long)b[0], (long long)b[1], (long long)b[2]);
    return SF_OK;
}

static sf_status prepare_files(sf_prepared **out, const sf_case *c, const sf_plans *plans,
                               const sf_config *cfg, const sf_labels *labels, bool with_label,
                               sf_geometry *geo, int threads, sf_prepare_times *times)
{
    sf_image *img = NULL;
    sf_label_image *label = NULL;
    sf_status st;
    *out = NULL;
    const double begin = sf_now();
    SF_GOTO(done, st, sf_case_read(&img, c));
    if (with_label) SF_GOTO(done, st, read_label(&label, c, img));
    sf_prepare_clock(times, SF_STEP_READ, begin);
    SF_GOTO(done, st,
            sf_prepare_case_timed(out, c->id, plans, cfg, labels, img,
                                  label != NULL ? label->data : NULL, threads, times));
    if (geo != NULL) *geo = img->geo;
done:
    sf_label_image_destroy(&label);
    sf_image_destroy(&img);
    return st;
}

sf_status sf_prepare_case_files(sf_prepared **out, const sf_case *c, const sf_plans *plans,
                                const sf_config *cfg, const sf_labels *labels, bool with_label,
                                sf_geometry *geo, int threads)
{
    return prepare_files(out, c, plans, cfg, labels, with_label, geo, threads, NULL);
}

/* ---- a whole configuration ---- */

/** What every round needs. */
typedef struct {
    sf_comm *comm;
    const sf_dataset *d;
    const sf_plans *plans;
    const sf_config *cfg;
    int threads;
    sf_prepare_times *times;
} job;

typedef struct {
    double bytes;
    int index;
} item;

static int largest_first(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static sf_status probe_my_cases(sf_comm *comm, const sf_dataset *d, double *voxels)
{
    for (int i = sf_comm_rank(comm); i < d->n_train; i += sf_comm_size(comm)) {
        sf_geometry geo;
        int channels;
        SF_TRY(sf_case_probe(&geo, &channels, &d->train[i]));
        voxels[i] = (double)geo.shape[0] * (double)geo.shape[1] * (double)geo.shape[2];
    }
    return SF_OK;
}

/** Largest cases first, so that the ranks finish together; the order depends on the dataset alone.
 */
static sf_status order_cases(sf_comm *comm, const sf_dataset *d, int *order)
{
    double *voxels = NULL;
    item *items = NULL;
    sf_status st = sf_mem_calloc(&voxels, (size_t)d->n_train, sizeof *voxels, SF_MEM_MISC);
    if (st == SF_OK) st = sf_mem_alloc(&items, (size_t)d->n_train, sizeof *items, SF_MEM_MISC);
    if (st == SF_OK) st = probe_my_cases(comm, d, voxels);
    SF_GOTO(done, st, sf_comm_agree(comm, st));
    SF_GOTO(done, st, sf_comm_sum_f64(comm, voxels, d->n_train));
    for (int i = 0; i < d->n_train; i++) items[i] = (item){ voxels[i], i };
    qsort(items, (size_t)d->n_train, sizeof *items, largest_first);
    for (int i = 0; i < d->n_train; i++) order[i] = items[i].index;
done:
    sf_mem_free(voxels);
    sf_mem_free(items);
    return st;
}

/** What the container says about its origin. Caller decrefs. */
static sf_status make_meta(json_t **out, const sf_plans *plans, const sf_config *cfg)
{
    char *text, hex[65], origin[65];
    sf_sha256 h;
    SF_TRY(sf_json_dump(&text, plans->json, 0, true));
    sf_sha256_begin(&h);
    sf_sha256_add(&h, text, strlen(text));
    sf_sha256_end(&h, hex);
    sf_mem_free(text);
    SF_TRY(sf_data_origin(origin, plans, cfg));
    *out = json_pack("{s:s, s:s, s:s, s:s}", "configuration", cfg->name, "plans_sha256", hex,
                     "data_origin", origin, "program", "segfleet " SEGFLEET_VERSION);
    SF_CHECK(*out != NULL, SF_ENOMEM, "out of memory");
    return SF_OK;
}

/** Collective. One case per rank; the failure of any rank is known to all before the container's
 * next collective call. */
static sf_status run_round(const job *j, int index, sf_cases_writer *w)
{
    sf_prepared *mine = NULL;
    sf_status st = SF_OK;
    if (index >= 0)
        st = prepare_files(&mine, &j->d->train[index], j->plans, j->cfg, &j->d->labels, true, NULL,
                           j->threads, j->times);
    st = sf_comm_agree(j->comm, st);
    const double begin = sf_now();
    if (st == SF_OK) st = sf_cases_add_round(w, mine);
    sf_prepare_clock(j->times, SF_STEP_WRITE, begin);
    sf_prepared_destroy(&mine);
    return st;
}

static sf_status run_rounds(const job *j, const int *order, sf_cases_writer *w)
{
    const int size = sf_comm_size(j->comm), rank = sf_comm_rank(j->comm), n = j->d->n_train;
    sf_status st = SF_OK;
    sf_progress *bar = NULL;
    if (rank == 0) bar = sf_progress_begin("preprocess", n);
    for (int first = 0; first < n; first += size) {
        const int mine = first + rank < n ? order[first + rank] : -1;
        SF_GOTO(done, st, run_round(j, mine, w));
        sf_progress_step(bar, first + size < n ? first + size : n);
    }
done:
    sf_progress_end(&bar);
    return st;
}

/** Collective: every rank makes its own copy of the small things that a run needs. */
static sf_status begin(sf_comm *comm, const sf_dataset *d, const sf_plans *plans,
                       const sf_config *cfg, int **order, json_t **meta)
{
    sf_status st = sf_mem_alloc(order, (size_t)d->n_train, sizeof **order, SF_MEM_MISC);
    if (st == SF_OK) st = make_meta(meta, plans, cfg);
    SF_TRY(sf_comm_agree(comm, st));
    return order_cases(comm, d, *order);
}

sf_status sf_preprocess_config(sf_comm *comm, const sf_dataset *d, const sf_plans *plans,
                               const sf_config *cfg, const char *path, int threads)
{
    return sf_preprocess_config_timed(comm, d, plans, cfg, path, threads, NULL);
}

sf_status sf_preprocess_config_timed(sf_comm *comm, const sf_dataset *d, const sf_plans *plans,
                                     const sf_config *cfg, const char *path, int threads,
                                     sf_prepare_times *times)
{
    const job all = { comm, d, plans, cfg, threads, times };
    sf_cases_writer *w = NULL;
    int *order = NULL;
    json_t *meta = NULL;
    sf_status st;
    SF_CHECK(d->n_train > 0, SF_EDATA, "%s has no training cases", d->dir);
    SF_GOTO(done, st, begin(comm, d, plans, cfg, &order, &meta));
    SF_GOTO(done, st, sf_cases_create(&w, comm, path, meta));
    const sf_status rounds = run_rounds(&all, order, w);
    sf_error_state failure;
    sf_error_save(&failure, rounds);
    const double begin = sf_now();
    st = sf_cases_finish(&w, rounds == SF_OK);
    sf_prepare_clock(times, SF_STEP_WRITE, begin);
    if (rounds != SF_OK) st = sf_error_restore(&failure); /* the reason, not the abandoned file */
done:
    json_decref(meta);
    sf_mem_free(order);
    return st;
}
