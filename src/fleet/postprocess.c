#include "fleet/postprocess.h"
#include "base/mem.h"
#include "base/path.h"
#include "fleet/folders.h"
#include <string.h>

typedef struct {
    const char *pred_dir, *ref_dir, *ending;
    sf_id_list id;
    sf_label_image **ref, **pred;
    sf_pp_case *one;
} pool;

static void pool_free(pool *p)
{
    for (int i = 0; i < p->id.count; i++) {
        if (p->ref) sf_label_image_destroy(&p->ref[i]);
        if (p->pred) sf_label_image_destroy(&p->pred[i]);
    }
    sf_mem_free(p->ref);
    sf_mem_free(p->pred);
    sf_mem_free(p->one);
    sf_id_list_free(&p->id);
}

/** Every reference must have its prediction: a decision on a part would look like one on all. */
static sf_status check_references(const pool *p)
{
    sf_id_list ref = { 0 };
    char path[SF_PATH_MAX];
    sf_status st = SF_OK;
    SF_TRY(sf_folder_cases(&ref, p->ref_dir, &p->ending, 1));
    for (int i = 0; i < ref.count; i++) {
        SF_GOTO(done, st, sf_path_format(path, "%s/%s%s", p->pred_dir, ref.id[i], p->ending));
        SF_CHECK_GOTO(done, st, sf_path_is_file(path), SF_EDATA,
                      "%s is missing: %s has a reference for this case", path, p->ref_dir);
    }
done:
    sf_id_list_free(&ref);
    return st;
}

static sf_status read_case(pool *p, int i)
{
    char ref[SF_PATH_MAX], pred[SF_PATH_MAX];
    SF_TRY(sf_path_format(ref, "%s/%s%s", p->ref_dir, p->id.id[i], p->ending));
    SF_TRY(sf_path_format(pred, "%s/%s%s", p->pred_dir, p->id.id[i], p->ending));
    SF_CHECK(sf_path_is_file(ref), SF_EDATA, "%s is missing: %s has no reference", ref, pred);
    SF_TRY(sf_label_image_read(&p->ref[i], ref));
    SF_TRY(sf_label_image_read(&p->pred[i], pred));
    SF_CHECK(memcmp(p->ref[i]->geo.shape, p->pred[i]->geo.shape, sizeof p->one->shape) == 0,
             SF_EDATA, "%s has another shape than %s", pred, ref);
    p->one[i].ref = p->ref[i]->data;
    p->one[i].pred = p->pred[i]->data;
    memcpy(p->one[i].shape, p->ref[i]->geo.shape, sizeof p->one[i].shape);
    return SF_OK;
}

static sf_status pool_read(pool *p)
{
    SF_TRY(sf_folder_cases(&p->id, p->pred_dir, &p->ending, 1));
    const size_t n = (size_t)p->id.count;
    SF_CHECK(n > 0, SF_EDATA, "%s: no segmentation ends in %s", p->pred_dir, p->ending);
    SF_TRY(check_references(p));
    SF_TRY(sf_mem_calloc(&p->ref, n, sizeof *p->ref, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&p->pred, n, sizeof *p->pred, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&p->one, n, sizeof *p->one, SF_MEM_MISC));
    for (int i = 0; i < p->id.count; i++) SF_TRY(read_case(p, i));
    return SF_OK;
}

sf_status sf_postprocess_determine(sf_postproc **pp, sf_summary **before, sf_summary **after,
                                   const char *pred_dir, const char *ref_dir, const char *ending,
                                   const sf_labels *labels, const char *file)
{
    pool p = { .pred_dir = pred_dir, .ref_dir = ref_dir, .ending = ending };
    *pp = NULL;
    *before = *after = NULL;
    sf_status st = pool_read(&p);
    if (st == SF_OK) st = sf_postproc_determine(pp, p.one, p.id.count, labels, before, after);
    if (st == SF_OK) st = sf_postproc_save(*pp, *before, *after, labels, file);
    pool_free(&p);
    SF_TRY(st);
    return SF_OK;
}

static sf_status apply_case(const sf_postproc *pp, const char *from, const char *to, int max_label)
{
    sf_label_image *seg = NULL;
    SF_TRY(sf_label_image_read(&seg, from));
    sf_status st = sf_postproc_apply(pp, seg->data, seg->geo.shape);
    if (st == SF_OK) st = sf_label_write(to, &seg->geo, seg->data, max_label);
    sf_label_image_destroy(&seg);
    return st;
}

sf_status sf_postprocess_apply(int *n_cases, const sf_postproc *pp, const char *pred_dir,
                               const char *ending, int max_label, const char *out_dir)
{
    sf_id_list id = { 0 };
    sf_status st = SF_OK;
    SF_TRY(sf_folder_cases(&id, pred_dir, &ending, 1));
    *n_cases = id.count;
    SF_CHECK_GOTO(done, st, id.count > 0, SF_EDATA, "%s: no segmentation ends in %s", pred_dir,
                  ending);
    SF_GOTO(done, st, sf_folder_make_output(out_dir, &pred_dir, 1));
    SF_GOTO(done, st, sf_folder_describe(out_dir, pred_dir));
    for (int i = 0; i < id.count; i++) {
        char from[SF_PATH_MAX], to[SF_PATH_MAX];
        SF_GOTO(done, st, sf_path_format(from, "%s/%s%s", pred_dir, id.id[i], ending));
        SF_GOTO(done, st, sf_path_format(to, "%s/%s%s", out_dir, id.id[i], ending));
        SF_GOTO(done, st, apply_case(pp, from, to, max_label));
    }
done:
    sf_id_list_free(&id);
    return st;
}
