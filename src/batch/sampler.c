#include "batch/sampler.h"
#include <math.h>

static const double PI = 3.14159265358979323846;
/* No patch is longer; products of three such edges still fit 64 bits. */
static const double MAX_EDGE = 1 << 20;

static int64_t floor_div(int64_t a, int64_t b)
{
    const int64_t q = a / b;
    return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

static double degrees(double x) { return x * PI / 180.0; }

static double max_of(const double v[3]) { return fmax(v[0], fmax(v[1], v[2])); }

/* The corner P rotated once per axis by +theta, component-wise maximum with P (row vectors). */
static void rotated_reach(double reach[3], const double p[3], double theta, bool planar)
{
    const double c = cos(theta), s = sin(theta);
    const double about_x[3] = { p[0], fabs(p[1] * c + p[2] * s), fabs(-p[1] * s + p[2] * c) };
    const double about_y[3] = { fabs(p[0] * c - p[2] * s), p[1], fabs(p[0] * s + p[2] * c) };
    const double about_z[3] = { fabs(p[0] * c + p[1] * s), fabs(-p[0] * s + p[1] * c), p[2] };
    for (int a = 0; a < 3; a++) {
        reach[a] = fmax(p[a], about_x[a]);
        if (!planar) reach[a] = fmax(reach[a], fmax(about_y[a], about_z[a]));
    }
}

sf_status sf_patch_setup_make(sf_patch_setup *out, const json_t *setup, int dim,
                              const int64_t patch[3])
{
    static const char *const where = "recipe: augment.setup";
    double elongated, elongated_deg, planar_deg, full_deg, dummy_ratio, cap_deg, divisor;
    SF_TRY(sf_json_get_num(&elongated, setup, "elongated_2d_ratio", where));
    SF_TRY(sf_json_get_num(&elongated_deg, setup, "rotation_2d_elongated", where));
    SF_TRY(sf_json_get_num(&planar_deg, setup, "rotation_in_plane", where));
    SF_TRY(sf_json_get_num(&full_deg, setup, "rotation_3d", where));
    SF_TRY(sf_json_get_num(&dummy_ratio, setup, "dummy_2d_ratio", where));
    SF_TRY(sf_json_get_num(&cap_deg, setup, "initial_patch_angle_cap", where));
    SF_TRY(sf_json_get_num(&divisor, setup, "initial_patch_divisor", where));
    SF_CHECK(divisor > 0, SF_EDATA, "%s.initial_patch_divisor must be positive", where);
    for (int a = 0; a < 3; a++) {
        SF_CHECK(patch[a] > 0, SF_EINVAL, "patch size %lld on axis %d", (long long)patch[a], a);
    }
    const double p[3] = { (double)patch[0], (double)patch[1], (double)patch[2] };
    if (dim == 2) {
        const bool is_long = fmax(p[1], p[2]) / fmin(p[1], p[2]) > elongated;
        out->angle = degrees(is_long ? elongated_deg : planar_deg);
        out->dummy_2d = false;
    } else {
        out->dummy_2d = max_of(p) / p[0] > dummy_ratio;
        out->angle = degrees(out->dummy_2d ? planar_deg : full_deg);
    }
    out->planar = dim == 2 || out->dummy_2d;
    double reach[3];
    rotated_reach(reach, p, fmin(degrees(cap_deg), out->angle), out->planar);
    for (int a = 0; a < 3; a++) {
        SF_CHECK(reach[a] / divisor < MAX_EDGE, SF_EDATA,
                 "%s: the enlarged patch has %g voxels on axis %d", where, reach[a] / divisor, a);
        out->initial[a] = (int64_t)(reach[a] / divisor);
        out->mirror[a] = dim == 3 || a > 0;
    }
    if (out->planar) out->initial[0] = patch[0];
    return SF_OK;
}

bool sf_sample_is_forced(int64_t batch, int64_t j, double fraction, bool at_least_one)
{
    if (at_least_one && j == batch - 1) return true;
    return (double)j >= rint((double)batch * (1.0 - fraction));
}

void sf_box_range(int64_t lo[3], int64_t hi[3], const int64_t image[3], const int64_t loaded[3],
                  const int64_t patch[3])
{
    for (int a = 0; a < 3; a++) {
        int64_t pad = loaded[a] - patch[a];
        if (pad + image[a] < loaded[a]) pad = loaded[a] - image[a];
        const int64_t half = floor_div(pad, 2);
        lo[a] = floor_div(-pad, 2);
        hi[a] = image[a] + half + (pad - 2 * half) - loaded[a];
    }
}

void sf_box_around(int64_t start[3], const int64_t lo[3], const int32_t voxel[3],
                   const int64_t loaded[3])
{
    for (int a = 0; a < 3; a++) {
        const int64_t centred = voxel[a] - loaded[a] / 2;
        start[a] = centred > lo[a] ? centred : lo[a];
    }
}

/* The entry of the locations that the box is drawn from, or -1 for a random box. */
static int draw_entry(sf_rng *rng, bool forced, const sf_locations *loc, int n_eval,
                      bool has_ignore)
{
    if (loc == NULL) return -1;
    const int classes = loc->n_entries < n_eval ? loc->n_entries : n_eval;
    const bool annotated = has_ignore && loc->n_entries > n_eval && loc->count[n_eval] > 0;
    if (forced) {
        int present = 0;
        for (int k = 0; k < classes; k++) present += loc->count[k] > 0;
        if (present > 0) {
            int64_t pick = sf_rng_below(rng, present);
            for (int k = 0; k < classes; k++) {
                if (loc->count[k] > 0 && pick-- == 0) return k;
            }
        }
    }
    return annotated ? n_eval : -1;
}

void sf_box_draw(int64_t start[3], sf_rng *rng, bool forced, const sf_locations *loc, int n_eval,
                 bool has_ignore, const int64_t image[3], const int64_t loaded[3],
                 const int64_t patch[3])
{
    int64_t lo[3], hi[3];
    sf_box_range(lo, hi, image, loaded, patch);
    const int entry = draw_entry(rng, forced, loc, n_eval, has_ignore);
    if (entry >= 0) {
        const int64_t row = sf_rng_below(rng, loc->count[entry]);
        sf_box_around(start, lo, loc->row[entry][row], loaded);
        return;
    }
    for (int a = 0; a < 3; a++) start[a] = lo[a] + sf_rng_below(rng, hi[a] - lo[a] + 1);
}
