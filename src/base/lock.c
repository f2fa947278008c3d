#include "base/lock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static sf_status refuse(int fd, struct flock wanted, const char *what)
{
    char who[64] = "another process";
    if (fcntl(fd, F_GETLK, &wanted) == 0 && wanted.l_type != F_UNLCK && wanted.l_pid > 0)
        snprintf(who, sizeof who, "process %ld", (long)wanted.l_pid);
    return SF_FAIL(SF_EINVAL, "%s is in use by %s: wait until it has ended, then run again", what,
                   who);
}

sf_status sf_lock_take(int *lock, const char *file, bool shared, const char *what)
{
    struct flock wanted = { .l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
    *lock = -1;
    const int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    SF_CHECK(fd >= 0, SF_EIO, "%s: cannot be made: %s", file, strerror(errno));
    if (fcntl(fd, F_SETLK, &wanted) == 0) {
        *lock = fd;
        return SF_OK;
    }
    const int why = errno;
    sf_status st = SF_OK;
    if (why == EACCES || why == EAGAIN)
        st = refuse(fd, wanted, what);
    else
        sf_log(SF_LOG_WARN, "lock", "no lock on %s (%s): start no second process on it", file,
               strerror(why));
    close(fd);
    return st;
}

void sf_lock_release(int *lock)
{
    if (*lock >= 0) close(*lock);
    *lock = -1;
}
