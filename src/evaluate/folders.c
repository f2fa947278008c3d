/* Evaluation of a folder of predictions against a folder of references. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "evaluate/metrics.h"
#include <string.h>

static bool is_case(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);
    return name[0] != '.' && n > m && strcmp(name + n - m, ending) == 0;
}

/* Keeps the names of cases, moves them to the front and frees the others. */
static size_t keep_cases(char **names, size_t count, const char *ending)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_case(names[i], ending)) continue;
        char *t = names[kept];
        names[kept] = names[i];
        names[i] = t;
        kept++;
    }
    return kept;
}

static sf_status check_missing(char **refs, size_t *n_refs, const char *pred_dir, bool chill)
{
    char path[SF_PATH_MAX], missing[512] = "";
    size_t kept = 0, lost = 0;
    for (size_t i = 0; i < *n_refs; i++) {
        SF_TRY(sf_path_join(path, pred_dir, refs[i], NULL));
        if (sf_path_is_file(path)) {
            char *t = refs[kept];
            refs[kept++] = refs[i];
            refs[i] = t;
            continue;
        }
        const size_t used = strlen(missing);
        if (lost++ < 10 && used + strlen(refs[i]) + 3 < sizeof missing) {
            if (used) strcat(missing, ", ");
            strcat(missing, refs[i]);
        }
    }
    SF_CHECK(lost == 0 || chill, SF_EDATA,
             "%s: no prediction for %zu of %zu cases: %s%s; predict them or allow missing cases",
             pred_dir, lost, *n_refs, missing, lost > 10 ? ", ..." : "");
    *n_refs = kept;
    return SF_OK;
}

static sf_status one_case(sf_metric *m, const char *ref_dir, const char *pred_dir, const char *name,
                          const sf_labels *labels)
{
    char ref_path[SF_PATH_MAX], pred_path[SF_PATH_MAX];
    sf_label_image *ref = NULL, *pred = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_path_join(ref_path, ref_dir, name, NULL));
    SF_TRY(sf_path_join(pred_path, pred_dir, name, NULL));
    SF_GOTO(done, st, sf_label_image_read(&ref, ref_path));
    SF_GOTO(done, st, sf_label_image_read(&pred, pred_path));
    const int64_t *a = ref->geo.shape, *b = pred->geo.shape;
    SF_CHECK_GOTO(done, st, a[0] == b[0] && a[1] == b[1] && a[2] == b[2], SF_EDATA,
                  "%s: shape %lld x %lld x %lld (z, y, x), but the reference %s has %lld x %lld x "
                  "%lld",
                  pred_path, (long long)b[0], (long long)b[1], (long long)b[2], ref_path,
                  (long long)a[0], (long long)a[1], (long long)a[2]);
    sf_metrics_compute(ref->data, pred->data, a[0] * a[1] * a[2], labels, m);
done:
    sf_label_image_destroy(&ref);
    sf_label_image_destroy(&pred);
    return st;
}

static sf_status record_case(sf_summary *s, int i, const char *ref_dir, const char *pred_dir,
                             const char *name, const char *ending, const sf_labels *labels)
{
    char id[SF_PATH_MAX];
    sf_metric *m = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_path_format(id, "%.*s", (int)(strlen(name) - strlen(ending)), name));
    SF_TRY(sf_mem_alloc(&m, (size_t)s->n_eval, sizeof *m, SF_MEM_MISC));
    SF_GOTO(done, st, one_case(m, ref_dir, pred_dir, name, labels));
    SF_GOTO(done, st, sf_summary_set(s, i, id, name, name, m));
done:
    sf_mem_free(m);
    return st;
}

/* Cases are independent; of several failures the first case's is reported. */
static sf_status all_cases(sf_summary *s, char **names, const char *ref_dir, const char *pred_dir,
                           const char *ending, const sf_labels *labels, int threads)
{
    sf_error_state first = { .status = SF_OK };
    int failed_at = s->n_cases;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads > 0 ? threads : 1)
    for (int i = 0; i < s->n_cases; i++) {
        const sf_status st = record_case(s, i, ref_dir, pred_dir, names[i], ending, labels);
        if (st == SF_OK) continue;
#pragma omp critical(sf_evaluate_folders_failure)
        if (i < failed_at) {
            failed_at = i;
            sf_error_save(&first, st);
        }
    }
    return first.status == SF_OK ? SF_OK : sf_error_restore(&first);
}

static void warn_extra(const char *pred_dir, const char *ending, size_t evaluated)
{
    char **names = NULL;
    size_t count = 0;
    if (sf_path_list(&names, &count, pred_dir) != SF_OK) return;
    const size_t cases = keep_cases(names, count, ending);
    if (cases > evaluated)
        sf_log(SF_LOG_WARN, "evaluate", "dir=%s %zu predictions have no reference and are left out",
               pred_dir, cases - evaluated);
    sf_path_free_list(&names, count);
}

sf_status sf_evaluate_folders(sf_summary **out, const char *ref_dir, const char *pred_dir,
                              const char *ending, const sf_labels *labels, bool chill, int threads)
{
    char **names = NULL;
    size_t count = 0, cases = 0;
    sf_summary *s = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_TRY(sf_path_list(&names, &count, ref_dir));
    cases = keep_cases(names, count, ending);
    SF_CHECK_GOTO(done, st, cases > 0, SF_EDATA, "%s: no reference file ends in %s", ref_dir,
                  ending);
    SF_GOTO(done, st, check_missing(names, &cases, pred_dir, chill));
    SF_CHECK_GOTO(done, st, cases > 0, SF_EDATA, "%s: no prediction has a reference", pred_dir);
    warn_extra(pred_dir, ending, cases);
    SF_GOTO(done, st, sf_summary_create(&s, (int)cases, labels));
    SF_GOTO(done, st, all_cases(s, names, ref_dir, pred_dir, ending, labels, threads));
    sf_summary_finish(s);
    *out = s;
    s = NULL;
done:
    sf_summary_destroy(&s);
    sf_path_free_list(&names, count);
    return st;
}
