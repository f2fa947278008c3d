#include "tests/plan/tiny_dataset.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

const int64_t tiny_shape[3] = { 6, 7, 8 };
const double tiny_spacing[3] = { 2, 1, 1 };
const char tiny_plain_labels[] = "{\"background\": 0, \"a\": 1, \"b\": 2}";

enum { VOXELS = 512 }; /* room for all shapes of the tests */

static char root[SF_PATH_MAX], warnings[8192];

const char *tiny_root(void) { return root; }

const char *tiny_at(const char *name)
{
    static char path[4][SF_PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    tst_ok(sf_path_join(path[turn], root, name, NULL));
    return path[turn];
}

static void make_geometry(sf_geometry *geo, const char *name, const int64_t shape[3],
                          const double spacing[3])
{
    const bool png = strstr(name, ".png") != NULL;
    sf_geometry_make(geo, png ? SF_FORMAT_PNG : SF_FORMAT_NIFTI, shape, spacing);
}

void tiny_write_image(const char *name, const int64_t shape[3], const double spacing[3], float v)
{
    sf_geometry geo;
    float voxels[VOXELS];
    make_geometry(&geo, name, shape, spacing);
    for (int i = 0; i < VOXELS; i++) voxels[i] = v + (float)(i % 7);
    tst_ok(sf_image_write(tiny_at(name), &geo, voxels));
}

void tiny_write_label(const char *name, const int64_t shape[3], const double spacing[3], int top)
{
    sf_geometry geo;
    int32_t voxels[VOXELS];
    make_geometry(&geo, name, shape, spacing);
    for (int i = 0; i < VOXELS; i++) voxels[i] = i % (top + 1);
    tst_ok(sf_label_write(tiny_at(name), &geo, voxels, top));
}

void tiny_write_text(const char *name, const char *text)
{
    tst_ok(sf_path_write(tiny_at(name), text, strlen(text)));
}

void tiny_write_json(const char *labels, int num_training, const char *more)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": %s, "
             "\"numTraining\": %d, \"file_ending\": \".nii.gz\"%s}",
             labels, num_training, more);
    tiny_write_text("dataset.json", text);
}

int tiny_dataset_make(void **state)
{
    static int count;
    char name[64];
    (void)state;
    snprintf(name, sizeof name, "Dataset%03d_Test", ++count);
    tst_ok(sf_path_join(root, tst_tmp_dir(), name, NULL));
    tst_ok(sf_path_make_dirs(tiny_at("imagesTr")));
    tst_ok(sf_path_make_dirs(tiny_at("labelsTr")));
    for (int c = 0; c < 3; c++) {
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "imagesTr/case_%d_%04d.nii.gz", c, k);
            tiny_write_image(name, tiny_shape, tiny_spacing, (float)(10 * c + k));
        }
        snprintf(name, sizeof name, "labelsTr/case_%d.nii.gz", c);
        tiny_write_label(name, tiny_shape, tiny_spacing, 2);
    }
    tiny_write_json(tiny_plain_labels, 3, "");
    return 0;
}

void tiny_refused(sf_status want, const char *word)
{
    sf_dataset *d = NULL;
    assert_int_equal(sf_dataset_load(&d, root), want);
    assert_null(d);
    if (!strstr(sf_error_text(), word)) fail_msg("\"%s\" lacks \"%s\"", sf_error_text(), word);
}

static void keep_line(void *user, sf_log_level level, const char *line)
{
    (void)user;
    if (level == SF_LOG_WARN) strncat(warnings, line, sizeof warnings - strlen(warnings) - 2);
}

const char *tiny_warnings(void) { return warnings; }

int tiny_listen(void **state)
{
    warnings[0] = '\0';
    sf_log_set_sink(keep_line, NULL);
    return tiny_dataset_make(state);
}

int tiny_stop_listening(void **state)
{
    (void)state;
    sf_log_set_sink(NULL, NULL);
    return 0;
}
