#include "batch/bench.h"
#include "base/log.h"
#include "base/mem.h"
#include <omp.h>
#include <string.h>

enum { BLOCK = 8, WARM_UP = 8 };

/* What all threads share, and what each has for itself. */
typedef struct {
    const sf_bench_augment *b;
    sf_augment *augment;
    float *image;
    int16_t *seg;
    sf_sample_source source;
    int64_t voxels; /* of the patch */
} bench;

typedef struct {
    sf_workspace ws;
    sf_sample_patch patch;
    double stage[SF_AUG_STAGES];
    uint64_t hash;
    sf_error_state error;
} worker;

static sf_status make_source(bench *t)
{
    const int64_t *n = t->augment->setup.initial, voxels = n[0] * n[1] * n[2];
    const sf_rng_key key = { .seed = 1, .scope = "bench", .purpose = SF_RNG_TEST };
    sf_rng rng;
    sf_rng_init(&rng, &key);
    const size_t values = (size_t)(voxels * t->b->channels);
    SF_TRY(sf_mem_alloc(&t->image, values, sizeof *t->image, SF_MEM_BATCH));
    SF_TRY(sf_mem_alloc(&t->seg, (size_t)voxels, sizeof *t->seg, SF_MEM_BATCH));
    sf_rng_fill_normal(&rng, (int64_t)values, t->image);
    for (int64_t i = 0; i < voxels; i++) {
        const uint64_t z = (uint64_t)(i / (n[1] * n[2]) / BLOCK),
                       y = (uint64_t)(i / n[2] % n[1] / BLOCK), x = (uint64_t)(i % n[2] / BLOCK);
        const uint64_t mixed = (z * 73856093u ^ y * 19349663u ^ x * 83492791u) * 2654435761u;
        t->seg[i] = (int16_t)((mixed >> 16) % (uint64_t)t->b->labels);
    }
    t->source = (sf_sample_source){ .data = t->image, .seg = t->seg };
    memcpy(t->source.shape, n, sizeof t->source.shape);
    return SF_OK;
}

static sf_status start_worker(const bench *t, worker *w)
{
    const size_t voxels = (size_t)t->voxels;
    SF_TRY(
        sf_mem_alloc(&w->patch.data, voxels, (size_t)t->b->channels * sizeof(float), SF_MEM_BATCH));
    return sf_mem_alloc(&w->patch.seg, voxels, sizeof(int16_t), SF_MEM_BATCH);
}

static void stop_worker(worker *w)
{
    sf_mem_free(w->patch.data);
    sf_mem_free(w->patch.seg);
    sf_workspace_clear(&w->ws);
}

/* FNV-1a over 32-bit words: cheap enough to leave the timing alone, and every bit counts. */
static uint64_t hash_of(const bench *t, const worker *w)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (int64_t i = 0; i < t->voxels * t->b->channels; i++) {
        uint32_t word;
        memcpy(&word, &w->patch.data[i], sizeof word);
        h = (h ^ word) * 0x100000001B3u;
    }
    for (int64_t i = 0; i < t->voxels; i++) h = (h ^ (uint16_t)w->patch.seg[i]) * 0x100000001B3u;
    return h;
}

static sf_status make_patch(const bench *t, worker *w, int64_t i)
{
    static const int64_t start[3] = { 0, 0, 0 };
    const sf_sample_key key = { .seed = 1, .scope = "bench", .iteration = (uint32_t)i };
    return sf_augment_sample(t->augment, &key, &t->source, start, &w->patch, &w->ws);
}

/* Patches 0 to n-1, dealt to the threads; hashed or timed. */
static sf_status make_patches(const bench *t, worker *workers, int64_t n, bool hashed)
{
#pragma omp parallel for num_threads(t->b->threads) schedule(dynamic)
    for (int64_t i = 0; i < n; i++) {
        worker *w = &workers[omp_get_thread_num()];
        const sf_status st = make_patch(t, w, i);
        if (st != SF_OK && w->error.status == SF_OK) sf_error_save(&w->error, st);
        if (hashed) w->hash += hash_of(t, w) * (uint64_t)(2 * i + 1);
    }
    for (int k = 0; k < t->b->threads; k++)
        if (workers[k].error.status != SF_OK) return sf_error_restore(&workers[k].error);
    return SF_OK;
}

static sf_status measure(const bench *t, worker *workers, sf_bench_augment_result *out)
{
    for (int k = 0; k < t->b->threads; k++) SF_TRY(start_worker(t, &workers[k]));
    SF_TRY(make_patches(t, workers, WARM_UP, true));
    for (int k = 0; k < t->b->threads; k++) {
        out->hash += workers[k].hash;
        workers[k].ws.stage_seconds = workers[k].stage;
    }
    const double cpu = sf_cpu_seconds(), begin = sf_now();
    SF_TRY(make_patches(t, workers, t->b->patches, false));
    out->seconds = sf_now() - begin;
    out->cpu_seconds = sf_cpu_seconds() - cpu;
    for (int k = 0; k < t->b->threads; k++)
        for (int s = 0; s < SF_AUG_STAGES; s++) out->stage[s] += workers[k].stage[s];
    out->patch_bytes = t->voxels * (int64_t)(sizeof(float) * (size_t)t->b->channels + 2);
    return SF_OK;
}

sf_status sf_bench_augment_run(const sf_bench_augment *b, sf_bench_augment_result *out)
{
    bench t = { .b = b };
    worker *workers = NULL;
    sf_status st;
    memset(out, 0, sizeof *out);
    SF_CHECK(b->threads >= 1 && b->patches >= 1 && b->labels >= 1, SF_EINVAL,
             "bench augment: %d threads, %lld patches", b->threads, (long long)b->patches);
    t.voxels = b->cfg->patch[0] * b->cfg->patch[1] * b->cfg->patch[2];
    SF_GOTO(done, st, sf_augment_create(&t.augment, b->recipe->augment, b->cfg, b->channels, true));
    SF_GOTO(done, st, make_source(&t));
    SF_GOTO(done, st, sf_mem_calloc(&workers, (size_t)b->threads, sizeof *workers, SF_MEM_BATCH));
    SF_GOTO(done, st, measure(&t, workers, out));
done:
    for (int k = 0; workers != NULL && k < b->threads; k++) stop_worker(&workers[k]);
    sf_mem_free(workers);
    sf_mem_free(t.image);
    sf_mem_free(t.seg);
    sf_augment_destroy(&t.augment);
    return st;
}
