/* Form of log lines, who speaks, the log file, progress, clocks, profile. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/prof.h"
#include "tests/support/support.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char last[4096];
    int lines;
} seen;

static void keep(void *user, sf_log_level level, const char *line)
{
    (void)level;
    seen *s = user;
    s->lines++;
    snprintf(s->last, sizeof s->last, "%s", line);
}

static void line_form(void **state)
{
    (void)state;
    seen s = { .lines = 0 };
    int h, m, sec;
    sf_log_set_sink(keep, &s);
    sf_log(SF_LOG_INFO, "start", "x=%d", 1);
    assert_non_null(strstr(s.last, " g- r0 info start x=1"));
    sf_log_set_rank(1, 5, true);
    sf_log(SF_LOG_INFO, "train", "loss=%.4f", -0.4312);
    assert_int_equal(sscanf(s.last, "%2d:%2d:%2d", &h, &m, &sec), 3);
    assert_string_equal(s.last + 8, " g1 r5 info train loss=-0.4312");
    sf_log(SF_LOG_WARN, "file", "name=a\nb\tc");
    assert_string_equal(s.last + 8, " g1 r5 warn file name=a b c");
    assert_int_equal(s.lines, 3);
}

static void who_speaks(void **state)
{
    (void)state;
    seen s = { .lines = 0 };
    sf_log_set_sink(keep, &s);
    sf_log_set_rank(0, 3, false);
    sf_log(SF_LOG_INFO, "a", "b");
    assert_int_equal(s.lines, 0);
    sf_log(SF_LOG_WARN, "a", "b");
    sf_log(SF_LOG_ERROR, "a", "b");
    sf_log(SF_LOG_DEBUG, "a", "b");
    assert_int_equal(s.lines, 2);
    sf_log_set_level(SF_LOG_DEBUG);
    sf_log(SF_LOG_DEBUG, "a", "b");
    assert_int_equal(s.lines, 3);
    sf_log_set_level(SF_LOG_ERROR);
    sf_log(SF_LOG_WARN, "a", "b");
    assert_int_equal(s.lines, 3);
    assert_null(sf_progress_begin("x", 10));
    sf_log_set_level(SF_LOG_INFO);
    sf_log_set_rank(-1, 0, true);
}

static void long_line_is_cut(void **state)
{
    (void)state;
    seen s = { .lines = 0 };
    static char text[10000];
    memset(text, 'x', sizeof text - 1);
    sf_log_set_sink(keep, &s);
    sf_log(SF_LOG_INFO, "long", "%s", text);
    assert_true(strlen(s.last) > 1000 && strlen(s.last) < 2048);
    sf_log(SF_LOG_INFO, text, "%s", text);
    assert_true(strlen(s.last) < 2048);
}

static void file_gets_a_copy(void **state)
{
    (void)state;
    seen s = { .lines = 0 };
    char path[SF_PATH_MAX], *text = NULL;
    sf_log_set_sink(keep, &s);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "training.log", NULL));
    sf_log_file_open(path);
    sf_log(SF_LOG_INFO, "one", "1");
    sf_log_file_close();
    sf_log(SF_LOG_INFO, "two", "2");
    sf_log_file_open(path);
    sf_log(SF_LOG_INFO, "three", "3");
    sf_log_file_close();
    tst_ok(sf_path_read(&text, NULL, path, 0));
    assert_true(strstr(text, "one 1\n") != NULL && strstr(text, "two") == NULL &&
                strstr(text, "three 3\n") != NULL);
    sf_mem_free(text);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "no/such/folder.log", NULL));
    sf_log_file_open(path);
    assert_non_null(strstr(s.last, " warn log file="));
    sf_log_file_close();
}

static void progress(void **state)
{
    (void)state;
    seen s = { .lines = 0 };
    sf_log_set_sink(keep, &s);
    sf_progress *p = sf_progress_begin("tiles", 50);
    assert_non_null(p);
    for (int i = 1; i <= 60; i++) sf_progress_step(p, i);
    sf_progress_end(&p);
    assert_null(p);
    assert_non_null(strstr(s.last, "progress what=tiles done=50 total=50 sec="));
    assert_non_null(strstr(s.last, "eta_sec=0"));
    assert_int_equal(s.lines, 1);
    assert_null(sf_progress_begin("none", 0));
    sf_progress_step(NULL, 1);
    sf_progress_end(&p);
    sf_progress_end(NULL);
}

static void *chatter(void *unused)
{
    (void)unused;
    for (int i = 0; i < 500; i++) sf_log(SF_LOG_WARN, "t", "i=%d", i);
    return NULL;
}

static void threads(void **state)
{
    (void)state;
    seen s = { .lines = 0 };
    pthread_t t[4];
    sf_log_set_sink(keep, &s);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, chatter, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    assert_int_equal(s.lines, 2000);
    sf_log_set_sink(NULL, NULL);
}

static void clocks(void **state)
{
    (void)state;
    const double a = sf_now(), c = sf_cpu_seconds();
    double spin = 0;
    while (sf_cpu_seconds() < c + 0.01) spin += 1;
    assert_true(sf_now() > a && spin > 0);
}

static void spin(double seconds)
{
    const double begin = sf_now();
    while (sf_now() < begin + seconds) continue;
}

/* What lies within an event is not counted twice. */
static void profile_nested(void **state)
{
    (void)state;
    sf_prof p = { 0 }, sum = { 0 };
    const double begin = sf_now();
    sf_prof_begin(&p, SF_EV_VALIDATE);
    for (int i = 0; i < 2; i++) {
        sf_prof_begin(&p, SF_EV_FORWARD);
        sf_prof_begin(&p, SF_EV_HALO);
        spin(0.02);
        sf_prof_end(&p, SF_EV_HALO, 0, 0);
        sf_prof_end(&p, SF_EV_FORWARD, 0, 0);
    }
    spin(0.01);
    sf_prof_end(&p, SF_EV_VALIDATE, 0, 0);
    const double wall = sf_now() - begin;
    sf_prof_add(&sum, &p);
    sf_prof_add(&sum, &p);
    sf_prof_add(&sum, NULL);
    sf_prof_add(NULL, &p);
    const double forward = p.ev[SF_EV_FORWARD].seconds, halo = p.ev[SF_EV_HALO].seconds,
                 validate = p.ev[SF_EV_VALIDATE].seconds;
    assert_true(halo >= 0.04 && validate >= 0.01 && forward >= 0);
    assert_true(forward + halo + validate <= wall);
    assert_true(forward + halo + validate > 0.9 * wall - 0.01);
    assert_int_equal(sum.ev[SF_EV_HALO].calls, 4);
    assert_true(sum.ev[SF_EV_HALO].seconds == 2 * halo);
}

static void profile(void **state)
{
    (void)state;
    sf_prof p = { 0 };
    char *text = NULL;
    size_t size = 0;
    for (int i = 0; i < 3; i++) {
        sf_prof_begin(&p, SF_EV_FORWARD);
        sf_prof_end(&p, SF_EV_FORWARD, 10, 20);
    }
    sf_prof_begin(NULL, SF_EV_LOSS);
    sf_prof_end(NULL, SF_EV_LOSS, 0, 0);
    assert_int_equal(p.ev[SF_EV_FORWARD].calls, 3);
    assert_true(p.ev[SF_EV_FORWARD].flops == 30 && p.ev[SF_EV_FORWARD].bytes == 60);
    assert_true(p.ev[SF_EV_FORWARD].seconds >= 0 && p.ev[SF_EV_FORWARD].seconds < 1);
    for (int i = 0; i < SF_EV_COUNT; i++) assert_true(strlen(sf_prof_name((sf_event)i)) > 1);
    FILE *to = open_memstream(&text, &size);
    sf_prof_print(&p, to);
    sf_prof_print(NULL, to);
    fclose(to);
    assert_non_null(strstr(text, "forward"));
    assert_null(strstr(text, "backward"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_form),        cmocka_unit_test(who_speaks),
        cmocka_unit_test(long_line_is_cut), cmocka_unit_test(file_gets_a_copy),
        cmocka_unit_test(progress),         cmocka_unit_test(threads),
        cmocka_unit_test(clocks),           cmocka_unit_test(profile),
        cmocka_unit_test(profile_nested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
