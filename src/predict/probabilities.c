#include "predict/probabilities.h"
#include "base/json.h"
#include "base/mem.h"
#include "interop/npz.h"
#include <string.h>

sf_status sf_probabilities_parse(sf_probabilities_format *f, const char *word)
{
    const bool npz = strcmp(word, "npz") == 0;
    SF_CHECK(npz || strcmp(word, "h5") == 0, SF_EINVAL,
             "the format of probabilities must be npz or h5, not '%s'", word);
    *f = npz ? SF_PROBABILITIES_NPZ : SF_PROBABILITIES_H5;
    return SF_OK;
}

sf_status sf_probabilities_path(char out[SF_PATH_MAX], const char *dir, const char *id,
                                sf_probabilities_format f)
{
    return sf_path_format(out, "%s/%s.%s", dir, id, f == SF_PROBABILITIES_NPZ ? "npz" : "h5");
}

/** nnU-Net's names of the properties. */
static json_t *properties_json(const sf_case_props *props)
{
    json_t *box = json_array();
    for (int a = 0; box != NULL && a < 3; a++) {
        const int64_t side[2] = { props->bbox_lo[a], props->bbox_hi[a] };
        json_array_append_new(box, sf_json_ints(side, 2));
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "spacing", sf_json_nums(props->spacing_file, 3),
                     "shape_before_cropping", sf_json_ints(props->shape_before_crop, 3),
                     "bbox_used_for_cropping", box, "shape_after_cropping_and_before_resampling",
                     sf_json_ints(props->shape_after_crop, 3));
}

static sf_status save_properties(const char *dir, const char *id, const sf_case_props *props)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_path_format(path, "%s/%s.json", dir, id));
    json_t *j = properties_json(props);
    SF_CHECK(j != NULL, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_save(j, path, 4, false);
    json_decref(j);
    return st;
}

sf_status sf_probabilities_write(const char *dir, const char *id, sf_probabilities_format f,
                                 const float *p, int heads, const int64_t shape[3],
                                 const sf_case_props *props)
{
    const int64_t dim[4] = { heads, shape[0], shape[1], shape[2] };
    char path[SF_PATH_MAX];
    SF_TRY(sf_probabilities_path(path, dir, id, f));
    if (f == SF_PROBABILITIES_H5) return sf_probabilities_save(path, p, heads, shape);
    SF_TRY(sf_npz_save(path, "probabilities", p, 4, dim));
    return props != NULL ? save_properties(dir, id, props) : SF_OK;
}

sf_status sf_probabilities_read(float **p, int *heads, int64_t shape[3], const char *dir,
                                const char *id)
{
    static const char *const names[] = { "probabilities", "softmax" };
    char path[SF_PATH_MAX];
    int64_t dim[SF_NPZ_MAX_DIMS];
    int ndim = 0;
    *p = NULL;
    SF_TRY(sf_probabilities_path(path, dir, id, SF_PROBABILITIES_NPZ));
    if (!sf_path_is_file(path)) {
        SF_TRY(sf_probabilities_path(path, dir, id, SF_PROBABILITIES_H5));
        return sf_probabilities_load(path, p, heads, shape);
    }
    SF_TRY(sf_npz_load(p, &ndim, dim, path, names, 2));
    if (ndim != 4 || dim[0] < 1 || dim[0] > 65535) {
        sf_mem_free(*p);
        *p = NULL;
        return SF_FAIL(SF_EDATA, "%s: the array has %d axes; channel, z, y, x were expected", path,
                       ndim);
    }
    *heads = (int)dim[0];
    memcpy(shape, dim + 1, 3 * sizeof *shape);
    return SF_OK;
}
