#include "image/phantom.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/rng.h"
#include "image/image.h"
#include <math.h>
#include <string.h>

typedef struct {
    double centre[3], radius[3];
    double axis[3], bend, phase; /* tubes only */
    int label;
} shape_t;

enum { MAX_SHAPES = 8, IGNORE = 3 };

typedef struct {
    int64_t shape[3];
    double spacing[3];
    shape_t item[MAX_SHAPES];
    int count;
} scene_t;

/* Positions and radii are in mm, so that anisotropic phantoms hold the same objects. */
static void draw_scene(scene_t *s, sf_rng *rng, const sf_phantom_options *opt)
{
    const double spacing_z = opt->flat ? 1 : opt->anisotropic ? 5 : 1;
    const int64_t edge = opt->extent ? opt->extent : opt->flat ? 96 : opt->anisotropic ? 56 : 40;
    double size[3];
    for (int a = 0; a < 3; a++) {
        const int64_t jitter = edge / 8 > 0 ? edge / 8 : 1;
        const int64_t n = edge - jitter / 2 + sf_rng_below(rng, jitter + 1);
        s->spacing[a] = a == 0 ? spacing_z : 1;
        s->shape[a] = a == 0 && opt->flat ? 1 : a == 0 && opt->anisotropic ? (n + 4) / 5 + 2 : n;
        size[a] = (double)s->shape[a] * s->spacing[a];
    }
    const double unit = size[1] < size[2] ? size[1] : size[2];
    s->count = 0;
    const int blobs = 1 + (int)sf_rng_below(rng, 2), tubes = 1;
    for (int i = 0; i < blobs + tubes; i++) {
        shape_t *t = &s->item[s->count++];
        t->label = i < blobs ? 1 : 2;
        for (int a = 0; a < 3; a++) {
            t->centre[a] = opt->flat && a == 0 ? 0.5 : size[a] * sf_rng_uniform(rng, 0.3, 0.7);
            t->radius[a] = unit * sf_rng_uniform(rng, 0.12, 0.2);
            t->axis[a] = opt->flat && a == 0 ? 0 : sf_rng_normal(rng);
        }
        const double len =
            sqrt(t->axis[0] * t->axis[0] + t->axis[1] * t->axis[1] + t->axis[2] * t->axis[2]);
        for (int a = 0; a < 3; a++) t->axis[a] /= len > 1e-9 ? len : 1;
        t->bend = unit * sf_rng_uniform(rng, 0.03, 0.08);
        t->phase = sf_rng_uniform(rng, 0, 6.283185307179586);
        if (t->label == 2) t->radius[0] = unit * sf_rng_uniform(rng, 0.05, 0.08);
    }
}

static bool inside(const shape_t *t, const double p[3], double unit)
{
    double d[3], along = 0;
    for (int a = 0; a < 3; a++) {
        d[a] = p[a] - t->centre[a];
        along += d[a] * t->axis[a];
    }
    if (t->label == 1) {
        double q = 0;
        for (int a = 0; a < 3; a++) q += d[a] * d[a] / (t->radius[a] * t->radius[a]);
        return q < 1;
    }
    if (fabs(along) > 0.42 * unit) return false;
    const double shift = t->bend * sin(along / unit * 9 + t->phase);
    double q = 0;
    for (int a = 0; a < 3; a++) {
        const double side = d[a] - along * t->axis[a] - (a == 2 ? shift : 0);
        q += side * side;
    }
    return q < t->radius[0] * t->radius[0];
}

static int label_at(const scene_t *s, const double p[3])
{
    const double size1 = (double)s->shape[1] * s->spacing[1],
                 size2 = (double)s->shape[2] * s->spacing[2];
    int label = 0;
    for (int i = 0; i < s->count; i++) {
        if (inside(&s->item[i], p, size1 < size2 ? size1 : size2)) label = s->item[i].label;
    }
    return label;
}

static void paint(const scene_t *s, sf_rng *rng, float *image, int32_t *labels, bool flat)
{
    static const double level[3] = { 80, 130, 165 };
    const double tilt = sf_rng_uniform(rng, -15, 15), gain = sf_rng_uniform(rng, 0.85, 1.15);
    int64_t i = 0;
    for (int64_t z = 0; z < s->shape[0]; z++) {
        for (int64_t y = 0; y < s->shape[1]; y++) {
            for (int64_t x = 0; x < s->shape[2]; x++, i++) {
                const double p[3] = { ((double)z + 0.5) * s->spacing[0],
                                      ((double)y + 0.5) * s->spacing[1],
                                      ((double)x + 0.5) * s->spacing[2] };
                labels[i] = label_at(s, p);
                double v = gain * level[labels[i]] + tilt * (double)y / (double)s->shape[1] +
                           12 * sf_rng_normal(rng);
                if (flat) v = v < 0 ? 0 : v > 255 ? 255 : v;
                image[i] = (float)rint(v);
            }
        }
    }
}

/* What nobody annotated. */
static void leave_out(int32_t *labels, const int64_t n[3])
{
    for (int64_t row = 0; row < n[0] * n[1]; row++) {
        if (4 * (row % n[1]) < 3 * n[1]) continue;
        for (int64_t x = 0; x < n[2]; x++) labels[row * n[2] + x] = IGNORE;
    }
}

static sf_status make_case(const char *dir, const char *suffix, int index,
                           const sf_phantom_options *opt)
{
    sf_rng rng;
    const sf_rng_key key = {
        .seed = opt->seed, .scope = suffix, .sample = (uint32_t)index, .purpose = SF_RNG_PHANTOM
    };
    sf_rng_init(&rng, &key);
    scene_t scene;
    draw_scene(&scene, &rng, opt);
    const size_t voxels = (size_t)(scene.shape[0] * scene.shape[1] * scene.shape[2]);
    sf_geometry geo;
    sf_geometry_make(&geo, opt->flat ? SF_FORMAT_PNG : SF_FORMAT_NIFTI, scene.shape, scene.spacing);
    const char *ending = opt->flat ? ".png" : ".nii.gz";
    char path[SF_PATH_MAX];
    float *image = NULL;
    int32_t *labels = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_mem_alloc(&image, voxels, sizeof *image, SF_MEM_IMAGE));
    SF_GOTO(done, st, sf_mem_alloc(&labels, voxels, sizeof *labels, SF_MEM_IMAGE));
    paint(&scene, &rng, image, labels, opt->flat);
    if (opt->ignore && index % 2 == 1) leave_out(labels, scene.shape);
    SF_GOTO(done, st,
            sf_path_format(path, "%s/images%s/phantom_%03d_0000%s", dir, suffix, index, ending));
    SF_GOTO(done, st, sf_image_write(path, &geo, image));
    SF_GOTO(done, st,
            sf_path_format(path, "%s/labels%s/phantom_%03d%s", dir, suffix, index, ending));
    SF_GOTO(done, st, sf_label_write(path, &geo, labels, IGNORE));
done:
    sf_mem_free(image);
    sf_mem_free(labels);
    return st;
}

static sf_status write_description(const char *dir, const sf_phantom_options *opt)
{
    json_t *labels =
        opt->regions ? json_pack("{s:i,s:[i,i],s:i}", "background", 0, "object", 1, 2, "tube", 2)
                     : json_pack("{s:i,s:i,s:i}", "background", 0, "blob", 1, "tube", 2);
    if (opt->ignore && labels) json_object_set_new(labels, "ignore", json_integer(IGNORE));
    json_t *doc = json_pack("{s:{s:s},s:o,s:I,s:s,s:s,s:s}", "channel_names", "0", "phantom",
                            "labels", labels, "numTraining", (json_int_t)opt->cases, "file_ending",
                            opt->flat ? ".png" : ".nii.gz", "name", "Phantom", "description",
                            "Ellipsoids and bent tubes in noise, made by segfleet phantom");
    SF_CHECK(doc, SF_ENOMEM, "out of memory");
    if (opt->regions) json_object_set_new(doc, "regions_class_order", json_pack("[i,i]", 1, 2));
    char path[SF_PATH_MAX];
    sf_status st = sf_path_join(path, dir, "dataset.json", NULL);
    if (st == SF_OK) st = sf_json_save(doc, path, 4, false);
    json_decref(doc);
    return st;
}

sf_status sf_phantom_make(const char *out_dir, const sf_phantom_options *opt)
{
    SF_CHECK(opt->cases >= 1 && opt->cases <= 100000, SF_EINVAL,
             "--cases must be 1..100000, not %lld", (long long)opt->cases);
    SF_CHECK(!(opt->flat && opt->anisotropic), SF_EINVAL,
             "--2d and --anisotropic exclude each other");
    SF_CHECK(opt->extent == 0 || (opt->extent >= 8 && opt->extent <= 1024), SF_EINVAL,
             "--extent must be 8..1024");
    char dir[SF_PATH_MAX], sub[SF_PATH_MAX];
    SF_TRY(sf_path_join(dir, out_dir, "Dataset999_Phantom", NULL));
    SF_TRY(sf_path_join(sub, dir, "dataset.json", NULL));
    SF_CHECK(!sf_path_is_file(sub), SF_EINVAL,
             "%s exists already: remove it or choose another folder", dir);
    static const char *const folders[] = { "imagesTr", "labelsTr", "imagesTs", "labelsTs" };
    for (int i = 0; i < 4; i++) {
        SF_TRY(sf_path_join(sub, dir, folders[i], NULL));
        SF_TRY(sf_path_make_dirs(sub));
    }
    const int n_test = opt->cases / 5 > 0 ? (int)(opt->cases / 5) : 1;
    for (int i = 0; i < (int)opt->cases; i++) SF_TRY(make_case(dir, "Tr", i, opt));
    for (int i = 0; i < n_test; i++) SF_TRY(make_case(dir, "Ts", i, opt));
    return write_description(dir, opt);
}
