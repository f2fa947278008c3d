/* What a DATASET word and a missing --work mean. */
#include "cli/command.h"
#include "plan/dataset_id.h"

sf_status sf_cli_dataset(char out[SF_PATH_MAX], const char *word)
{
    char dir[SF_PATH_MAX];
    SF_TRY(sf_dataset_resolve(dir, word));
    return sf_cli_absolute(out, dir);
}

sf_status sf_cli_work(char out[SF_PATH_MAX], const char *given, const char *dataset_dir)
{
    if (given) return sf_path_format(out, "%s", given);
    return sf_dataset_default_work(out, dataset_dir);
}
