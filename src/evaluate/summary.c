/* The summary of many cases and its JSON form (nnunet-training.md 9). */
#include "evaluate/summary.h"
#include "base/mem.h"
#include <math.h>
#include <string.h>

enum { DICE, FN, FP, IOU, TN, TP, N_PRED, N_REF, METRICS };
static const char *const metric_name[METRICS] = { "Dice", "FN", "FP",     "IoU",
                                                  "TN",   "TP", "n_pred", "n_ref" };

static double metric_value(const sf_metric *m, int k)
{
    switch (k) {
    case DICE:
        return m->dice;
    case FN:
        return (double)m->fn;
    case FP:
        return (double)m->fp;
    case IOU:
        return m->iou;
    case TN:
        return (double)m->tn;
    case TP:
        return (double)m->tp;
    case N_PRED:
        return (double)(m->tp + m->fp);
    default:
        return (double)(m->tp + m->fn);
    }
}

/* Sum in NumPy's order (eight partial sums in blocks of at most 128), so that the means of a
 * summary are nnU-Net's to the last bit. */
static double pairwise_sum(const double *x, int64_t n)
{
    if (n < 8) {
        double s = 0.0;
        for (int64_t i = 0; i < n; i++) s += x[i];
        return s;
    }
    if (n <= 128) {
        double r[8];
        int64_t i = 8;
        memcpy(r, x, sizeof r);
        for (; i < n - n % 8; i += 8)
            for (int k = 0; k < 8; k++) r[k] += x[i + k];
        double s = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < n; i++) s += x[i];
        return s;
    }
    const int64_t half = n / 2 - n / 2 % 8;
    return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
}

/* Mean over the cases where metric k of thing e is defined; NaN when it never is. */
static double case_mean(const sf_summary *s, int e, int k, double *work)
{
    int64_t defined = 0;
    for (int i = 0; i < s->n_cases; i++) {
        const double v = metric_value(&s->m[(int64_t)i * s->n_eval + e], k);
        defined += !isnan(v);
        work[i] = isnan(v) ? 0.0 : v;
    }
    return defined ? pairwise_sum(work, s->n_cases) / (double)defined : NAN;
}

sf_status sf_summary_create(sf_summary **out, int n_cases, const sf_labels *labels)
{
    sf_summary *s = NULL;
    sf_status st = SF_OK;
    const size_t n = (size_t)n_cases;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&s, 1, sizeof *s, SF_MEM_MISC));
    s->n_cases = n_cases;
    s->n_eval = labels->n_eval;
    SF_GOTO(done, st, sf_mem_calloc(&s->m, n * (size_t)s->n_eval, sizeof *s->m, SF_MEM_MISC));
    SF_GOTO(done, st,
            sf_mem_calloc(&s->mean_dice, (size_t)s->n_eval, sizeof *s->mean_dice, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&s->id, n, sizeof *s->id, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&s->pred, n, sizeof *s->pred, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&s->ref, n, sizeof *s->ref, SF_MEM_MISC));
    *out = s;
    s = NULL;
done:
    sf_summary_destroy(&s);
    return st;
}

void sf_summary_destroy(sf_summary **summary)
{
    sf_summary *s = *summary;
    if (!s) return;
    for (int i = 0; i < s->n_cases; i++) {
        if (s->id) sf_mem_free(s->id[i]);
        if (s->pred) sf_mem_free(s->pred[i]);
        if (s->ref) sf_mem_free(s->ref[i]);
    }
    sf_mem_free(s->id);
    sf_mem_free(s->pred);
    sf_mem_free(s->ref);
    sf_mem_free(s->m);
    sf_mem_free(s->mean_dice);
    sf_mem_free(s);
    *summary = NULL;
}

static sf_status replace_text(char **slot, const char *text)
{
    char *copy = NULL;
    if (text) SF_TRY(sf_mem_strdup(&copy, text));
    sf_mem_free(*slot);
    *slot = copy;
    return SF_OK;
}

sf_status sf_summary_set(sf_summary *s, int i, const char *id, const char *pred, const char *ref,
                         const sf_metric *m)
{
    SF_CHECK(i >= 0 && i < s->n_cases, SF_EINTERNAL, "case %d of a summary of %d", i, s->n_cases);
    SF_TRY(replace_text(&s->id[i], id));
    SF_TRY(replace_text(&s->pred[i], pred));
    SF_TRY(replace_text(&s->ref[i], ref));
    memcpy(s->m + (int64_t)i * s->n_eval, m, (size_t)s->n_eval * sizeof *m);
    return SF_OK;
}

/* Mean Dice without a work array, in the same tree as case_mean: the value of sample i is asked
 * for, not stored, so this cannot fail. */
static double dice_sum(const sf_summary *s, int e, int64_t at, int64_t n)
{
    double block[128];
    if (n > 128) {
        const int64_t half = n / 2 - n / 2 % 8;
        return dice_sum(s, e, at, half) + dice_sum(s, e, at + half, n - half);
    }
    for (int64_t i = 0; i < n; i++) {
        const double v = s->m[(at + i) * s->n_eval + e].dice;
        block[i] = isnan(v) ? 0.0 : v;
    }
    return pairwise_sum(block, n);
}

void sf_summary_finish(sf_summary *s)
{
    for (int e = 0; e < s->n_eval; e++) {
        int64_t defined = 0;
        for (int i = 0; i < s->n_cases; i++)
            defined += !isnan(s->m[(int64_t)i * s->n_eval + e].dice);
        s->mean_dice[e] = defined ? dice_sum(s, e, 0, s->n_cases) / (double)defined : NAN;
    }
    s->foreground_dice = s->n_eval ? pairwise_sum(s->mean_dice, s->n_eval) / s->n_eval : NAN;
}

/* ---- JSON ---- */

static json_t *means_of(const double *value)
{
    json_t *o = json_object();
    for (int k = 0; k < METRICS; k++)
        json_object_set_new(o, metric_name[k], sf_json_real(value[k]));
    return o;
}

/* [eval][METRICS] means over cases, then in the last row their mean over eval. */
static void all_means(const sf_summary *s, double *means, double *work)
{
    double *fg = means + (int64_t)s->n_eval * METRICS;
    for (int e = 0; e < s->n_eval; e++)
        for (int k = 0; k < METRICS; k++) means[e * METRICS + k] = case_mean(s, e, k, work);
    for (int k = 0; k < METRICS; k++) {
        for (int e = 0; e < s->n_eval; e++) work[e] = means[e * METRICS + k];
        fg[k] = s->n_eval ? pairwise_sum(work, s->n_eval) / s->n_eval : NAN;
    }
}

json_t *sf_summary_means(const sf_summary *s, const sf_labels *labels)
{
    const int longest = s->n_cases > s->n_eval ? s->n_cases : s->n_eval;
    double *means = NULL, *work = NULL;
    json_t *root = NULL;
    if (sf_mem_alloc(&means, (size_t)(s->n_eval + 1) * METRICS, sizeof *means, SF_MEM_MISC) ==
            SF_OK &&
        sf_mem_alloc(&work, (size_t)longest, sizeof *work, SF_MEM_MISC) == SF_OK) {
        json_t *mean = json_object();
        root = json_object();
        all_means(s, means, work);
        for (int e = 0; e < s->n_eval; e++)
            json_object_set_new(mean, labels->eval[e].key, means_of(means + e * METRICS));
        json_object_set_new(root, "foreground_mean", means_of(means + s->n_eval * METRICS));
        json_object_set_new(root, "mean", mean);
    }
    sf_mem_free(means);
    sf_mem_free(work);
    return root;
}

static json_t *case_json(const sf_summary *s, int i, const sf_labels *labels)
{
    json_t *one = json_object(), *metrics = json_object();
    for (int e = 0; e < s->n_eval; e++) {
        const sf_metric *m = &s->m[(int64_t)i * s->n_eval + e];
        json_t *o = json_object();
        for (int k = 0; k < METRICS; k++) {
            const double v = metric_value(m, k);
            json_object_set_new(o, metric_name[k],
                                k == DICE || k == IOU ? sf_json_real(v)
                                                      : json_integer((json_int_t)v));
        }
        json_object_set_new(metrics, labels->eval[e].key, o);
    }
    json_object_set_new(one, "metrics", metrics);
    json_object_set_new(one, "prediction_file", json_string(s->pred[i] ? s->pred[i] : ""));
    json_object_set_new(one, "reference_file", json_string(s->ref[i] ? s->ref[i] : ""));
    return one;
}

sf_status sf_summary_save(const sf_summary *s, const sf_labels *labels, const char *path)
{
    json_t *root = sf_summary_means(s, labels), *cases = json_array();
    if (!root || !cases) {
        json_decref(root);
        json_decref(cases);
        return SF_FAIL(SF_ENOMEM, "%s: memory ran out", path);
    }
    for (int i = 0; i < s->n_cases; i++) json_array_append_new(cases, case_json(s, i, labels));
    json_object_set_new(root, "metric_per_case", cases);
    const sf_status st = sf_json_save(root, path, 4, true);
    json_decref(root);
    SF_TRY(st);
    return SF_OK;
}

static sf_status load_metric(sf_metric *m, const json_t *metrics, const char *key, const char *path)
{
    json_t *o = NULL;
    SF_TRY(sf_json_get(&o, metrics, key, path));
    SF_TRY(sf_json_get_int(&m->tp, o, "TP", path));
    SF_TRY(sf_json_get_int(&m->fp, o, "FP", path));
    SF_TRY(sf_json_get_int(&m->fn, o, "FN", path));
    SF_TRY(sf_json_get_int(&m->tn, o, "TN", path));
    SF_TRY(sf_json_get_num(&m->dice, o, "Dice", path));
    SF_TRY(sf_json_get_num(&m->iou, o, "IoU", path));
    return SF_OK;
}

/* "pred/case3.nii.gz" -> "case3": up to the first dot of the last component. */
static sf_status set_id(char **id, const char *file)
{
    const char *base = strrchr(file, '/');
    base = base ? base + 1 : file;
    return sf_mem_printf(id, "%.*s", (int)strcspn(base, "."), base);
}

static sf_status load_case(sf_summary *s, int i, const json_t *one, const sf_labels *labels,
                           const char *path)
{
    json_t *metrics = NULL;
    const char *pred = NULL, *ref = NULL;
    SF_TRY(sf_json_get(&metrics, one, "metrics", path));
    for (int e = 0; e < s->n_eval; e++)
        SF_TRY(load_metric(&s->m[(int64_t)i * s->n_eval + e], metrics, labels->eval[e].key, path));
    SF_TRY(sf_json_get_str(&pred, one, "prediction_file", path));
    SF_TRY(sf_json_get_str(&ref, one, "reference_file", path));
    SF_TRY(replace_text(&s->pred[i], pred));
    SF_TRY(replace_text(&s->ref[i], ref));
    SF_TRY(set_id(&s->id[i], pred));
    return SF_OK;
}

sf_status sf_summary_load(sf_summary **out, const sf_labels *labels, const char *path)
{
    json_t *root = NULL, *cases = NULL;
    sf_summary *s = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_TRY(sf_json_load(&root, path));
    SF_GOTO(done, st, sf_json_get(&cases, root, "metric_per_case", path));
    SF_CHECK_GOTO(done, st, json_is_array(cases), SF_EDATA, "%s: \"metric_per_case\" is no list",
                  path);
    SF_GOTO(done, st, sf_summary_create(&s, (int)json_array_size(cases), labels));
    for (int i = 0; i < s->n_cases; i++)
        SF_GOTO(done, st, load_case(s, i, json_array_get(cases, (size_t)i), labels, path));
    sf_summary_finish(s);
    *out = s;
    s = NULL;
done:
    sf_summary_destroy(&s);
    json_decref(root);
    return st;
}
