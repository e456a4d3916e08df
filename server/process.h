/* process: what this process takes of the machine, as the proc file system tells (proc(5)). */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

struct process {
    double cpu_seconds;   /* of user and system together */
    double start_seconds; /* since 1970 */
    uint64_t virtual_bytes, resident_bytes;
    uint64_t open_files, files_limit;
};

/* False: it cannot be known. */
bool process_look(struct process *process);

#endif
