/* When a run has to stop with work left: signals, and hours that are over. */
#include "base/log.h"
#include "base/prof.h"
#include "cli/command.h"
#include <signal.h>

enum { SPELLS = 8, LEAVE = 60 };

static volatile sig_atomic_t signalled;

static struct {
    double begin, asked;  /* sf_now() */
    double end, leave;    /* 0: no limit; seconds for the last checkpoint and the way out */
    double spell[SPELLS]; /* seconds between the last calls, in a ring */
    int next;
    bool over;
} hours;

static void on_signal(int number)
{
    (void)number;
    signalled = 1;
}

void sf_cli_catch_signals(void)
{
    hours.begin = sf_now();
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

void sf_cli_stop_after(double n)
{
    const double seconds = 3600 * n;
    hours.asked = sf_now();
    hours.end = n > 0 ? hours.begin + seconds : 0;
    hours.leave = 0.2 * seconds < LEAVE ? 0.2 * seconds : LEAVE;
}

static double longest_spell(void)
{
    double longest = 0;
    for (int i = 0; i < SPELLS; i++)
        if (hours.spell[i] > longest) longest = hours.spell[i];
    return longest;
}

static bool hours_over(void)
{
    if (hours.end <= 0 || hours.over) return hours.over;
    const double now = sf_now();
    hours.spell[hours.next++ % SPELLS] = now - hours.asked;
    hours.asked = now;
    hours.over = now + 2 * longest_spell() + hours.leave > hours.end;
    if (hours.over)
        sf_log(SF_LOG_INFO, "stop", "reason=max_hours seconds_left=%.0f", hours.end - now);
    return hours.over;
}

bool sf_cli_stop_asked(void *unused)
{
    (void)unused;
    const bool over = hours_over();
    return signalled != 0 || over;
}
