#include "plan/arch.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CONVS = 64, MAX_FEATURES = 1 << 16 };

/** Last part of "a.b.C". */
static const char *class_name(const char *full)
{
    const char *dot = strrchr(full, '.');
    return dot ? dot + 1 : full;
}

/** One integer per stage; a single number stands for all. */
static sf_status read_counts(int *out, int n, const json_t *obj, const char *key, int max,
                             const char *where)
{
    const json_t *v = json_object_get(obj, key);
    SF_CHECK(json_is_integer(v) || (json_is_array(v) && (int)json_array_size(v) == n), SF_EDATA,
             "%s: \"%s\" must be a list of %d integers", where, key, n);
    for (int i = 0; i < n; i++) {
        const json_t *x = json_is_array(v) ? json_array_get(v, (size_t)i) : v;
        SF_CHECK(json_is_integer(x) && json_integer_value(x) >= 1 && json_integer_value(x) <= max,
                 SF_EDATA, "%s: \"%s\", entry %d must be an integer from 1 to %d", where, key, i,
                 max);
        out[i] = (int)json_integer_value(x);
    }
    return SF_OK;
}

/** Per stage one triple (pair in 2-D), right-aligned so that entry 0 of a pair is 1. The kernels
 *  know two values, 1 and `other`. */
static sf_status read_triples(int out[][3], int n, int dim, const json_t *obj, const char *key,
                              int other, const char *where)
{
    const json_t *v = json_object_get(obj, key);
    SF_CHECK(json_is_array(v) && (int)json_array_size(v) == n, SF_EDATA,
             "%s: \"%s\" must be a list of %d entries", where, key, n);
    for (int s = 0; s < n; s++) {
        const json_t *t = json_array_get(v, (size_t)s);
        const bool one = json_is_integer(t);
        SF_CHECK(one || (json_is_array(t) && (int)json_array_size(t) == dim), SF_EDATA,
                 "%s: \"%s\", stage %d must have %d entries", where, key, s, dim);
        out[s][0] = 1;
        for (int i = 0; i < dim; i++) {
            const json_t *x = one ? t : json_array_get(t, (size_t)i);
            const json_int_t k = json_is_integer(x) ? json_integer_value(x) : 0;
            SF_CHECK(k >= 1, SF_EDATA, "%s: \"%s\", stage %d: entries must be integers from 1",
                     where, key, s);
            SF_CHECK(k == 1 || k == other, SF_EUNSUPPORTED,
                     "%s: \"%s\", stage %d has %lld; 1 and %d are supported", where, key, s,
                     (long long)k, other);
            out[s][3 - dim + i] = (int)k;
        }
    }
    return SF_OK;
}

static sf_status read_features(sf_arch *a, const json_t *kwargs, const char *where)
{
    int f[SF_MAX_STAGES];
    SF_TRY(read_counts(f, a->n_stages, kwargs, "features_per_stage", MAX_FEATURES, where));
    for (int s = 0; s < a->n_stages; s++) a->features[s] = f[s];
    return SF_OK;
}

/** Kwarg `key` must name the class `known`, followed by the number of axes if dim > 0. */
static sf_status check_class(const json_t *kwargs, const char *key, const char *known, int dim,
                             const char *where)
{
    char want[32];
    const char *name = json_string_value(json_object_get(kwargs, key));
    snprintf(want, sizeof want, dim > 0 ? "%s%dd" : "%s", known, dim);
    SF_CHECK(name && strcmp(class_name(name), want) == 0, SF_EUNSUPPORTED,
             "%s: \"%s\" is \"%s\"; only %s is supported", where, key, name ? name : "null", want);
    return SF_OK;
}

static bool is_off(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) || (sf_json_is_num(v) && sf_json_num(v) == 0) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

/** A key that is not known changes the network in a way that we cannot follow, unless it is off. */
static sf_status check_keys(const json_t *obj, const char *const *known, const char *what,
                            const char *where)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)obj, key, v)
    {
        bool ok = is_off(v);
        for (int i = 0; known[i]; i++) ok = ok || strcmp(key, known[i]) == 0;
        SF_CHECK(ok, SF_EUNSUPPORTED,
                 "%s: %s has the key \"%s\", which is not supported: remove it, or check its "
                 "spelling",
                 where, what, key);
    }
    return SF_OK;
}

/** Dropout may be named, but not act. */
static sf_status check_dropout(const json_t *kwargs, const char *where)
{
    const json_t *op = json_object_get(kwargs, "dropout_op");
    const json_t *p = json_object_get(json_object_get(kwargs, "dropout_op_kwargs"), "p");
    const bool off = !op || json_is_null(op) || (sf_json_is_num(p) && sf_json_num(p) == 0);
    SF_CHECK(off, SF_EUNSUPPORTED,
             "%s: dropout is not supported: set \"dropout_op\" to null, as nnU-Net's own plans do",
             where);
    return SF_OK;
}

static sf_status read_norm(sf_arch *a, const json_t *kwargs, double eps, const char *where)
{
    static const char *const known[] = { "eps", "affine", NULL };
    const json_t *norm = json_object_get(kwargs, "norm_op_kwargs");
    SF_TRY(check_class(kwargs, "norm_op", "InstanceNorm", a->dim, where));
    SF_TRY(check_keys(norm, known, "norm_op_kwargs", where));
    SF_CHECK(json_is_true(json_object_get(norm, "affine")), SF_EUNSUPPORTED,
             "%s: norm_op_kwargs: only \"affine\": true is supported", where);
    a->eps = eps;
    if (json_object_get(norm, "eps")) SF_TRY(sf_json_get_num(&a->eps, norm, "eps", where));
    SF_CHECK(a->eps > 0 && a->eps < 1, SF_EDATA, "%s: norm_op_kwargs: eps must lie in (0, 1)",
             where);
    return SF_OK;
}

static sf_status read_activation(sf_arch *a, const json_t *kwargs, double slope, const char *where)
{
    static const char *const known[] = { "inplace", "negative_slope", NULL };
    const json_t *act = json_object_get(kwargs, "nonlin_kwargs");
    SF_TRY(check_class(kwargs, "nonlin", "LeakyReLU", 0, where));
    SF_TRY(check_keys(act, known, "nonlin_kwargs", where));
    a->slope = slope;
    if (json_object_get(act, "negative_slope"))
        SF_TRY(sf_json_get_num(&a->slope, act, "negative_slope", where));
    SF_CHECK(a->slope >= 0 && a->slope <= 1, SF_EDATA,
             "%s: nonlin_kwargs: negative_slope must lie in [0, 1]", where);
    return SF_OK;
}

static sf_status read_units(sf_arch *a, const json_t *kwargs, const sf_recipe_train *r,
                            const char *where)
{
    SF_TRY(check_class(kwargs, "conv_op", "Conv", a->dim, where));
    SF_TRY(check_dropout(kwargs, where));
    SF_TRY(read_norm(a, kwargs, r->norm_eps, where));
    SF_TRY(read_activation(a, kwargs, r->leaky_slope, where));
    return sf_json_get_bool(&a->conv_bias, kwargs, "conv_bias", where);
}

static sf_status read_stages(sf_arch *a, const json_t *kwargs, const char *where)
{
    int64_t n = 0;
    SF_TRY(sf_json_get_int(&n, kwargs, "n_stages", where));
    SF_CHECK(n >= 2 && n <= SF_MAX_STAGES, SF_EDATA,
             "%s: n_stages is %lld; 2 to %d are possible (a U-Net needs one pooling: enlarge the "
             "patch)",
             where, (long long)n, (int)SF_MAX_STAGES);
    a->n_stages = (int)n;
    SF_TRY(read_features(a, kwargs, where));
    SF_TRY(read_triples(a->kernel, a->n_stages, a->dim, kwargs, "kernel_sizes", 3, where));
    SF_TRY(read_triples(a->stride, a->n_stages, a->dim, kwargs, "strides", 2, where));
    for (int i = 0; i < 3; i++)
        SF_CHECK(a->stride[0][i] == 1, SF_EUNSUPPORTED,
                 "%s: \"strides\": the first stage must not be strided (entry 0 all 1)", where);
    return SF_OK;
}

static sf_status read_architecture(sf_arch *a, const json_t *arch, const sf_recipe_train *r,
                                   const char *where)
{
    const char *known[] = { "n_stages",
                            "features_per_stage",
                            "conv_op",
                            "kernel_sizes",
                            "strides",
                            "n_conv_per_stage_decoder",
                            "conv_bias",
                            "norm_op",
                            "norm_op_kwargs",
                            "dropout_op",
                            "dropout_op_kwargs",
                            "nonlin",
                            "nonlin_kwargs",
                            NULL,
                            NULL };
    const char *full = NULL;
    json_t *kwargs = NULL;
    SF_TRY(sf_json_get_str(&full, arch, "network_class_name", where));
    SF_TRY(sf_json_get(&kwargs, arch, "arch_kwargs", where));
    const char *name = class_name(full);
    const bool plain = strcmp(name, "PlainConvUNet") == 0;
    SF_CHECK(plain || strcmp(name, "ResidualEncoderUNet") == 0, SF_EUNSUPPORTED,
             "%s: network \"%s\"; PlainConvUNet and ResidualEncoderUNet are supported", where,
             full);
    a->net = plain ? SF_NET_PLAIN : SF_NET_RESENC;
    const char *blocks = plain ? "n_conv_per_stage" : "n_blocks_per_stage";
    known[sizeof known / sizeof *known - 2] = blocks;
    SF_TRY(check_keys(kwargs, known, "arch_kwargs", where));
    SF_TRY(read_stages(a, kwargs, where));
    SF_TRY(read_counts(a->blocks, a->n_stages, kwargs, blocks, MAX_CONVS, where));
    SF_TRY(read_counts(a->decoder_convs, a->n_stages - 1, kwargs, "n_conv_per_stage_decoder",
                       MAX_CONVS, where));
    return read_units(a, kwargs, r, where);
}

/** The flat keys as an `architecture` object; what they do not say was fixed at the time. */
static sf_status convert_old(json_t **out, const json_t *cfg, int dim, const char *where)
{
    const char *name = NULL;
    json_t *convs = NULL, *decoder = NULL, *strides = NULL, *kernels = NULL;
    int64_t base = 0, max = 0;
    SF_TRY(sf_json_get_str(&name, cfg, "UNet_class_name", where));
    SF_TRY(sf_json_get_int(&base, cfg, "UNet_base_num_features", where));
    SF_TRY(sf_json_get_int(&max, cfg, "unet_max_num_features", where));
    SF_TRY(sf_json_get(&convs, cfg, "n_conv_per_stage_encoder", where));
    SF_TRY(sf_json_get(&decoder, cfg, "n_conv_per_stage_decoder", where));
    SF_TRY(sf_json_get(&strides, cfg, "pool_op_kernel_sizes", where));
    SF_TRY(sf_json_get(&kernels, cfg, "conv_kernel_sizes", where));
    const size_t n = json_array_size(convs);
    SF_CHECK(n >= 1 && n <= SF_MAX_STAGES && base >= 1 && max >= base && max <= MAX_FEATURES,
             SF_EDATA, "%s: n_conv_per_stage_encoder or the feature counts are out of range",
             where);
    json_t *features = json_array();
    for (size_t s = 0; features && s < n; s++)
        json_array_append_new(features, json_integer(base << s < max ? base << s : max));
    const char *blocks = strstr(name, "Residual") ? "n_blocks_per_stage" : "n_conv_per_stage";
    const char *d = dim == 2 ? "2d" : "3d";
    *out = json_pack("{s:s, s:{s:i, s:o, s:s+, s:O, s:O, s:O, s:O, s:b, s:s+, s:{s:f, s:b}, s:n, "
                     "s:s}}",
                     "network_class_name", name, "arch_kwargs", "n_stages", (int)n,
                     "features_per_stage", features, "conv_op", "Conv", d, "kernel_sizes", kernels,
                     "strides", strides, blocks, convs, "n_conv_per_stage_decoder", decoder,
                     "conv_bias", 1, "norm_op", "InstanceNorm", d, "norm_op_kwargs", "eps", 1e-5,
                     "affine", 1, "dropout_op", "nonlin", "LeakyReLU");
    SF_CHECK(*out, SF_ENOMEM, "%s: out of memory", where);
    return SF_OK;
}

sf_status sf_arch_read(sf_arch *a, const json_t *cfg, int dim, const sf_recipe_train *r,
                       const char *where)
{
    json_t *arch = json_object_get(cfg, "architecture"), *old = NULL;
    memset(a, 0, sizeof *a);
    a->dim = dim;
    for (int s = 0; s < SF_MAX_STAGES; s++)
        for (int i = 0; i < 3; i++) a->kernel[s][i] = a->stride[s][i] = 1;
    if (!arch) {
        SF_CHECK(json_object_get(cfg, "UNet_class_name"), SF_EDATA,
                 "%s: no \"architecture\" (and none of the keys that older plans have)", where);
        SF_TRY(convert_old(&old, cfg, dim, where));
        arch = old;
    }
    const sf_status st = read_architecture(a, arch, r, where);
    json_decref(old);
    return st;
}

static json_t *triples_json(const int v[][3], int n, int dim)
{
    json_t *all = json_array();
    for (int s = 0; all && s < n; s++) {
        json_t *one = json_array();
        for (int i = 3 - dim; one && i < 3; i++) json_array_append_new(one, json_integer(v[s][i]));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *counts_json(const int *v, int n)
{
    json_t *all = json_array();
    for (int s = 0; all && s < n; s++) json_array_append_new(all, json_integer(v[s]));
    return all;
}

json_t *sf_arch_json(const sf_arch *a)
{
    const bool plain = a->net == SF_NET_PLAIN;
    char conv[48], norm[64], net[80];
    snprintf(conv, sizeof conv, "torch.nn.modules.conv.Conv%dd", a->dim);
    snprintf(norm, sizeof norm, "torch.nn.modules.instancenorm.InstanceNorm%dd", a->dim);
    snprintf(net, sizeof net, "dynamic_network_architectures.architectures.unet.%s",
             plain ? "PlainConvUNet" : "ResidualEncoderUNet");
    return json_pack(
        "{s:s, s:{s:i, s:o, s:s, s:o, s:o, s:o, s:o, s:b, s:s, s:{s:f, s:b}, s:n, s:n, s:s, "
        "s:{s:b}},"
        " s:[s, s, s, s]}",
        "network_class_name", net, "arch_kwargs", "n_stages", a->n_stages, "features_per_stage",
        sf_json_ints(a->features, a->n_stages), "conv_op", conv, "kernel_sizes",
        triples_json(a->kernel, a->n_stages, a->dim), "strides",
        triples_json(a->stride, a->n_stages, a->dim),
        plain ? "n_conv_per_stage" : "n_blocks_per_stage", counts_json(a->blocks, a->n_stages),
        "n_conv_per_stage_decoder", counts_json(a->decoder_convs, a->n_stages - 1), "conv_bias",
        a->conv_bias ? 1 : 0, "norm_op", norm, "norm_op_kwargs", "eps", a->eps, "affine", 1,
        "dropout_op", "dropout_op_kwargs", "nonlin", "torch.nn.LeakyReLU", "nonlin_kwargs",
        "inplace", 1, "_kw_requires_import", "conv_op", "norm_op", "dropout_op", "nonlin");
}
