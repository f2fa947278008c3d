/** `segfleet bench predict`: where the time of a prediction goes. */
#ifndef SF_CLI_BENCH_PREDICT_H
#define SF_CLI_BENCH_PREDICT_H
#include "base/args.h"
#include "network/network.h"

typedef struct {
    const char *model, *json; /* json: file for the figures, or NULL */
    sf_arg_list in;           /* folder of images or image files */
    int threads, repeat;      /* medians of `repeat` runs */
    bool exact;
    sf_dtype precision;
} sf_bench_predict_words;

/** Segments the input `repeat` times into a temporary folder and prints seconds per stage, windows
 *  per second and the peak of memory. Not collective. */
sf_status sf_bench_predict(const sf_bench_predict_words *w);

#endif
