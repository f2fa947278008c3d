#include "evaluate/select.h"
#include "base/mem.h"
#include <math.h>

void sf_ensemble_mean(const float *const *p, int n, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++) {
        float sum = p[0][i];
        for (int k = 1; k < n; k++) sum += p[k][i];
        out[i] = sum / (float)n;
    }
}

static sf_status fill_candidate(sf_candidate *c, const char *const *models, int i, int j,
                                int n_eval)
{
    c->n_members = j < 0 ? 1 : 2;
    c->member[0] = i;
    c->member[1] = j;
    c->dice = NAN;
    if (j < 0)
        SF_TRY(sf_mem_strdup(&c->name, models[i]));
    else
        SF_TRY(sf_mem_printf(&c->name, "ensemble___%s___%s", models[i], models[j]));
    SF_TRY(sf_mem_alloc(&c->class_dice, (size_t)n_eval, sizeof *c->class_dice, SF_MEM_MISC));
    for (int e = 0; e < n_eval; e++) c->class_dice[e] = NAN;
    return SF_OK;
}

sf_status sf_selection_create(sf_selection **out, const char *const *models, int n_models,
                              bool ensembles, int n_eval)
{
    const int pairs = ensembles ? n_models * (n_models - 1) / 2 : 0;
    sf_selection *s = NULL;
    sf_status st = SF_OK;
    int k = 0;
    *out = NULL;
    SF_CHECK(n_models > 0, SF_EINVAL, "no model to choose from");
    SF_TRY(sf_mem_calloc(&s, 1, sizeof *s, SF_MEM_MISC));
    s->n = n_models + pairs;
    SF_GOTO(done, st,
            sf_mem_calloc(&s->candidate, (size_t)s->n, sizeof *s->candidate, SF_MEM_MISC));
    for (int i = 0; i < n_models; i++)
        SF_GOTO(done, st, fill_candidate(&s->candidate[k++], models, i, -1, n_eval));
    for (int i = 0; pairs && i < n_models; i++)
        for (int j = i + 1; j < n_models; j++)
            SF_GOTO(done, st, fill_candidate(&s->candidate[k++], models, i, j, n_eval));
    *out = s;
    s = NULL;
done:
    sf_selection_destroy(&s);
    return st;
}

void sf_selection_choose(sf_selection *s)
{
    s->best = 0;
    for (int i = 1; i < s->n; i++) {
        const double now = s->candidate[i].dice, best = s->candidate[s->best].dice;
        if (now > best || (isnan(best) && !isnan(now))) s->best = i;
    }
}

void sf_selection_destroy(sf_selection **selection)
{
    sf_selection *s = *selection;
    if (!s) return;
    for (int i = 0; s->candidate && i < s->n; i++) {
        sf_mem_free(s->candidate[i].name);
        sf_mem_free(s->candidate[i].class_dice);
    }
    sf_mem_free(s->candidate);
    sf_mem_free(s);
    *selection = NULL;
}
