#include "mpi/h5_open.h"
#include "base/log.h"
#include "mpi/comm_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void silence(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

/* Keep the description of the innermost failure: it says why. */
static herr_t innermost(unsigned n, const H5E_error2_t *e, void *user)
{
    if (n == 0 && e->desc) snprintf(user, 256, "%s", e->desc);
    return 0;
}

sf_status sf_h5_fail_(sf_status st, const char *call, const char *file, int line)
{
    char why[256] = "unknown reason";
    int name = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, why);
    H5Eclear2(H5E_DEFAULT);
    while (call[name] != '\0' && call[name] != '(') name++;
    return sf_fail_(st, file, line, "HDF5 %.*s: %s", name, call, why);
}

#define H5_PROP(call)                                                                              \
    do {                                                                                           \
        if ((call) < 0) return sf_h5_fail_(SF_EIO, #call, __FILE__, __LINE__);                     \
    } while (0)

static sf_status no_locks(hid_t fapl)
{
    (void)fapl;
#if H5_VERSION_GE(1, 10, 7) && !(H5_VERS_MAJOR == 1 && H5_VERS_MINOR == 12 && H5_VERS_RELEASE == 0)
    H5_PROP(H5Pset_file_locking(fapl, 0, 1));
#endif
    return SF_OK;
}

static sf_status set_driver(hid_t fapl, sf_comm *c)
{
#ifdef SEGFLEET_MPI
    if (c->size > 1) {
        H5_PROP(H5Pset_fapl_mpio(fapl, c->mpi, c->has_hints ? c->hints : MPI_INFO_NULL));
        H5_PROP(H5Pset_coll_metadata_write(fapl, 1));
        H5_PROP(H5Pset_all_coll_metadata_ops(fapl, 1));
    }
#endif
    (void)c;
    return no_locks(fapl);
}

static sf_status make_access(hid_t fapl, sf_comm *c, int64_t alignment)
{
    if (c != NULL)
        SF_TRY(set_driver(fapl, c));
    else
        SF_TRY(no_locks(fapl));
    if (alignment > 0) H5_PROP(H5Pset_alignment(fapl, (hsize_t)alignment, (hsize_t)alignment));
    H5_PROP(H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG));
    return SF_OK;
}

/* The driver's message for a file that cannot be created does not name the reason: ask the system
 * first. */
static sf_status probe_create(sf_comm *c, const char *path)
{
    sf_status st = SF_OK;
    if (sf_comm_rank(c) == 0) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0)
            st = SF_FAIL(SF_EIO, "%s: cannot be created: %s", path, strerror(errno));
        else
            close(fd);
    }
    return sf_comm_agree(c, st);
}

#ifdef SEGFLEET_MPI
/* One line: each hint that was asked for, and what the file system's driver says of it now. */
static void log_hints(hid_t file, const sf_comm *c)
{
    MPI_File *handle = NULL;
    MPI_Info now = MPI_INFO_NULL;
    char key[MPI_MAX_INFO_KEY + 1], want[256], have[256], line[1024] = "";
    int n = 0, found, at = 0;
    if (!c->has_hints || c->size == 1 || c->rank != 0) return;
    if (H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&handle) < 0) return;
    if (MPI_File_get_info(*handle, &now) != MPI_SUCCESS) return;
    MPI_Info_get_nkeys(c->hints, &n);
    for (int i = 0; i < n && at < (int)sizeof line - 1; i++) {
        MPI_Info_get_nthkey(c->hints, i, key);
        MPI_Info_get(c->hints, key, (int)sizeof want - 1, want, &found);
        MPI_Info_get(now, key, (int)sizeof have - 1, have, &found);
        const char *said = !found ? "ignored" : strcmp(want, have) == 0 ? "accepted" : have;
        at += snprintf(line + at, sizeof line - (size_t)at, " %s=%s:%s", key, want, said);
    }
    MPI_Info_free(&now);
    sf_log(SF_LOG_INFO, "io_hints", "%s", line + (line[0] == ' '));
}
#endif

sf_status sf_h5_create(hid_t *out, sf_comm *c, const char *path, int64_t alignment)
{
    *out = H5I_INVALID_HID;
    silence();
    SF_TRY(probe_create(c, path));
    sf_status st = SF_OK;
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    st = fapl < 0 ? sf_h5_fail_(SF_EIO, "H5Pcreate", __FILE__, __LINE__)
                  : make_access(fapl, c, alignment);
    SF_GOTO(done, st, sf_comm_agree(c, st));
    *out = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, fapl);
    if (*out < 0) st = sf_h5_fail_(SF_EIO, "H5Fcreate", __FILE__, __LINE__);
    SF_GOTO(done, st, sf_comm_agree(c, st));
#ifdef SEGFLEET_MPI
    log_hints(*out, c);
#endif
done:
    if (fapl >= 0) H5Pclose(fapl);
    return st;
}

sf_status sf_h5_open_read(hid_t *out, const char *path)
{
    *out = H5I_INVALID_HID;
    silence();
    if (access(path, R_OK) != 0)
        return SF_FAIL(SF_EIO, "%s: cannot be read: %s", path, strerror(errno));
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (fapl < 0) return sf_h5_fail_(SF_EIO, "H5Pcreate", __FILE__, __LINE__);
    sf_status st = make_access(fapl, NULL, 0);
    if (st == SF_OK) *out = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    if (st == SF_OK && *out < 0) st = sf_h5_fail_(SF_EDATA, "H5Fopen", __FILE__, __LINE__);
    H5Pclose(fapl);
    return st;
}
