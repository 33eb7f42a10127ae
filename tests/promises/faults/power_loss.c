/* Notes how much of each append-only file is safe on disk, so that a harness can cut power under the server.
 *
 * Preloaded into Valkey or Redis. After every completed fsync or fdatasync of a *.incr.aof file it overwrites
 * $SYNCED_SIZES/<name of the file> with the size that the file had before the call: never too much is promised.
 * SIGKILL alone is no power cut, for the kernel keeps what was written and not yet synced.
 * Not emulated: a rewrite's new base file, renames, torn sectors.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char SUFFIX[] = ".incr.aof";

/* The file's name when the descriptor is an append-only file, else NULL. */
static const char *append_only_name(int descriptor, char *path) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < (ssize_t)sizeof SUFFIX) return NULL;
    path[length] = 0;
    if (strcmp(path + length - (sizeof SUFFIX - 1), SUFFIX)) return NULL;
    return strrchr(path, '/') + 1;
}

static void note(const char *name, long long size) {
    const char *folder = getenv("SYNCED_SIZES");
    char path[PATH_MAX], line[32];
    if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) abort();
    int written = snprintf(line, sizeof line, "%20lld\n", size);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    /* One write of one length: a reader finds the old number or the new one. */
    if (file < 0 || pwrite(file, line, written, 0) != written) abort();
    close(file);
}

static int synced_by(const char *call, int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    char path[PATH_MAX];
    struct stat before;
    const char *name = append_only_name(descriptor, path);
    if (name && fstat(descriptor, &before)) name = NULL;
    int result = real(descriptor);
    if (result == 0 && name) note(name, (long long)before.st_size);
    return result;
}

int fsync(int descriptor) { return synced_by("fsync", descriptor); }

int fdatasync(int descriptor) { return synced_by("fdatasync", descriptor); }
