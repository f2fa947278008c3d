/* The scheduler of sched.h at work. A task goes FREE -> RUNNING -> DONE or FAILED, and every change
 * is a compare-and-swap by the rank that runs it, so no lock is held by anybody. A rank without a
 * group is AT_REST; a group that wants it makes it CALLED and sends the list of the new group. */
#include "base/log.h"
#include "base/mem.h"
#include "mpi/sched_private.h"
#include <string.h>
#include <unistd.h>

enum { NAP_SHORTEST = 500, NAP_LONGEST = 20000 }; /* microseconds */
enum { NOTHING_MORE = -1, BREAK_UP = -2 };        /* told instead of a task */
enum { TAG_CALL = 77, TAG_READY = 78, TAG_GO = 79 };

struct sf_seat {
    sf_sched_ *s;
    int task;
    int n; /* ranks that are reserved for the next round of this task: s->called[0..n) */
};

/* ---- the board ---------------------------------------------------------------------------- */

bool sf_sched_needs_done_(const sf_sched_task *t, const int64_t *state)
{
    for (int k = 0; k < t->n_needs; k++) {
        if (state[t->needs[k]] != DONE) return false;
    }
    return true;
}

static bool ready(const sf_sched_ *s, int i)
{
    return s->state[i] == FREE && sf_sched_needs_done_(&s->tasks[i], s->state);
}

int sf_sched_next_(const sf_sched_ *s, int after)
{
    int best = -1;
    for (int i = 0; i < s->n; i++) {
        if (!ready(s, i)) continue;
        if (after >= 0 && (s->tasks[i].cost > s->tasks[after].cost ||
                           (s->tasks[i].cost == s->tasks[after].cost && i <= after)))
            continue;
        if (best < 0 || s->tasks[i].cost > s->tasks[best].cost) best = i;
    }
    return best;
}

static int count_tasks(const sf_sched_ *s, int64_t what)
{
    int k = 0;
    for (int i = 0; i < s->n; i++) k += s->state[i] == what;
    return k;
}

static int count_ready(const sf_sched_ *s)
{
    int k = 0;
    for (int i = 0; i < s->n; i++) k += ready(s, i);
    return k;
}

static bool halted(const sf_sched_ *s) { return s->state[s->n] != 0; }
static int place_of(const sf_sched_ *s, int rank) { return s->n + 1 + rank; }
static int own_place(const sf_sched_ *s) { return place_of(s, sf_comm_rank(s->world)); }

/* Only the caller changes this word now, so it cannot miss. A board that fails would leave the
 * others waiting for ever: the job must end then. */
static void put(sf_sched_ *s, int i, int64_t expect, int64_t wanted)
{
    int64_t found;
    sf_status st = sf_board_swap(s->board, i, expect, wanted, &found);
    if (st == SF_OK && found != expect)
        st = SF_FAIL(SF_EINTERNAL, "word %d of the board is %lld instead of %lld", i,
                     (long long)found, (long long)expect);
    if (st != SF_OK) sf_mpi_abort(st);
}

/* Nothing more is handed out; another task may have said so before. */
static void halt(sf_sched_ *s)
{
    int64_t found;
    const sf_status st = sf_board_swap(s->board, s->n, 0, 1, &found);
    if (st != SF_OK) sf_mpi_abort(st);
}

/* ---- larger groups ------------------------------------------------------------------------ */

/* Up to `most` of the ranks that the last look saw at rest. */
static sf_status reserve(sf_seat *seat, int most)
{
    sf_sched_ *s = seat->s;
    for (int r = 0; r < s->ranks && seat->n < most; r++) {
        int64_t found = s->state[place_of(s, r)];
        if (found == AT_REST)
            SF_TRY(sf_board_swap(s->board, place_of(s, r), AT_REST, CALLED, &found));
        else
            continue;
        if (found == AT_REST) s->called[seat->n++] = r;
    }
    return SF_OK;
}

/* A fair share of the ranks at rest, as far as they help a task that has `size` ranks. `others`:
 * tasks that may want some too. */
static sf_status reserve_share(sf_seat *seat, int size, int others)
{
    const sf_sched_ *s = seat->s;
    int rest = 0;
    for (int r = 0; r < s->ranks; r++) rest += s->state[place_of(s, r)] == AT_REST;
    if (rest == 0) return SF_OK;
    const int want = s->size(s->user, seat->task, size, (rest + others) / (others + 1));
    return reserve(seat, want - size);
}

bool sf_seat_leave(sf_seat *seat)
{
    if (!seat || !seat->s->size) return false;
    sf_sched_ *s = seat->s;
    sf_status st = sf_board_read(s->board, s->state);
    /* ranks at rest will take what is ready by themselves */
    if (st == SF_OK && !halted(s) && count_ready(s) == 0)
        st = reserve_share(seat, s->n_members, count_tasks(s, RUNNING) - 1);
    if (st != SF_OK) sf_mpi_abort(st); /* who is reserved would wait for ever */
    return seat->n > 0;
}

/* The members of a group, as it is sent: the task, how many, their ranks in the world. */
static size_t list_bytes(const sf_sched_ *s) { return ((size_t)s->ranks + 2) * sizeof(int); }

/* Members = the own ones and those called; all learn it. Nobody called: the ranks are let go. */
static sf_status send_list(sf_seat *seat, int *list, bool join)
{
    sf_sched_ *s = seat->s;
    memset(list, 0, list_bytes(s));
    list[0] = seat->task;
    list[1] = join ? s->n_members + seat->n : 0;
    memcpy(list + 2, s->member, (size_t)s->n_members * sizeof *list);
    for (int i = 0; i < seat->n; i++) list[2 + s->n_members + i] = s->called[i];
    for (int i = 0; i < seat->n; i++)
        SF_TRY(sf_comm_send(s->world, list, list_bytes(s), s->called[i], TAG_CALL));
    return SF_OK;
}

static void leave_group(sf_sched_ *s)
{
    if (s->made) sf_comm_destroy(&s->made);
    s->group = sf_comm_self();
    s->member[0] = sf_comm_rank(s->world);
    s->n_members = 1;
}

static sf_status enter_group(sf_sched_ *s, const int *list)
{
    leave_group(s);
    SF_TRY(sf_comm_of(&s->made, s->world, list + 2, list[1]));
    s->group = s->made;
    s->n_members = list[1];
    memcpy(s->member, list + 2, (size_t)list[1] * sizeof *list);
    return SF_OK;
}

/* Making a group keeps its ranks from answering others (board.h): so all must be there first, and
 * nobody begins before. */
static sf_status wait_for_called(const sf_seat *seat)
{
    sf_comm *world = seat->s->world;
    char word = 0;
    for (int i = 0; i < seat->n; i++)
        SF_TRY(sf_comm_recv(world, &word, sizeof word, seat->s->called[i], TAG_READY));
    for (int i = 0; i < seat->n; i++)
        SF_TRY(sf_comm_send(world, &word, sizeof word, seat->s->called[i], TAG_GO));
    return SF_OK;
}

/* The ranks of the group and those that rank 0 has reserved become one group. */
static sf_status grow(sf_seat *seat)
{
    sf_sched_ *s = seat->s;
    int *list = NULL;
    SF_TRY(sf_mem_calloc(&list, list_bytes(s), 1, SF_MEM_MISC));
    sf_status st = SF_OK;
    if (sf_comm_rank(s->group) == 0) st = send_list(seat, list, true);
    if (st == SF_OK) st = wait_for_called(seat); /* none but rank 0 has called any */
    if (st == SF_OK) st = sf_comm_bcast(s->group, list, list_bytes(s), 0);
    if (st == SF_OK) st = enter_group(s, list);
    sf_mem_free(list);
    return st;
}

/* ---- a task ------------------------------------------------------------------------------- */

/* One call of the task; *again: it was left for a larger group, which stands now. */
static sf_status round_of(sf_seat *seat, bool *again)
{
    sf_sched_ *s = seat->s;
    *again = false;
    sf_status st = sf_comm_agree(s->group, s->fn(s->user, seat->task, s->group, seat));
    int called = seat->n;
    if (s->size && st == SF_ESTOP) { /* because of sf_seat_leave? */
        sf_status told = sf_comm_bcast(s->group, &called, sizeof called, 0);
        if (told == SF_OK && called > 0) {
            sf_error_clear();
            told = grow(seat);
            *again = true;
            seat->n = 0;
            if (sf_comm_rank(s->group) == 0) s->grown++;
        }
        if (told != SF_OK) sf_mpi_abort(told); /* some ranks may be in the new group already */
    }
    if (seat->n > 0) { /* it failed after all, or went on */
        int *list = NULL;
        sf_status sent = sf_mem_calloc(&list, list_bytes(s), 1, SF_MEM_MISC);
        if (sent == SF_OK) sent = send_list(seat, list, false);
        sf_mem_free(list);
        if (sent != SF_OK) sf_mpi_abort(sent);
        seat->n = 0;
    }
    return *again ? SF_OK : st;
}

/* Run task i, which this group has just taken; its first rank puts the outcome on the board. */
static sf_status work(sf_sched_ *s, int i)
{
    const double begun = sf_now();
    sf_seat seat = { .s = s, .task = i };
    sf_status st = SF_OK;
    for (bool again = true; st == SF_OK && again;) st = round_of(&seat, &again);
    s->busy += sf_now() - begun;
    if (sf_comm_rank(s->group) > 0) return st;
    if (st == SF_OK) {
        s->run++;
        put(s, i, RUNNING, DONE);
        return SF_OK;
    }
    halt(s); /* the flag first: who sees nothing running must also see it */
    put(s, i, RUNNING, FAILED);
    return st;
}

/* ---- a group ------------------------------------------------------------------------------ */

static sf_status tell(sf_sched_ *s, int what)
{
    SF_TRY(sf_comm_bcast(s->group, &what, sizeof what, 0));
    if (what == NOTHING_MORE) s->over = true;
    if (what < 0) leave_group(s);
    return SF_OK;
}

/* The other ranks of a group. */
static sf_status follow(sf_sched_ *s)
{
    for (;;) {
        int what = NOTHING_MORE;
        SF_TRY(sf_comm_bcast(s->group, &what, sizeof what, 0));
        if (what == NOTHING_MORE) s->over = true;
        if (what < 0) {
            leave_group(s);
            return SF_OK;
        }
        SF_TRY(work(s, what));
    }
}

static void nap(unsigned *micro)
{
    usleep(*micro);
    *micro = *micro * 2 < NAP_LONGEST ? *micro * 2 : NAP_LONGEST;
}

/* The first rank of a group, until nothing runs and nothing more may start, or until the group
 * breaks up. A rank whose task failed leaves at once: the others see the flag. */
static sf_status lead(sf_sched_ *s)
{
    int64_t found;
    unsigned micro = NAP_SHORTEST;
    for (;;) {
        SF_TRY(sf_board_read(s->board, s->state));
        const int task = s->turn >= 0 ? s->turn : halted(s) ? -1 : sf_sched_next_(s, -1);
        if (task >= 0) {
            if (s->turn < 0) SF_TRY(sf_board_swap(s->board, task, FREE, RUNNING, &found));
            if (s->turn < 0 && found != FREE) continue; /* somebody was faster: look again */
            s->turn = -1;
            micro = NAP_SHORTEST;
            SF_TRY(tell(s, task));
            SF_TRY(work(s, task));
            continue;
        }
        if (count_tasks(s, RUNNING) == 0) return tell(s, NOTHING_MORE);
        if (s->size) return tell(s, BREAK_UP);
        nap(&micro);
    }
}

/* ---- a rank at rest ----------------------------------------------------------------------- */

/* Called to a group: be one of it until it breaks up. */
static sf_status join(sf_sched_ *s)
{
    int *list = NULL;
    SF_TRY(sf_mem_calloc(&list, list_bytes(s), 1, SF_MEM_MISC));
    sf_status st = sf_comm_recv(s->world, list, list_bytes(s), -1, TAG_CALL);
    const int task = list[0], n = list[1];
    char word = 0;
    put(s, own_place(s), CALLED, AT_WORK);
    if (st == SF_OK && n > 0) /* to the first of the list, which has sent it */
        st = sf_comm_send(s->world, &word, sizeof word, list[2], TAG_READY);
    if (st == SF_OK && n > 0) st = sf_comm_recv(s->world, &word, sizeof word, list[2], TAG_GO);
    if (st == SF_OK && n > 0) st = enter_group(s, list);
    sf_mem_free(list);
    if (st != SF_OK) sf_mpi_abort(st); /* the others are waiting in there */
    if (n == 0) return SF_OK;
    SF_TRY(work(s, task));
    return follow(s);
}

/* A task has become ready: take it, with a share of the ranks at rest. */
static sf_status take(sf_sched_ *s, int task)
{
    int64_t found;
    sf_seat seat = { .s = s, .task = task };
    SF_TRY(sf_board_swap(s->board, task, FREE, RUNNING, &found));
    if (found != FREE) return SF_OK; /* somebody was faster */
    s->state[task] = RUNNING;
    s->state[own_place(s)] = AT_WORK;
    sf_status st = reserve_share(&seat, 1, count_ready(s) + count_tasks(s, RUNNING) - 1);
    if (st == SF_OK && seat.n > 0) st = grow(&seat);
    if (st != SF_OK) sf_mpi_abort(st); /* the task would seem to run for ever */
    SF_TRY(work(s, task));
    return lead(s);
}

/* Without a group: until called, until a task is ready, or until nothing is left to do. */
static sf_status rest(sf_sched_ *s)
{
    unsigned micro = NAP_SHORTEST;
    put(s, own_place(s), AT_WORK, AT_REST);
    for (;;) {
        SF_TRY(sf_board_read(s->board, s->state));
        if (s->state[own_place(s)] == CALLED) return join(s);
        const int task = halted(s) ? -1 : sf_sched_next_(s, -1);
        if (task < 0 && count_tasks(s, RUNNING) > 0) {
            nap(&micro);
            continue;
        }
        int64_t found;
        SF_TRY(sf_board_swap(s->board, own_place(s), AT_REST, AT_WORK, &found));
        if (found != AT_REST) continue; /* called meanwhile */
        if (task >= 0) return take(s, task);
        s->over = true;
        return SF_OK;
    }
}

sf_status sf_sched_work_(sf_sched_ *s)
{
    sf_status st = sf_comm_rank(s->group) == 0 ? lead(s) : follow(s);
    while (st == SF_OK && !s->over) st = rest(s);
    leave_group(s);
    return st;
}
