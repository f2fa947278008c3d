/** Folders of predictions: which cases they hold, and the files that describe them. Not collective.
 */
#ifndef SF_FLEET_FOLDERS_H
#define SF_FLEET_FOLDERS_H
#include "base/path.h"
#include "plan/splits.h"

/** Cases of a folder: names without any of the endings (".npz"), sorted by byte order, each once.
 *  Hidden files do not count. Caller frees with sf_id_list_free. SF_EIO: no such folder. */
sf_status sf_folder_cases(sf_id_list *out, const char *dir, const char *const *endings, int n);
/** Copy what describes a model or its predictions: dataset.json and plans.json, those of them that
 *  `from` has. */
sf_status sf_folder_describe(const char *to, const char *from);
/** Make a folder for results that no input lies in: SF_EINVAL when it is one of the inputs, which
 *  would be overwritten. */
sf_status sf_folder_make_output(const char *out, const char *const *inputs, int n);

#endif
