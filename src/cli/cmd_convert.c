/* convert: datasets of other forms, single files, stacks of planes. */
#include "base/mem.h"
#include "cli/command.h"
#include "fleet/threads.h"
#include "image/rewrite.h"
#include "plan/convert.h"
#include <stdio.h>
#include <stdlib.h>

static const char details[] =
    "IN may be\n"
    "  a Decathlon folder TaskXX_Name    4-D images are split into one file per channel\n"
    "  an nnU-Net v1 folder TaskXXX_Name\n"
    "      OUT: the folder in which DatasetXXX_Name is made (default: nnUNet_raw), or that name\n"
    "  an image file                     OUT: a file of another format\n"
    "  a folder of planes (PNG, TIFF)    OUT: one file that holds the volume\n"
    "Several channels of one file go to OUT_0000, OUT_0001, ... Nothing that exists is replaced.";

static sf_status parse_spacing(double out[3], const char *list)
{
    char **word = NULL;
    int n = 0;
    SF_TRY(sf_args_split(&word, &n, list));
    bool good = n == 3;
    for (int i = 0; i < n && good; i++) {
        char *end = NULL;
        out[i] = strtod(word[i], &end);
        good = *end == '\0' && out[i] > 0.0 && out[i] < 1e30;
    }
    sf_mem_free(word);
    SF_CHECK(good, SF_EINVAL, "--spacing needs three positive numbers z,y,x, not '%s'", list);
    return SF_OK;
}

static sf_status convert_task(const char *in, const char *out, int64_t number)
{
    sf_convert_result r;
    const sf_convert_options o = { .number = (int)number, .threads = sf_threads_available() };
    if (!out) out = getenv("nnUNet_raw");
    SF_CHECK(out && *out, SF_EINVAL, "give OUT, the folder for the new dataset, or set nnUNet_raw");
    SF_CHECK(number < 1000, SF_EINVAL, "--id must be 0..999");
    SF_TRY(sf_convert_task(&r, in, out, &o));
    printf("%s: %lld files, converted from %s; check them: segfleet verify %s\n", r.dir,
           (long long)r.files, r.from_v1 ? "nnU-Net v1" : "the Decathlon's form", r.dir);
    return SF_OK;
}

static sf_status convert_file(const char *in, const char *out, const char *spacing_list)
{
    double spacing[3];
    int written = 0;
    char json[SF_PATH_MAX];
    SF_TRY(sf_path_join(json, in, "dataset.json", NULL));
    SF_CHECK(!sf_path_is_file(json), SF_EINVAL, "%s has nnU-Net v2's form already: use it as it is",
             in);
    SF_CHECK(out, SF_EINVAL, "give OUT, the file to write");
    if (spacing_list) SF_TRY(parse_spacing(spacing, spacing_list));
    SF_TRY(sf_image_rewrite(&written, in, out, spacing_list ? spacing : NULL));
    printf("%s: %d file(s) written\n", out, written);
    return SF_OK;
}

sf_status sf_cmd_convert(int argc, char **argv)
{
    const char *in = NULL, *out = NULL, *spacing = NULL;
    int64_t number = -1;
    bool has_number = false, done = false;
    sf_arg args[] = {
        SF_ARG("IN", 0, STR, &in, NULL, "a task's folder, an image file, or a folder of planes",
               .positional = true, .required = true),
        SF_ARG("OUT", 0, STR, &out, NULL, "folder or file to make", .positional = true),
        SF_ARG("id", 0, INT, &number, "N", "number of the new dataset; default: the task's",
               .given = &has_number),
        SF_ARG("spacing", 0, STR, &spacing, "Z,Y,X",
               "voxel size to store; default: the file's, for planes 1,1,1"),
        SF_ARG_END,
    };
    const sf_arg_table table = { "convert",
                                 "Decathlon and nnU-Net v1 datasets, image files, stacks of planes",
                                 details, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(!has_number || number >= 0, SF_EINVAL, "--id must be 0..999");
    if (sf_convert_is_task(in)) {
        SF_CHECK(!spacing, SF_EINVAL, "--spacing is for files and stacks, not for datasets");
        return convert_task(in, out, number);
    }
    SF_CHECK(!has_number, SF_EINVAL,
             "--id is for datasets, but %s has no dataset.json of the Decathlon's form", in);
    return convert_file(in, out, spacing);
}
