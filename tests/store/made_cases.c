#include "tests/store/made_cases.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t shapes[TST_CASES][3] = { { 4, 5, 6 },    { 1, 7, 9 }, { 3, 3, 3 },
                                              { 20, 21, 22 }, { 1, 1, 1 }, { 5, 1, 3 },
                                              { 33, 16, 17 } };

static void need(sf_status st)
{
    if (st == SF_OK) return;
    fprintf(stderr, "made_cases: %s\n", sf_error_text());
    abort();
}

static void make_locations(sf_prepared *p, int k, sf_rng *r)
{
    sf_locations *l = &p->loc;
    l->n_entries = k % 4; /* none for some */
    if (l->n_entries == 0) return;
    need(sf_mem_calloc(&l->count, (size_t)l->n_entries, sizeof *l->count, SF_MEM_MISC));
    need(sf_mem_calloc(&l->row, (size_t)l->n_entries, sizeof *l->row, SF_MEM_MISC));
    for (int e = 0; e < l->n_entries; e++) {
        l->count[e] = e == 1 ? 0 : sf_rng_below(r, 200) + (k == 3); /* an empty entry in between */
        if (l->count[e] == 0) continue;
        need(sf_mem_alloc(&l->row[e], (size_t)l->count[e], sizeof *l->row[e], SF_MEM_MISC));
        for (int64_t i = 0; i < l->count[e]; i++)
            for (int a = 0; a < 3; a++)
                l->row[e][i][a] = (int32_t)sf_rng_below(r, p->props.shape[a]);
    }
}

sf_prepared *tst_make_case(int k)
{
    if (k < 0 || k >= TST_CASES) return NULL;
    sf_rng r;
    sf_rng_init(&r, &(sf_rng_key){ .seed = 5, .sample = (uint32_t)k, .purpose = SF_RNG_TEST });
    sf_prepared *p;
    need(sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC));
    need(sf_mem_printf(&p->id, "case_%03d", (k * 5 + 3) % TST_CASES)); /* not in order of k */
    for (int a = 0; a < 3; a++) {
        p->props.shape[a] = shapes[k][a];
        p->props.spacing[a] = 0.1 * (a + 1) + k;
        p->props.spacing_file[2 - a] = p->props.spacing[a];
        p->props.shape_before_crop[a] = shapes[k][a] + 10;
        p->props.bbox_lo[a] = a;
        p->props.bbox_hi[a] = shapes[k][a] + a;
        p->props.shape_after_crop[a] = shapes[k][a];
    }
    p->channels = 1 + k % 3;
    const size_t n = (size_t)(shapes[k][0] * shapes[k][1] * shapes[k][2]);
    need(sf_mem_alloc(&p->data, n * (size_t)p->channels, sizeof *p->data, SF_MEM_MISC));
    sf_rng_fill_normal(&r, (int64_t)n * p->channels, p->data);
    if (k != 5) {
        need(sf_mem_alloc(&p->seg, n, sizeof *p->seg, SF_MEM_MISC));
        for (size_t i = 0; i < n; i++) p->seg[i] = (int16_t)(sf_rng_below(&r, 5) - 1);
    }
    make_locations(p, k, &r);
    return p;
}

json_t *tst_make_meta(void)
{
    return json_pack("{s:s,s:i,s:s}", "configuration", "3d_fullres", "number", 42, "plans",
                     "\xc3\xa4"
                     "bc");
}

static bool same_locations(const sf_locations *a, const sf_locations *b)
{
    if (a->n_entries != b->n_entries) return false;
    for (int e = 0; e < a->n_entries; e++) {
        if (a->count[e] != b->count[e]) return false;
        if (a->count[e] > 0 &&
            memcmp(a->row[e], b->row[e], (size_t)a->count[e] * sizeof *a->row[e]) != 0)
            return false;
    }
    return true;
}

static bool same_case(const sf_case_view *v, const sf_prepared *p)
{
    const int64_t *s = p->props.shape;
    const size_t n = (size_t)(s[0] * s[1] * s[2]);
    return v->channels == p->channels && memcmp(&v->props, &p->props, sizeof p->props) == 0 &&
           memcmp(v->data, p->data, n * (size_t)p->channels * sizeof *p->data) == 0 &&
           (v->seg == NULL) == (p->seg == NULL) &&
           (v->seg == NULL || memcmp(v->seg, p->seg, n * sizeof *p->seg) == 0) &&
           same_locations(v->loc, &p->loc) && (uintptr_t)v->data % sizeof(float) == 0;
}

int tst_compare_cases(const sf_cases *c, int n)
{
    if (sf_cases_count(c) != n) return 1000;
    const char *a = sf_cases_meta(c, "configuration"), *b = sf_cases_meta(c, "number");
    const char *d = sf_cases_meta(c, "plans");
    if (!a || strcmp(a, "3d_fullres") != 0 || !b || strcmp(b, "42") != 0) return 1;
    if (!d ||
        strcmp(d, "\xc3\xa4"
                  "bc") != 0 ||
        sf_cases_meta(c, "absent") != NULL)
        return 1;
    for (int k = 0; k < n; k++) {
        sf_prepared *p = tst_make_case(k);
        sf_case_view v;
        const int i = sf_cases_index(c, p->id);
        const bool good = i >= 0 && sf_cases_get(c, i, &v) == SF_OK && strcmp(v.id, p->id) == 0 &&
                          same_case(&v, p);
        sf_prepared_destroy(&p);
        if (!good) return 10 + k;
    }
    return 0;
}

void tst_digest_cases(char hex[65], const sf_cases *c)
{
    sf_sha256 h;
    sf_sha256_begin(&h);
    for (int i = 0; i < sf_cases_count(c); i++) {
        sf_case_view v;
        need(sf_cases_get(c, i, &v));
        const size_t n = (size_t)(v.props.shape[0] * v.props.shape[1] * v.props.shape[2]);
        sf_sha256_add(&h, v.id, strlen(v.id));
        sf_sha256_add(&h, &v.props, sizeof v.props);
        sf_sha256_add(&h, v.data, n * (size_t)v.channels * sizeof *v.data);
        if (v.seg) sf_sha256_add(&h, v.seg, n * sizeof *v.seg);
        for (int e = 0; e < v.loc->n_entries; e++) {
            sf_sha256_add(&h, &v.loc->count[e], sizeof *v.loc->count);
            if (v.loc->count[e] > 0)
                sf_sha256_add(&h, v.loc->row[e], (size_t)v.loc->count[e] * sizeof *v.loc->row[e]);
        }
    }
    sf_sha256_end(&h, hex);
}
