#include "base/log.h"
#include "base/mem.h"
#include "plan/dataset.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Checks of one case that need its voxels (nnunet-planning.md 2: 9..14). All are made, so that the
 * user sees every problem of a dataset in one run. */

typedef struct {
    char *text; /* NULL = fine so far */
    const char *id;
} problems;

static sf_status note(problems *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static sf_status note(problems *p, const char *fmt, ...)
{
    char line[1400];
    char *all = NULL;
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (p->text)
        SF_TRY(sf_mem_printf(&all, "%s\ncase %s: %s", p->text, p->id, line));
    else
        SF_TRY(sf_mem_printf(&all, "case %s: %s", p->id, line));
    sf_mem_free(p->text);
    p->text = all;
    return SF_OK;
}

/** A failure of reading is a problem of the case; only our own shortage stops the run. */
static sf_status note_failure(problems *p, sf_status st)
{
    if (st == SF_OK) return SF_OK;
    if (st == SF_ENOMEM || st == SF_EINTERNAL) return st;
    char text[1024];
    snprintf(text, sizeof text, "%s", sf_error_text());
    sf_error_clear();
    return note(p, "%s", text);
}

static bool is_declared(const sf_labels *l, int32_t v)
{
    return (v >= 0 && v < l->n_labels) || (l->ignore >= 0 && v == l->ignore);
}

static sf_status check_labels(problems *p, const sf_dataset *d, const sf_label_image *lab,
                              const char *file)
{
    const int64_t *s = lab->geo.shape, n = s[0] * s[1] * s[2];
    for (int64_t i = 0; i < n; i++)
        if (!is_declared(&d->labels, lab->data[i]))
            return note(p,
                        "%s: label value %d is not declared in dataset.json (voxel z=%lld y=%lld "
                        "x=%lld)",
                        file, (int)lab->data[i], (long long)(i / (s[1] * s[2])),
                        (long long)(i / s[2] % s[1]), (long long)(i % s[2]));
    return SF_OK;
}

/** seen[l] goes up by one for every label l that occurs; undeclared ones are noted elsewhere. */
static sf_status count_labels(int64_t *seen, const sf_labels *l, const sf_label_image *lab)
{
    const int64_t *s = lab->geo.shape, n = s[0] * s[1] * s[2];
    bool *here = NULL;
    SF_TRY(sf_mem_calloc(&here, (size_t)l->n_labels, sizeof *here, SF_MEM_SCRATCH));
    for (int64_t i = 0; i < n; i++)
        if (lab->data[i] >= 0 && lab->data[i] < l->n_labels) here[lab->data[i]] = true;
    for (int k = 0; k < l->n_labels; k++) seen[k] += here[k];
    sf_mem_free(here);
    return SF_OK;
}

static bool close_to(double a, double b) { return fabs(a - b) <= 1e-8 + 1e-5 * fabs(b); }

static bool same_affine(const sf_geometry *a, const sf_geometry *b)
{
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++)
            if (fabs(a->affine[i][k] - b->affine[i][k]) > 1e-3 + 1e-5 * fabs(b->affine[i][k]))
                return false;
    return true;
}

static sf_status compare(problems *p, const sf_case *c, const sf_image *img,
                         const sf_label_image *lab)
{
    const sf_geometry *a = &img->geo, *b = &lab->geo;
    bool spacing = true;
    for (int i = 0; i < 3; i++) {
        if (a->shape[i] != b->shape[i])
            return note(p, "%s is %lld x %lld x %lld voxels, its image %lld x %lld x %lld",
                        c->label, (long long)b->shape[0], (long long)b->shape[1],
                        (long long)b->shape[2], (long long)a->shape[0], (long long)a->shape[1],
                        (long long)a->shape[2]);
        spacing = spacing && close_to(a->spacing[i], b->spacing[i]);
    }
    if (!spacing)
        SF_TRY(note(p, "%s has spacing %g, %g, %g, its image %g, %g, %g", c->label, b->spacing[0],
                    b->spacing[1], b->spacing[2], a->spacing[0], a->spacing[1], a->spacing[2]));
    if (img->warned_affine || (a->format == b->format && !same_affine(a, b)))
        sf_log(SF_LOG_WARN, "verify", "case=%s origin or direction differ between its files",
               c->id);
    return SF_OK;
}

static sf_status check(problems *p, const sf_dataset *d, const sf_case *c, int64_t *seen)
{
    sf_image *img = NULL;
    sf_label_image *lab = NULL;
    sf_status st = SF_OK;
    SF_GOTO(done, st, note_failure(p, sf_case_read(&img, c)));
    if (c->label) SF_GOTO(done, st, note_failure(p, sf_label_image_read(&lab, c->label)));
    if (lab) SF_GOTO(done, st, check_labels(p, d, lab, c->label));
    if (lab && seen) SF_GOTO(done, st, count_labels(seen, &d->labels, lab));
    if (img && img->channels != d->n_channels)
        SF_GOTO(done, st,
                note(p, "%s: %d channels were read, dataset.json names %d", c->images[0],
                     img->channels, d->n_channels));
    if (img && lab) SF_GOTO(done, st, compare(p, c, img, lab));
done:
    sf_image_destroy(&img);
    sf_label_image_destroy(&lab);
    return st;
}

static const char *label_name(const sf_labels *l, int label)
{
    for (int e = 0; e < l->n_eval; e++)
        if (sf_labels_contains(l, e, label)) return l->eval[e].name;
    return "";
}

sf_status sf_dataset_verify_labels(char **text, const sf_dataset *d, const int64_t *seen)
{
    const sf_labels *l = &d->labels;
    int missing = 0;
    *text = NULL;
    for (int k = 1; k < l->n_labels; k++) {
        char *all = NULL;
        if (seen[k] > 0) continue;
        missing++;
        const sf_status st =
            sf_mem_printf(&all,
                          "%slabel %d (%s) occurs in none of the %d training cases: nothing can be "
                          "learned for it\n",
                          *text ? *text : "", k, label_name(l, k), d->n_train);
        sf_mem_free(*text);
        *text = all;
        SF_TRY(st);
    }
    SF_CHECK(missing < l->n_labels - 1, SF_EDATA,
             "%s: no training case has a labelled voxel; were the right label files copied?",
             d->dir);
    return SF_OK;
}

sf_status sf_dataset_verify_case(const sf_dataset *d, const sf_case *c, char **problem,
                                 int64_t *seen)
{
    problems p = { NULL, c->id };
    const sf_status st = check(&p, d, c, seen);
    if (st != SF_OK) {
        sf_mem_free(p.text);
        *problem = NULL;
        return sf_trace_(st, __FILE__, __LINE__, "check");
    }
    *problem = p.text;
    return p.text ? SF_FAIL(SF_EDATA, "%s", p.text) : SF_OK;
}
