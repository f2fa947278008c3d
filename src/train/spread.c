#include "train/spread.h"
#include "base/mem.h"
#include "mpi/transfers.h"

struct sf_spread {
    sf_comm *comm;
    sf_transfers *transfers;
    sf_predict_team team;
};

enum { TAG_UNIT = 77 };

sf_spread_plan sf_spread_make(int n, int rank, int size)
{
    sf_spread_plan p = { .whole = n / size * size, .group = -1 };
    p.shared = n - p.whole;
    if (p.shared == 0) return p;
    p.group = (int)((int64_t)rank * p.shared / size);
    p.ranks = size / p.shared;
    return p;
}

static sf_status give(void *user, const float *v, int64_t n)
{
    sf_spread *s = user;
    return sf_transfers_send(s->transfers, v, n * (int64_t)sizeof *v, 0, TAG_UNIT);
}

static sf_status sent(void *user)
{
    sf_spread *s = user;
    return sf_transfers_wait(s->transfers);
}

static sf_status take(void *user, int member, float *v, int64_t n)
{
    sf_spread *s = user;
    SF_TRY(sf_transfers_recv(s->transfers, v, n * (int64_t)sizeof *v, member, TAG_UNIT));
    return sf_transfers_wait(s->transfers);
}

static sf_status agree(void *user, sf_status mine)
{
    sf_spread *s = user;
    return sf_comm_agree(s->comm, mine);
}

sf_status sf_spread_create(sf_spread **out, sf_comm *c)
{
    sf_spread *s = NULL;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&s, 1, sizeof *s, SF_MEM_MISC));
    s->comm = c;
    s->team = (sf_predict_team){ .member = sf_comm_rank(c),
                                 .size = sf_comm_size(c),
                                 .user = s,
                                 .give = give,
                                 .sent = sent,
                                 .take = take,
                                 .agree = agree };
    const sf_status st = sf_transfers_create(&s->transfers, c);
    if (st != SF_OK) {
        sf_spread_destroy(&s);
        return st;
    }
    *out = s;
    return SF_OK;
}

const sf_predict_team *sf_spread_team(const sf_spread *s)
{
    return s != NULL && s->team.size > 1 ? &s->team : NULL;
}

void sf_spread_destroy(sf_spread **s)
{
    if (*s == NULL) return;
    sf_transfers_destroy(&(*s)->transfers);
    sf_mem_free(*s);
    *s = NULL;
}
