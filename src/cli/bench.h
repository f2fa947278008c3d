/** The words of `segfleet bench`, shared by its files; bench_<name>.c holds one measurement. */
#ifndef SF_CLI_BENCH_H
#define SF_CLI_BENCH_H
#include "train/bench.h"

typedef struct {
    const char *plans, *dataset_json, *config, *json, *conv, *precision;
    int64_t batch, threads, repeat;
} sf_bench_words;

/** Print the table of a step's parts, and write it as JSON when asked. */
sf_status sf_cli_bench_layers(const sf_bench_words *w, const sf_bench_step *b);

#endif
