#include "base/mem.h"
#include "plan/fingerprint.h"
#include <math.h>
#include <stdio.h>

/* dataset_fingerprint.json: nnU-Net v2's keys (nnunet-planning.md 4.5) and the paper's further
 * properties. nnU-Net's own files lack the latter. */

void sf_fingerprint_destroy(sf_fingerprint **f)
{
    if (!f || !*f) return;
    sf_mem_free((*f)->shape_before);
    sf_mem_free((*f)->shape_after);
    sf_mem_free((*f)->spacing);
    sf_mem_free((*f)->relative_size);
    sf_mem_free((*f)->intensity);
    sf_mem_free(*f);
    *f = NULL;
}

sf_status sf_fingerprint_create(sf_fingerprint **out, int n_cases, int n_channels)
{
    sf_fingerprint *f = NULL;
    sf_status st = SF_OK;
    const size_t n = (size_t)n_cases;
    SF_TRY(sf_mem_calloc(&f, 1, sizeof *f, SF_MEM_MISC));
    f->n_cases = n_cases;
    f->n_channels = n_channels;
    SF_GOTO(fail, st, sf_mem_calloc(&f->shape_before, n, sizeof *f->shape_before, SF_MEM_MISC));
    SF_GOTO(fail, st, sf_mem_calloc(&f->shape_after, n, sizeof *f->shape_after, SF_MEM_MISC));
    SF_GOTO(fail, st, sf_mem_calloc(&f->spacing, n, sizeof *f->spacing, SF_MEM_MISC));
    SF_GOTO(fail, st, sf_mem_calloc(&f->relative_size, n, sizeof *f->relative_size, SF_MEM_MISC));
    SF_GOTO(fail, st,
            sf_mem_calloc(&f->intensity, (size_t)n_channels, sizeof *f->intensity, SF_MEM_MISC));
    *out = f;
    return SF_OK;
fail:
    sf_fingerprint_destroy(&f);
    return st;
}

static json_t *shapes_json(int64_t (*s)[3], int n)
{
    json_t *all = json_array();
    for (int c = 0; c < n; c++) json_array_append_new(all, sf_json_ints(s[c], 3));
    return all;
}

static json_t *spacings_json(const sf_fingerprint *f)
{
    json_t *all = json_array();
    for (int c = 0; c < f->n_cases; c++) json_array_append_new(all, sf_json_nums(f->spacing[c], 3));
    return all;
}

static json_t *modalities_json(const sf_dataset *d)
{
    json_t *all = json_object();
    for (int c = 0; c < d->n_channels; c++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c);
        json_object_set_new(all, key, json_string(d->channel_names[c]));
    }
    return all;
}

static json_t *intensities_json(const sf_fingerprint *f)
{
    json_t *all = json_object();
    for (int c = 0; c < f->n_channels; c++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c);
        json_object_set_new(all, key, sf_intensity_json(&f->intensity[c]));
    }
    return all;
}

sf_status sf_fingerprint_save(const sf_fingerprint *f, const sf_dataset *d, const char *path)
{
    json_t *json =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:O, s:o, s:i}",
                  "foreground_intensity_properties_per_channel", intensities_json(f),
                  "median_relative_size_after_cropping", sf_json_real(f->median_relative_size),
                  "shapes_after_crop", shapes_json(f->shape_after, f->n_cases), "spacings",
                  spacings_json(f), "shapes_before_crop", shapes_json(f->shape_before, f->n_cases),
                  "modalities", modalities_json(d), "classes", json_object_get(d->json, "labels"),
                  "mean_relative_size_after_cropping", sf_json_real(f->mean_relative_size),
                  "number_of_cases", f->n_cases);
    SF_CHECK(json, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_save(json, path, 4, true);
    json_decref(json);
    return st;
}

static sf_status read_shapes(int64_t (*out)[3], int n, const json_t *list, const char *key,
                             const char *path)
{
    SF_CHECK((int)json_array_size(list) == n, SF_EDATA, "%s: \"%s\" needs %d entries", path, key,
             n);
    for (int c = 0; c < n; c++) {
        const json_t *one = json_array_get(list, (size_t)c);
        SF_CHECK(json_array_size(one) == 3, SF_EDATA, "%s: \"%s\", case %d: needs 3 numbers", path,
                 key, c);
        for (int i = 0; i < 3; i++) {
            const double x = sf_json_num(json_array_get(one, (size_t)i));
            SF_CHECK(x >= 1 && x < 1e9, SF_EDATA, "%s: \"%s\", case %d: wrong size", path, key, c);
            out[c][i] = (int64_t)x;
        }
    }
    return SF_OK;
}

static sf_status read_spacings(sf_fingerprint *f, const json_t *list, const char *path)
{
    for (int c = 0; c < f->n_cases; c++) {
        const json_t *one = json_array_get(list, (size_t)c);
        SF_CHECK(json_array_size(one) == 3, SF_EDATA, "%s: \"spacings\", case %d: needs 3 numbers",
                 path, c);
        for (int i = 0; i < 3; i++) {
            f->spacing[c][i] = sf_json_num(json_array_get(one, (size_t)i));
            SF_CHECK(f->spacing[c][i] > 0 && f->spacing[c][i] < 1e9, SF_EDATA,
                     "%s: \"spacings\", case %d: must be > 0", path, c);
        }
    }
    return SF_OK;
}

static sf_status read_intensities(sf_fingerprint *f, const json_t *all, const char *path)
{
    for (int c = 0; c < f->n_channels; c++) {
        char key[16];
        json_t *one = NULL;
        snprintf(key, sizeof key, "%d", c);
        SF_TRY(sf_json_get(&one, all, key, path));
        SF_TRY(sf_intensity_read(&f->intensity[c], one, path));
    }
    return SF_OK;
}

static sf_status fill(sf_fingerprint *f, const json_t *json, const json_t *spacings,
                      const json_t *intensities, const char *path)
{
    json_t *after = NULL;
    const json_t *before = json_object_get(json, "shapes_before_crop");
    SF_TRY(sf_json_get(&after, json, "shapes_after_crop", path));
    SF_TRY(read_shapes(f->shape_after, f->n_cases, after, "shapes_after_crop", path));
    SF_TRY(read_spacings(f, spacings, path));
    SF_TRY(read_intensities(f, intensities, path));
    SF_TRY(sf_json_get_num(&f->median_relative_size, json, "median_relative_size_after_cropping",
                           path));
    f->mean_relative_size = NAN;
    if (!before) return SF_OK;
    SF_TRY(read_shapes(f->shape_before, f->n_cases, before, "shapes_before_crop", path));
    return sf_json_get_num(&f->mean_relative_size, json, "mean_relative_size_after_cropping", path);
}

static void relative_sizes(sf_fingerprint *f)
{
    for (int c = 0; c < f->n_cases; c++) {
        const int64_t *a = f->shape_after[c], *b = f->shape_before[c];
        const double before = (double)b[0] * (double)b[1] * (double)b[2];
        f->relative_size[c] =
            before > 0 ? (double)a[0] * (double)a[1] * (double)a[2] / before : NAN;
    }
}

sf_status sf_fingerprint_load(sf_fingerprint **out, const char *path)
{
    json_t *json = NULL, *spacings = NULL, *intensities = NULL;
    sf_fingerprint *f = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_json_load(&json, path));
    SF_GOTO(done, st, sf_json_get(&spacings, json, "spacings", path));
    SF_GOTO(done, st,
            sf_json_get(&intensities, json, "foreground_intensity_properties_per_channel", path));
    SF_CHECK_GOTO(done, st, json_array_size(spacings) > 0 && json_object_size(intensities) > 0,
                  SF_EDATA, "%s: no cases or no channels", path);
    SF_GOTO(done, st,
            sf_fingerprint_create(&f, (int)json_array_size(spacings),
                                  (int)json_object_size(intensities)));
    SF_GOTO(done, st, fill(f, json, spacings, intensities, path));
    relative_sizes(f);
    *out = f;
    f = NULL;
done:
    sf_fingerprint_destroy(&f);
    json_decref(json);
    return st;
}
