#include "fleet/nearby.h"
#include "base/mem.h"
#include "mpi/io_hints.h"
#include "plan/work.h"
#include <string.h>

sf_status sf_nearby_check(sf_comm *world, const sf_run_options *o)
{
    sf_cache_kind kind;
    SF_TRY(sf_comm_agree(world, sf_cache_parse(&kind, o->cache)));
    return o->io_hints ? sf_io_hints_load(world, o->io_hints) : SF_OK;
}

/* Names of the configurations whose containers are read, each once. */
static sf_status list_owners(const char **name, int *n, const sf_project *p)
{
    for (int i = 0; i < 2 * p->n_configs; i++) {
        const sf_config *cfg;
        SF_TRY(sf_plans_config(&cfg, p->plans, p->config[i / 2]));
        if (i % 2 == 1 && !cfg->previous_stage) continue;
        if (i % 2 == 1) SF_TRY(sf_plans_config(&cfg, p->plans, cfg->previous_stage));
        const char *owner = sf_plans_data_owner(p->plans, cfg)->name;
        bool known = false;
        for (int k = 0; k < *n; k++) known = known || strcmp(name[k], owner) == 0;
        if (!known) name[(*n)++] = owner;
    }
    return SF_OK;
}

static sf_status add_all(sf_near *near, const sf_project *p, const char *const *name, int n)
{
    char path[SF_PATH_MAX];
    for (int i = 0; i < n; i++) {
        SF_TRY(sf_work_container(path, p->work, name[i]));
        SF_TRY(sf_near_add(near, path));
    }
    return SF_OK;
}

sf_status sf_nearby_open(sf_near **out, const sf_project *p, sf_comm *world)
{
    sf_cache_kind kind;
    const char **name = NULL;
    int n = 0;
    *out = NULL;
    sf_status st = sf_cache_parse(&kind, p->o->cache);
    if (st == SF_OK) st = sf_mem_calloc(&name, 2 * (size_t)p->n_configs, sizeof *name, SF_MEM_MISC);
    if (st == SF_OK) st = list_owners(name, &n, p);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, sf_near_create(out, world, kind, p->o->stage));
    st = add_all(*out, p, name, n);
    if (st != SF_OK) sf_near_destroy(out);
done:
    sf_mem_free(name);
    return st;
}
