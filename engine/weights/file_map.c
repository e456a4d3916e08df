#include "engine/weights/file_map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status map_descriptor(int fd, size_t limit, struct file_map *map, struct error *error) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return error_set(error, STATUS_IO, "cannot be examined: %m");
    }
    if (!S_ISREG(info.st_mode)) {
        return error_set(error, STATUS_UNSUPPORTED, "is not a regular file");
    }
    if (info.st_size <= 0) {
        return error_set(error, STATUS_UNSUPPORTED, "is empty");
    }
    if ((uintmax_t)info.st_size > limit) {
        return error_set(error, STATUS_TOO_LARGE, "has %jd bytes; the limit is %zu",
                         (intmax_t)info.st_size, limit);
    }
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return error_set(error, STATUS_IO, "cannot be mapped: %m");
    }
    *map = (struct file_map){.bytes = bytes, .size = (size_t)info.st_size};
    return STATUS_OK;
}

enum status file_map_open(const char *path, size_t limit, struct file_map *map,
                          struct error *error) {
    *map = (struct file_map){0};
    /* Without O_NONBLOCK, opening a FIFO would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return error_set(error, STATUS_IO, "cannot be opened: %m");
    }
    enum status status = map_descriptor(fd, limit, map, error);
    close(fd);
    return status;
}

void file_map_trim(const struct file_map *map) {
    if (map->bytes)
        madvise((void *)(uintptr_t)map->bytes, map->size, MADV_DONTNEED);
}

void file_map_close(struct file_map *map) {
    if (map->bytes) {
        munmap((void *)(uintptr_t)map->bytes, map->size);
    }
    *map = (struct file_map){0};
}
