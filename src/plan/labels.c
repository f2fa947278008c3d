#include "plan/labels.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum { MAX_LABEL = 32000, MAX_REGIONS = 64, BLOCK = 2048 };

/* Which label values are declared, by value. */
typedef struct {
    bool seen[MAX_LABEL + 2];
    int max; /* -1 = none yet */
} label_set;

static sf_status read_label(int *out, const json_t *v, const char *name, const char *where)
{
    SF_CHECK(json_is_integer(v), SF_EDATA,
             "%s: label \"%s\" must be an integer or a list of "
             "integers",
             where, name);
    const long long x = json_integer_value(v);
    SF_CHECK(x >= 0 && x <= MAX_LABEL, SF_EDATA, "%s: label \"%s\" is %lld; 0 to %d are possible",
             where, name, x, (int)MAX_LABEL);
    *out = (int)x;
    return SF_OK;
}

static sf_status collect(label_set *set, const json_t *v, const char *name, const char *where)
{
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    SF_CHECK(n > 0, SF_EDATA, "%s: label \"%s\" is an empty list", where, name);
    for (size_t i = 0; i < n; i++) {
        int x = 0;
        SF_TRY(read_label(&x, json_is_array(v) ? json_array_get(v, i) : v, name, where));
        set->seen[x] = true;
        if (x > set->max) set->max = x;
    }
    return SF_OK;
}

/** Background there and 0; all values consecutive; ignore = highest + 1. */
static sf_status read_values(sf_labels *l, label_set *set, const json_t *labels, const char *where)
{
    const char *name;
    json_t *v;
    const json_t *bg = json_object_get(labels, "background");
    SF_CHECK(json_is_integer(bg) && json_integer_value(bg) == 0, SF_EDATA,
             "%s: \"labels\" must contain \"background\": 0", where);
    l->ignore = -1;
    set->max = -1;
    json_object_foreach((json_t *)labels, name, v)
    {
        l->n_entries++;
        if (strcmp(name, "ignore") == 0)
            SF_TRY(read_label(&l->ignore, v, name, where));
        else
            SF_TRY(collect(set, v, name, where));
        l->has_regions = l->has_regions || (json_is_array(v) && json_array_size(v) > 1);
    }
    for (int i = 0; i <= set->max; i++)
        SF_CHECK(set->seen[i], SF_EDATA,
                 "%s: labels must be consecutive, but %d is missing below %d", where, i, set->max);
    SF_CHECK(l->ignore < 0 || l->ignore == set->max + 1, SF_EDATA,
             "%s: the ignore label is %d; it must be the highest label plus one, %d", where,
             l->ignore, set->max + 1);
    l->n_labels = set->max + 1;
    return SF_OK;
}

static bool is_background(const json_t *v)
{
    if (!json_is_array(v)) return json_integer_value(v) == 0;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (json_integer_value(json_array_get(v, i)) != 0) return false;
    return true;
}

/** Python's str() of a label or of a tuple: the keys of summary.json. */
static sf_status make_key(char **out, const int *value, int count, bool is_list)
{
    char text[16];
    size_t size = 4;
    if (!is_list) return sf_mem_printf(out, "%d", value[0]);
    for (int i = 0; i < count; i++) size += (size_t)snprintf(text, sizeof text, "%d, ", value[i]);
    SF_TRY(sf_mem_alloc(out, size, 1, SF_MEM_MISC));
    strcpy(*out, "(");
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text, i ? ", %d" : "%d", value[i]);
        strcat(*out, text);
    }
    strcat(*out, count == 1 ? ",)" : ")");
    return SF_OK;
}

static sf_status add_eval(sf_labels *l, const char *name, const int *value, int count, bool is_list)
{
    SF_TRY(sf_mem_resize(&l->eval, (size_t)l->n_eval + 1, sizeof *l->eval, SF_MEM_MISC));
    const int e = l->n_eval++;
    memset(&l->eval[e], 0, sizeof l->eval[e]);
    l->eval[e].count = count;
    l->eval[e].is_list = is_list;
    SF_TRY(sf_mem_alloc(&l->eval[e].value, (size_t)count, sizeof(int), SF_MEM_MISC));
    memcpy(l->eval[e].value, value, (size_t)count * sizeof(int));
    SF_TRY(sf_mem_strdup(&l->eval[e].name, name));
    return make_key(&l->eval[e].key, value, count, is_list);
}

static bool holds(const json_t *v, int label)
{
    if (!json_is_array(v)) return json_integer_value(v) == label;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (json_integer_value(json_array_get(v, i)) == label) return true;
    return false;
}

/** Softmax mode: one evaluated thing per label > 0, ascending, named by its first entry. */
static sf_status make_classes(sf_labels *l, const json_t *labels)
{
    l->n_heads = l->n_labels;
    for (int label = 1; label < l->n_labels; label++) {
        const char *name, *found = "";
        json_t *v;
        json_object_foreach((json_t *)labels, name, v)
        {
            if (strcmp(name, "ignore") == 0 || !holds(v, label)) continue;
            found = name;
            break;
        }
        SF_TRY(add_eval(l, found, &label, 1, false));
    }
    return SF_OK;
}

static sf_status add_region(sf_labels *l, const char *name, const json_t *v)
{
    const bool is_list = json_is_array(v);
    const int count = is_list ? (int)json_array_size(v) : 1;
    int *value = NULL;
    SF_TRY(sf_mem_alloc(&value, (size_t)count, sizeof *value, SF_MEM_MISC));
    for (int i = 0; i < count; i++)
        value[i] = (int)json_integer_value(is_list ? json_array_get(v, (size_t)i) : v);
    const sf_status st = add_eval(l, name, value, count, is_list);
    sf_mem_free(value);
    return st;
}

static sf_status make_region_bits(sf_labels *l)
{
    SF_TRY(sf_mem_calloc(&l->region_of, (size_t)l->n_labels, sizeof *l->region_of, SF_MEM_MISC));
    for (int e = 0; e < l->n_eval; e++)
        for (int i = 0; i < l->eval[e].count; i++)
            l->region_of[l->eval[e].value[i]] |= (uint64_t)1 << e;
    return SF_OK;
}

static sf_status read_class_order(sf_labels *l, const json_t *root, const char *where)
{
    const json_t *order = json_object_get(root, "regions_class_order");
    SF_CHECK(json_is_array(order) && (int)json_array_size(order) == l->n_eval, SF_EDATA,
             "%s: labels with regions need \"regions_class_order\": a list of %d labels, one per "
             "region in the order of \"labels\"",
             where, l->n_eval);
    SF_TRY(sf_mem_calloc(&l->regions_class_order, (size_t)l->n_eval, sizeof(int), SF_MEM_MISC));
    for (int i = 0; i < l->n_eval; i++) {
        SF_TRY(read_label(&l->regions_class_order[i], json_array_get(order, (size_t)i),
                          "regions_class_order", where));
        SF_CHECK(l->regions_class_order[i] < l->n_labels, SF_EDATA,
                 "%s: regions_class_order names label %d, which \"labels\" does not declare", where,
                 l->regions_class_order[i]);
    }
    return SF_OK;
}

static sf_status make_regions(sf_labels *l, const json_t *root, const json_t *labels,
                              const char *where)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)labels, name, v)
    {
        if (strcmp(name, "ignore") == 0 || is_background(v)) continue;
        SF_CHECK(l->n_eval < MAX_REGIONS, SF_EUNSUPPORTED, "%s: more than %d regions", where,
                 (int)MAX_REGIONS);
        SF_TRY(add_region(l, name, v));
    }
    l->n_heads = l->n_eval;
    SF_TRY(make_region_bits(l));
    return read_class_order(l, root, where);
}

sf_status sf_labels_parse(sf_labels *l, const json_t *root, const char *where)
{
    json_t *labels = NULL;
    label_set *set = NULL;
    SF_TRY(sf_json_get(&labels, root, "labels", where));
    SF_CHECK(json_is_object(labels), SF_EDATA,
             "%s: \"labels\" must be an object: name -> integer or list of integers", where);
    SF_TRY(sf_mem_calloc(&set, 1, sizeof *set, SF_MEM_MISC));
    sf_status st = read_values(l, set, labels, where);
    if (st == SF_OK && l->n_labels < 2)
        st = SF_FAIL(SF_EDATA, "%s: \"labels\" declares no foreground", where);
    if (st == SF_OK)
        st = l->has_regions ? make_regions(l, root, labels, where) : make_classes(l, labels);
    sf_mem_free(set);
    return st;
}

sf_status sf_labels_list(sf_labels *l, const int *label, int n, int ignore, const char *where)
{
    SF_CHECK(n > 0 && n <= MAX_REGIONS, SF_EINVAL, "%s: 1 to %d labels are possible, not %d", where,
             (int)MAX_REGIONS, n);
    l->ignore = ignore;
    for (int i = 0; i < n; i++) {
        char name[16];
        SF_CHECK(label[i] > 0 && label[i] <= MAX_LABEL, SF_EINVAL,
                 "%s: label %d; 1 to %d are possible", where, label[i], (int)MAX_LABEL);
        SF_CHECK(label[i] != ignore, SF_EINVAL, "%s: %d is the ignore label", where, ignore);
        for (int k = 0; k < i; k++)
            SF_CHECK(label[k] != label[i], SF_EINVAL, "%s: label %d comes twice", where, label[i]);
        snprintf(name, sizeof name, "%d", label[i]);
        SF_TRY(add_eval(l, name, &label[i], 1, false));
        if (label[i] >= l->n_labels) l->n_labels = label[i] + 1;
    }
    return make_region_bits(l);
}

void sf_labels_free(sf_labels *l)
{
    for (int e = 0; e < l->n_eval; e++) {
        sf_mem_free(l->eval[e].value);
        sf_mem_free(l->eval[e].name);
        sf_mem_free(l->eval[e].key);
    }
    sf_mem_free(l->eval);
    sf_mem_free(l->regions_class_order);
    sf_mem_free(l->region_of);
    memset(l, 0, sizeof *l);
}

bool sf_labels_contains(const sf_labels *l, int e, int label)
{
    for (int i = 0; i < l->eval[e].count; i++)
        if (l->eval[e].value[i] == label) return true;
    return false;
}

/** First maximum of n voxels; best is scratch. Heads are walked outside so that memory streams. */
static void decide_softmax(const sf_labels *l, const float *v, int64_t stride, int n, float *best,
                           int32_t *out)
{
    for (int i = 0; i < n; i++) {
        best[i] = v[i];
        out[i] = 0;
    }
    for (int h = 1; h < l->n_heads; h++) {
        const float *x = v + h * stride;
        for (int i = 0; i < n; i++) {
            const bool more = x[i] > best[i];
            best[i] = more ? x[i] : best[i];
            out[i] = more ? h : out[i];
        }
    }
}

static void decide_regions(const sf_labels *l, const float *v, int64_t stride, float limit, int n,
                           int32_t *out)
{
    for (int i = 0; i < n; i++) out[i] = 0;
    for (int h = 0; h < l->n_heads; h++) {
        const float *x = v + h * stride;
        const int label = l->regions_class_order[h];
        for (int i = 0; i < n; i++) out[i] = x[i] > limit ? label : out[i];
    }
}

void sf_labels_decide_part(const sf_labels *l, const float *values, int64_t stride, bool are_logits,
                           int64_t voxels, int32_t *out)
{
    float best[BLOCK];
    for (int64_t at = 0; at < voxels; at += BLOCK) {
        const int n = voxels - at < BLOCK ? (int)(voxels - at) : BLOCK;
        if (l->has_regions)
            decide_regions(l, values + at, stride, are_logits ? 0.0f : 0.5f, n, out + at);
        else
            decide_softmax(l, values + at, stride, n, best, out + at);
    }
}

void sf_labels_decide(const sf_labels *l, const float *values, bool are_logits, int64_t voxels,
                      int32_t *out)
{
    sf_labels_decide_part(l, values, voxels, are_logits, voxels, out);
}
