#include "train/generations.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

sf_status sf_generations_names(sf_generations *g, const char *fold_dir)
{
    SF_TRY(sf_path_join(g->latest, fold_dir, "checkpoint_latest.h5", NULL));
    SF_TRY(sf_path_join(g->previous, fold_dir, "checkpoint_previous.h5", NULL));
    return sf_path_join(g->next, fold_dir, "checkpoint_next.h5", NULL);
}

static sf_status move(const char *from, const char *to)
{
    SF_CHECK(rename(from, to) == 0, SF_EIO, "%s cannot be renamed to %s: %s", from, to,
             strerror(errno));
    return SF_OK;
}

sf_status sf_generations_settle(const sf_generations *g)
{
    if (!sf_path_is_file(g->next)) return SF_OK;
    if (sf_path_is_file(g->latest)) SF_TRY(move(g->latest, g->previous));
    return sf_path_commit(g->next, g->latest);
}

bool sf_generations_any(const sf_generations *g)
{
    return sf_path_is_file(g->latest) || sf_path_is_file(g->previous);
}

/* The order of the three steps is what a kill between them relies on. */
sf_status sf_generations_save(const sf_generations *g, const sf_train_state *s, const sf_params *p)
{
    SF_TRY(sf_checkpoint_save(g->next, s, p));
    return sf_generations_settle(g);
}

/* Damage and failures of reading; anything else says that the file is not the one to use. */
static bool unusable(sf_status st) { return st == SF_EDATA || st == SF_EIO; }

static sf_status load_one(const char *path, sf_comm *c, sf_train_state *s, sf_params *p)
{
    const sf_status st = sf_comm_agree(c, sf_checkpoint_load(path, s, p, true));
    if (st != SF_OK) sf_train_state_free(s);
    return st;
}

/* What rank 0 sees of a file: on a network file system others may see it later. */
static sf_status ask_first(sf_comm *c, const char *path, bool *there)
{
    *there = sf_path_is_file(path);
    return sf_comm_bcast(c, there, sizeof *there, 0);
}

sf_status sf_generations_load(const sf_generations *g, sf_comm *c, sf_train_state *s, sf_params *p,
                              const char **from)
{
    bool latest, previous;
    sf_error_state first;
    SF_TRY(ask_first(c, g->latest, &latest));
    SF_TRY(ask_first(c, g->previous, &previous));
    *from = g->latest;
    sf_status st = latest ? load_one(g->latest, c, s, p) : SF_OK;
    if (latest && (!previous || !unusable(st))) return st;
    sf_error_save(&first, st);
    *from = g->previous;
    sf_log(SF_LOG_WARN, "resume", "%s %s: going on from %s", g->latest,
           latest ? "cannot be used" : "is not there", g->previous);
    if (latest) sf_log(SF_LOG_WARN, "resume", "reason: %s", first.text);
    st = load_one(g->previous, c, s, p);
    if (!unusable(st) || !latest) return st;
    return SF_FAIL(first.status,
                   "neither checkpoint can be used: %s; and %s is no better: remove both to start "
                   "this fold anew",
                   first.text, g->previous);
}

sf_status sf_generations_remove(const sf_generations *g)
{
    SF_TRY(sf_path_remove(g->next));
    SF_TRY(sf_path_remove(g->previous));
    return sf_path_remove(g->latest);
}
