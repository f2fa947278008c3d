#include "json_compare.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static double number_equal(const json_t *got, const json_t *want, double tolerance,
                           const char *where)
{
    const double a = sf_json_num(got), b = sf_json_num(want);
    if (isnan(a) && isnan(b)) return 0.0;
    const double d = fabs(a - b);
    const double allowed = json_is_integer(want) ? 0.0 : tolerance * fmax(1.0, fabs(b));
    if (!(d <= allowed)) fail_msg("%s: %.17g, not %.17g", where, a, b);
    return d / fmax(1.0, fabs(b));
}

static double object_equal(const json_t *got, const json_t *want, double tolerance,
                           const char *where)
{
    const char *key;
    json_t *v;
    double worst = 0.0;
    if (json_object_size(got) != json_object_size(want)) fail_msg("%s: other keys", where);
    json_object_foreach((json_t *)want, key, v)
    {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", where, key);
        if (!json_object_get(got, key)) fail_msg("%s is missing", path);
        worst = fmax(worst, tst_json_equal(json_object_get(got, key), v, tolerance, path));
    }
    return worst;
}

double tst_json_equal(const json_t *got, const json_t *want, double tolerance, const char *where)
{
    double worst = 0.0;
    if (sf_json_is_num(want)) {
        if (!sf_json_is_num(got)) fail_msg("%s: not a number", where);
        return number_equal(got, want, tolerance, where);
    }
    if (json_is_object(want)) {
        if (!json_is_object(got)) fail_msg("%s: not an object", where);
        return object_equal(got, want, tolerance, where);
    }
    if (json_is_array(want)) {
        if (json_array_size(got) != json_array_size(want)) fail_msg("%s: other length", where);
        for (size_t i = 0; i < json_array_size(want); i++) {
            char path[512];
            snprintf(path, sizeof path, "%s[%zu]", where, i);
            worst = fmax(worst, tst_json_equal(json_array_get(got, i), json_array_get(want, i),
                                               tolerance, path));
        }
        return worst;
    }
    if (!json_equal(got, want)) fail_msg("%s: other value", where);
    return 0.0;
}
