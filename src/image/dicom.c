/* DICOM is recognised, never read: a series needs its scanner's rules to become a volume, and
 * dcm2niix knows them. */
#include "base/path.h"
#include "image/image.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool has_dicom_name(const char *path)
{
    static const char *const endings[] = { ".dcm", ".dicom", ".ima" };
    const size_t n = strlen(path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t m = strlen(endings[i]);
        if (n > m && strcasecmp(path + n - m, endings[i]) == 0) return true;
    }
    return strcmp(sf_path_base(path), "DICOMDIR") == 0;
}

static bool has_dicom_mark(const char *file)
{
    char head[132] = "";
    FILE *f = fopen(file, "rb");
    if (!f) return false;
    const size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    return n == sizeof head && memcmp(head + 128, "DICM", 4) == 0;
}

/* The first visible file decides; a series may lie one folder deeper. */
static bool folder_is_dicom(const char *dir, int depth)
{
    char **names = NULL, path[SF_PATH_MAX];
    size_t n = 0, at = 0;
    bool yes = false;
    if (sf_path_list(&names, &n, dir) != SF_OK) return false;
    while (at < n && names[at][0] == '.') at++;
    if (at < n && sf_path_join(path, dir, names[at], NULL) == SF_OK) {
        if (sf_path_is_dir(path))
            yes = depth > 0 && folder_is_dicom(path, depth - 1);
        else
            yes = has_dicom_name(path) || has_dicom_mark(path);
    }
    sf_path_free_list(&names, n);
    return yes;
}

bool sf_image_is_dicom(const char *path)
{
    if (sf_path_is_dir(path)) return folder_is_dicom(path, 2);
    return has_dicom_name(path) || (sf_path_is_file(path) && has_dicom_mark(path));
}

const char *sf_image_dicom_advice(void)
{
    return "DICOM is not read. Convert each series to one NIfTI file first, for example with "
           "dcm2niix (Debian package dcm2niix): dcm2niix -z y -f CASE_0000 -o imagesTr "
           "FOLDER_OF_THE_SERIES";
}
