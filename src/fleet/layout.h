/** How the ranks of a run are split into groups: each group trains one task at a time, its ranks
 *  share the samples of the batch (train/group.h). A layout changes how long a run takes, never its
 *  result. Pure functions, the same on all ranks for the same input. */
#ifndef SF_FLEET_LAYOUT_H
#define SF_FLEET_LAYOUT_H
#include "mpi/sched.h"

enum { SF_LAYOUT_SLABS = 16 };

/** What the cost model knows of a task: operations of the whole training (any unit, the same for
 *  all), the samples of its batch, the most slabs of a sample (1: it cannot be cut; never more than
 *  SF_LAYOUT_SLABS), and thin[n]: the share of a sample's work that, cut into n slabs, every rank
 * of the sample does, since the coarse resolutions are not split (network/slabs.h). */
typedef struct {
    double work;
    int64_t batch, slabs;
    double thin[SF_LAYOUT_SLABS + 1];
} sf_layout_task;

/** Time of a task on a group, in units of work: that of the rank with the most samples or of the
 *  sample that takes longest, thin resolutions whole and a slab of the others; 2 % more for every
 *  further rank (sums over the group). More slabs can be slower: they split fewer resolutions. */
double sf_layout_time(const sf_layout_task *t, int ranks);

/** How many of `more` free ranks should join the `size` that train a task: the number with the
 *  shortest time, or none when that gains less than a twentieth (leaving and coming back costs some
 *  steps). @return the new size, from size to size + more */
int sf_layout_grow(const sf_layout_task *t, int size, int more);

/** Sizes of groups that let all tasks that are not done end soonest, as far as this model knows: of
 *  equal groups of 1, 2, 3, ... ranks and of groups in proportion to the tasks that can start at
 *  once, the first with the shortest run. As many tasks as ranks or more of one length: groups of
 *  one. sizes has room for `ranks` entries, which sum to `ranks`. SF_ENOMEM. */
sf_status sf_layout_auto(int *sizes, int *n, const sf_sched_task *tasks,
                         const sf_layout_task *costs, int n_tasks, int ranks);
/** Time from the first start to the last end when these groups take the tasks that are not done, in
 *  units of work. SF_ENOMEM. */
sf_status sf_layout_span(double *span, const int *sizes, int n, const sf_sched_task *tasks,
                         const sf_layout_task *costs, int n_tasks);
/** What a user asks for. "2x3,1x2" = two groups of three ranks and one of two. SF_EINVAL says what
 * is wrong: not such a list, or the sum is not `ranks`. */
sf_status sf_layout_parse(int *sizes, int *n, const char *text, int ranks);
/** The same form, for logs: neighbours of one size are counted together; cut when it does not
 *  fit. */
void sf_layout_text(char out[64], const int *sizes, int n);

#endif
