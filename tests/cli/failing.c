/* The program with one rank that fails inside an exchange of a training; linked with --wrap.
 * SF_FAIL="RANK POINT HOW" in the environment:
 *   POINT  forward, backward: the first halo of that pass; gradients: where the partial sums are
 *          waited for; weights: where the new ones are shared. Always in the second step.
 *   HOW    error: an error is returned there; kill: the process kills itself. */
#include "mpi/grad.h"
#include "mpi/halo.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

sf_status __real_sf_grad_begin(sf_grad *g);
sf_status __real_sf_grad_finish(sf_grad *g);
sf_status __real_sf_grad_share(sf_grad *g);
sf_status __real_sf_halo_share(sf_halo *h, void *data, int64_t outer, int64_t bytes,
                               const int64_t *border, int64_t halo);
sf_status __wrap_sf_grad_begin(sf_grad *g);
sf_status __wrap_sf_grad_finish(sf_grad *g);
sf_status __wrap_sf_grad_share(sf_grad *g);
sf_status __wrap_sf_halo_share(sf_halo *h, void *data, int64_t outer, int64_t bytes,
                               const int64_t *border, int64_t halo);

static int steps;     /* whose backward pass has begun */
static bool backward; /* going on */

static sf_status fail_at(const char *point, bool now)
{
    char where[32] = "", how[32] = "";
    int rank = -1;
    const char *wish = getenv("SF_FAIL");
    if (!now || !wish || sscanf(wish, "%d %31s %31s", &rank, where, how) != 3) return SF_OK;
    if (rank != sf_comm_rank(sf_comm_world()) || strcmp(where, point) != 0) return SF_OK;
    if (strcmp(how, "kill") == 0) raise(SIGKILL);
    return SF_FAIL(SF_ENOMEM, "no memory, as wished");
}

sf_status __wrap_sf_grad_begin(sf_grad *g)
{
    steps++;
    backward = true;
    return __real_sf_grad_begin(g);
}

sf_status __wrap_sf_grad_finish(sf_grad *g)
{
    backward = false;
    SF_TRY(fail_at("gradients", steps == 2));
    return __real_sf_grad_finish(g);
}

sf_status __wrap_sf_grad_share(sf_grad *g)
{
    SF_TRY(fail_at("weights", steps == 2));
    return __real_sf_grad_share(g);
}

sf_status __wrap_sf_halo_share(sf_halo *h, void *data, int64_t outer, int64_t bytes,
                               const int64_t *border, int64_t halo)
{
    SF_TRY(fail_at("forward", steps == 1 && !backward));
    SF_TRY(fail_at("backward", steps == 2 && backward));
    return __real_sf_halo_share(h, data, outer, bytes, border, halo);
}
