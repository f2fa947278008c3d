#include "plan/case_print.h"
#include "base/mem.h"
#include "image/nonzero.h"
#include <string.h>

enum { MAGIC = 0x73667031 }; /* "sfp1" */

/* Packed form: header, then per channel n, n floats (padded to 8 bytes), n cumulative counts. */
typedef struct {
    uint32_t magic, n_channels;
    int64_t shape_before[3], shape_after[3];
    double spacing[3];
} packed_header;

void sf_case_print_destroy(sf_case_print **p)
{
    if (!p || !*p) return;
    if ((*p)->channel)
        for (int c = 0; c < (*p)->n_channels; c++) sf_histogram_free(&(*p)->channel[c]);
    sf_mem_free((*p)->channel);
    sf_mem_free(*p);
    *p = NULL;
}

static sf_status create(sf_case_print **out, int n_channels)
{
    sf_case_print *p = NULL;
    SF_TRY(sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC));
    p->n_channels = n_channels;
    const sf_status st =
        sf_mem_calloc(&p->channel, (size_t)n_channels, sizeof *p->channel, SF_MEM_MISC);
    if (st != SF_OK) sf_case_print_destroy(&p);
    *out = p;
    return st;
}

static sf_status crop_box(sf_box *box, const sf_image *img)
{
    const int64_t *s = img->geo.shape;
    uint8_t *mask = NULL;
    SF_TRY(sf_mem_alloc(&mask, (size_t)(s[0] * s[1] * s[2]), 1, SF_MEM_IMAGE));
    const sf_status st = sf_nonzero_mask(img->data, img->channels, s, mask);
    if (st == SF_OK) sf_nonzero_box(mask, s, box);
    sf_mem_free(mask);
    return st;
}

/** Values of one channel where the label inside the box is > 0 and not `skip`, in C order. */
static int64_t gather(float *out, const float *x, const int32_t *label, int32_t skip,
                      const int64_t s[3], const sf_box *b)
{
    int64_t n = 0;
    for (int64_t z = b->lo[0]; z < b->hi[0]; z++)
        for (int64_t y = b->lo[1]; y < b->hi[1]; y++) {
            const int64_t row = (z * s[1] + y) * s[2];
            for (int64_t i = row + b->lo[2]; i < row + b->hi[2]; i++) {
                if (label[i] <= 0 || label[i] == skip) continue;
                if (out) out[n] = x[i];
                n++;
            }
        }
    return n;
}

/** @param skip  a label that is no foreground, or 0 */
static sf_status fill(sf_case_print *p, const sf_image *img, const sf_label_image *lab,
                      int32_t skip)
{
    const int64_t *s = img->geo.shape, voxels = s[0] * s[1] * s[2];
    sf_box box;
    float *values = NULL;
    sf_status st = SF_OK;
    SF_TRY(crop_box(&box, img));
    for (int i = 0; i < 3; i++) {
        p->shape_before[i] = s[i];
        p->shape_after[i] = box.hi[i] - box.lo[i];
        p->spacing[i] = img->geo.spacing[i];
    }
    const int64_t n = gather(NULL, NULL, lab->data, skip, s, &box);
    SF_TRY(sf_mem_alloc(&values, (size_t)n, sizeof *values, SF_MEM_SCRATCH));
    for (int c = 0; c < p->n_channels && st == SF_OK; c++) {
        gather(values, img->data + c * voxels, lab->data, skip, s, &box);
        st = sf_histogram_make(&p->channel[c], values, n);
    }
    sf_mem_free(values);
    return st;
}

static sf_status check_case(const sf_case *c, const sf_dataset *d, const sf_image *img,
                            const sf_label_image *lab)
{
    const int64_t *a = img->geo.shape, *b = lab->geo.shape;
    SF_CHECK(img->channels == d->n_channels, SF_EDATA,
             "case %s (%s): %d channels were read, dataset.json names %d", c->id, c->images[0],
             img->channels, d->n_channels);
    SF_CHECK(a[0] == b[0] && a[1] == b[1] && a[2] == b[2], SF_EDATA,
             "case %s: %s is %lldx%lldx%lld voxels, its image %lldx%lldx%lld", c->id, c->label,
             (long long)b[0], (long long)b[1], (long long)b[2], (long long)a[0], (long long)a[1],
             (long long)a[2]);
    return SF_OK;
}

sf_status sf_case_print_make(sf_case_print **out, const sf_dataset *d, const sf_recipe *r,
                             int case_index)
{
    sf_image *img = NULL;
    sf_label_image *lab = NULL;
    sf_case_print *p = NULL;
    sf_status st = SF_OK;
    /* v2 counts the ignore label as foreground; the recipe may say otherwise */
    const int32_t skip =
        r->plan.ignore_in_statistics || d->labels.ignore < 0 ? 0 : d->labels.ignore;
    SF_CHECK(case_index >= 0 && case_index < d->n_train, SF_EINTERNAL, "case %d of %d", case_index,
             d->n_train);
    const sf_case *c = &d->train[case_index];
    SF_GOTO(done, st, sf_case_read(&img, c));
    SF_GOTO(done, st, sf_label_image_read(&lab, c->label));
    SF_GOTO(done, st, check_case(c, d, img, lab));
    SF_GOTO(done, st, create(&p, d->n_channels));
    SF_GOTO(done, st, fill(p, img, lab, skip));
    *out = p;
    p = NULL;
done:
    sf_case_print_destroy(&p);
    sf_image_destroy(&img);
    sf_label_image_destroy(&lab);
    return st;
}

static size_t padded(size_t bytes) { return (bytes + 7) & ~(size_t)7; }

sf_status sf_case_print_pack(const sf_case_print *p, void **data, size_t *size)
{
    packed_header h = { MAGIC, (uint32_t)p->n_channels, { 0 }, { 0 }, { 0 } };
    size_t bytes = sizeof h;
    char *at = NULL;
    memcpy(h.shape_before, p->shape_before, sizeof h.shape_before);
    memcpy(h.shape_after, p->shape_after, sizeof h.shape_after);
    memcpy(h.spacing, p->spacing, sizeof h.spacing);
    for (int c = 0; c < p->n_channels; c++) {
        const size_t n = (size_t)p->channel[c].n;
        bytes += 8 + padded(n * sizeof(float)) + n * sizeof(uint64_t);
    }
    SF_TRY(sf_mem_calloc(&at, bytes, 1, SF_MEM_MISC));
    *data = at;
    *size = bytes;
    memcpy(at, &h, sizeof h);
    at += sizeof h;
    for (int c = 0; c < p->n_channels; c++) {
        const sf_histogram *x = &p->channel[c];
        const size_t n = (size_t)x->n;
        memcpy(at, &x->n, 8);
        memcpy(at + 8, x->value, n * sizeof(float));
        at += 8 + padded(n * sizeof(float));
        memcpy(at, x->upto, n * sizeof(uint64_t));
        at += n * sizeof(uint64_t);
    }
    return SF_OK;
}

static sf_status unpack_channel(sf_histogram *h, const char **at, const char *end)
{
    int64_t n = 0;
    SF_CHECK(end - *at >= 8, SF_EDATA, "packed case: too short");
    memcpy(&n, *at, 8);
    *at += 8;
    SF_CHECK(n >= 0 && n <= (end - *at) / 12, SF_EDATA, "packed case: too short");
    const size_t values = padded((size_t)n * sizeof(float));
    SF_CHECK(values + (size_t)n * sizeof(uint64_t) <= (size_t)(end - *at), SF_EDATA,
             "packed case: too short");
    SF_TRY(sf_mem_alloc(&h->value, (size_t)n, sizeof *h->value, SF_MEM_MISC));
    SF_TRY(sf_mem_alloc(&h->upto, (size_t)n, sizeof *h->upto, SF_MEM_MISC));
    memcpy(h->value, *at, (size_t)n * sizeof(float));
    memcpy(h->upto, *at + values, (size_t)n * sizeof(uint64_t));
    h->n = n;
    *at += values + (size_t)n * sizeof(uint64_t);
    for (int64_t i = 1; i < n; i++)
        SF_CHECK(h->value[i - 1] < h->value[i] && h->upto[i - 1] < h->upto[i], SF_EDATA,
                 "packed case: values are not ascending");
    return SF_OK;
}

sf_status sf_case_print_unpack(sf_case_print **out, const void *data, size_t size)
{
    packed_header h;
    sf_case_print *p = NULL;
    const char *at = data, *end = at + size;
    sf_status st = SF_OK;
    SF_CHECK(size >= sizeof h, SF_EDATA, "packed case: too short");
    memcpy(&h, data, sizeof h);
    SF_CHECK(h.magic == MAGIC && h.n_channels <= 1024, SF_EDATA, "packed case: wrong header");
    SF_TRY(create(&p, (int)h.n_channels));
    memcpy(p->shape_before, h.shape_before, sizeof h.shape_before);
    memcpy(p->shape_after, h.shape_after, sizeof h.shape_after);
    memcpy(p->spacing, h.spacing, sizeof h.spacing);
    at += sizeof h;
    for (int c = 0; c < p->n_channels; c++)
        SF_GOTO(fail, st, unpack_channel(&p->channel[c], &at, end));
    *out = p;
    return SF_OK;
fail:
    sf_case_print_destroy(&p);
    return st;
}
