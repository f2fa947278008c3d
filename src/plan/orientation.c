#include "base/log.h"
#include "base/mem.h"
#include "plan/dataset.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CODES = 48 }; /* 3! axis orders times 2^3 directions */

typedef struct {
    char code[4];
    int count;
} orientation;

/** Direction that each voxel axis x, y, z mostly points to, as R/L, A/P, S/I letters. */
static void orientation_code(char out[4], const sf_geometry *g)
{
    static const char letters[3][2] = { { 'L', 'R' }, { 'P', 'A' }, { 'I', 'S' } };
    for (int axis = 0; axis < 3; axis++) {
        int best = 0;
        for (int w = 1; w < 3; w++)
            if (fabs(g->affine[w][axis]) > fabs(g->affine[best][axis])) best = w;
        out[axis] = letters[best][g->affine[best][axis] > 0];
    }
    out[3] = '\0';
}

static int by_count(const void *a, const void *b)
{
    const orientation *x = a, *y = b;
    return x->count != y->count ? y->count - x->count : strcmp(x->code, y->code);
}

static sf_status count_codes(orientation *codes, int *n, const sf_dataset *d)
{
    for (int c = 0; c < d->n_train; c++) {
        sf_geometry g;
        char code[4];
        int channels = 0, k = 0;
        SF_TRY(sf_case_probe(&g, &channels, &d->train[c]));
        orientation_code(code, &g);
        while (k < *n && strcmp(codes[k].code, code) != 0) k++;
        if (k == MAX_CODES) continue; /* a sheared affine can give more */
        if (k == *n) memcpy(codes[(*n)++].code, code, sizeof code);
        codes[k].count++;
    }
    qsort(codes, (size_t)*n, sizeof *codes, by_count);
    return SF_OK;
}

sf_status sf_dataset_orientations(const sf_dataset *d, char **text)
{
    orientation codes[MAX_CODES] = { { "", 0 } };
    char line[MAX_CODES * 20] = "";
    int n = 0;
    if (text) *text = NULL;
    SF_TRY(count_codes(codes, &n, d));
    for (int k = 0; k < n; k++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s %d", k ? ", " : "",
                 codes[k].code, codes[k].count);
    if (n > 1)
        sf_log(SF_LOG_WARN, "dataset",
               "images have different orientations and are used as stored: %s", line);
    return text ? sf_mem_strdup(text, line) : SF_OK;
}
