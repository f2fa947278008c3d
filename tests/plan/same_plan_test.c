/* Real datasets in other formats: the fingerprint has the same bytes and the plans are the same,
 * whether the images are .nii.gz or .png as they came, or MetaImage, NRRD, or TIFF with spacing
 * files. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/rewrite.h"
#include "tests/plan/plan_check.h"
#include <stdio.h>
#include <string.h>

enum { CASES = 2, LARGE = 4000000 }; /* values of an image that is too large for a quick test */

typedef struct {
    char *fingerprint; /* the file's text */
    json_t *plans;
} result;

static void measure(result *out, const char *dir, const sf_recipe *r)
{
    char path[SF_PATH_MAX];
    size_t size = 0;
    sf_dataset *d = NULL;
    sf_fingerprint *f = NULL;
    tst_ok(sf_dataset_load(&d, dir));
    for (int c = 0; c < d->n_train; c++) {
        char *problem = NULL;
        tst_ok(sf_dataset_verify_case(d, &d->train[c], &problem, NULL));
    }
    tst_ok(sf_fingerprint_compute(&f, d, r, 2));
    tst_ok(sf_path_join(path, dir, "fingerprint.json", NULL));
    tst_ok(sf_fingerprint_save(f, d, path));
    tst_ok(sf_path_read(&out->fingerprint, &size, path, 0));
    tst_ok(sf_planner_run(&out->plans, NULL, f, d, r, NULL));
    json_object_del(out->plans, "image_reader_writer"); /* this one follows the format */
    sf_fingerprint_destroy(&f);
    sf_dataset_destroy(&d);
}

static void write_description(const char *dir, const sf_dataset *d, const char *ending)
{
    char path[SF_PATH_MAX];
    json_t *json = json_deep_copy(d->json);
    json_object_set_new(json, "file_ending", json_string(ending));
    json_object_set_new(json, "numTraining", json_integer(CASES));
    tst_ok(sf_path_join(path, dir, "dataset.json", NULL));
    tst_ok(sf_json_save(json, path, 4, false));
    json_decref(json);
}

/* The first cases in another format; "" = copied as they are. */
static void rewrite(const char *dir, const sf_dataset *d, const char *ending)
{
    char to[SF_PATH_MAX];
    int written = 0;
    tst_ok(sf_path_remove(dir));
    tst_ok(sf_path_join(to, dir, "imagesTr", NULL));
    tst_ok(sf_path_make_dirs(to));
    tst_ok(sf_path_join(to, dir, "labelsTr", NULL));
    tst_ok(sf_path_make_dirs(to));
    for (int i = 0; i < CASES; i++) {
        const sf_case *c = &d->train[i];
        const bool numbered = c->n_images < d->n_channels; /* the writer numbers colours */
        for (int k = 0; k < c->n_images; k++) {
            char number[16] = "";
            if (!numbered || !ending[0]) snprintf(number, sizeof number, "_%04d", k);
            tst_ok(sf_path_format(to, "%s/imagesTr/%s%s%s", dir, c->id, number,
                                  ending[0] ? ending : d->file_ending));
            if (ending[0])
                tst_ok(sf_image_rewrite(&written, c->images[k], to, NULL));
            else
                tst_ok(sf_path_copy(c->images[k], to));
        }
        tst_ok(sf_path_format(to, "%s/labelsTr/%s%s", dir, c->id,
                              ending[0] ? ending : d->file_ending));
        if (ending[0])
            tst_ok(sf_image_rewrite(&written, c->label, to, NULL));
        else
            tst_ok(sf_path_copy(c->label, to));
    }
    write_description(dir, d, ending[0] ? ending : d->file_ending);
}

static void check_dataset(const char *name, const sf_dataset *d, const sf_recipe *r)
{
    static const char *const endings[] = { ".mha", ".nrrd", ".tif" };
    char dir[SF_PATH_MAX];
    result want = { 0 };
    tst_ok(sf_path_join(dir, tst_tmp_dir(), name, NULL));
    rewrite(dir, d, "");
    measure(&want, dir, r);
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
        result got = { 0 };
        rewrite(dir, d, endings[e]);
        measure(&got, dir, r);
        if (strcmp(want.fingerprint, got.fingerprint) != 0)
            fail_msg("%s as %s: another fingerprint", name, endings[e]);
        tst_same_json(got.plans, want.plans, NULL, name);
        sf_mem_free(got.fingerprint);
        json_decref(got.plans);
    }
    tst_ok(sf_path_remove(dir));
    sf_mem_free(want.fingerprint);
    json_decref(want.plans);
}

static void real_data(void **state)
{
    const char *folder = tst_shared("data");
    char **names = NULL, path[SF_PATH_MAX];
    size_t n = 0;
    int seen = 0;
    sf_recipe *r = NULL;
    (void)state;
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    tst_ok(sf_path_list(&names, &n, folder));
    for (size_t i = 0; i < n; i++) {
        sf_dataset *d = NULL;
        sf_geometry g;
        int channels = 0;
        if (strncmp(names[i], "Dataset", 7) != 0) continue;
        tst_ok(sf_path_join(path, folder, names[i], NULL));
        tst_ok(sf_dataset_load(&d, path));
        tst_ok(sf_case_probe(&g, &channels, &d->train[0]));
        if (g.shape[0] * g.shape[1] * g.shape[2] * channels < LARGE) {
            const double t0 = sf_now();
            check_dataset(names[i], d, r);
            print_message("%s: %.2f s\n", names[i], sf_now() - t0);
            seen++;
        }
        sf_dataset_destroy(&d);
    }
    assert_true(seen > 0);
    sf_path_free_list(&names, n);
    sf_recipe_destroy(&r);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(real_data) };
    if (!tst_shared("data")) tst_skip("no real data here");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
