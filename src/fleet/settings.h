/** run.json: what a work folder was started with. A second run must ask for the same, or is refused
 * by option name; configurations and folds may differ from call to call. */
#ifndef SF_FLEET_SETTINGS_H
#define SF_FLEET_SETTINGS_H
#include "base/path.h"
#include "network/network.h"
#include <stdbool.h>

typedef struct {
    char dataset[SF_PATH_MAX]; /* absolute */
    char recipe[SF_PATH_MAX];  /* name, or absolute path of a file */
    int64_t num_folds;
    int64_t epochs, iterations, batch; /* 0: recipe / plan */
    uint64_t seed;
    bool mirror, exact;
    sf_dtype precision;        /* SF_F32, SF_BF16: of the networks (network/network.h) */
    double memory_gb;          /* 0: recipe */
    double spacing[3];         /* mm, file order: target of the planner; 0 0 0: by the recipe */
    char preset[SF_PATH_MAX];  /* of the planner: name, or absolute path of a file; "" = none */
    char groups[SF_PATH_MAX];  /* "" = none */
    char splits[SF_PATH_MAX];  /* absolute; "" = the dataset's own or made */
    char variant[SF_PATH_MAX]; /* name, or absolute path of a file; "" = none */
} sf_settings;

/** Defaults of every option. */
void sf_settings_default(sf_settings *s);
/** SF_EINVAL with advice when W/run.json is missing. */
sf_status sf_settings_load(sf_settings *s, const char *work);
/** Write W/run.json, or check that the existing one agrees (SF_EINVAL names the option). One
 * process calls it. */
sf_status sf_settings_store(const sf_settings *s, const char *work);

#endif
