#include "server/quiesce.h"

#include <microhttpd.h>
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/log.h"

/* MHD_quiesce_daemon takes the listening socket out of the epoll set of each polling thread. One
 * that is awake just then does so itself, what libmicrohttpd 0.9.75 foresees for a daemon of one
 * thread only: with several it panics, and the daemon would die instead of draining. It holds no
 * lock there, and a thread that is done is passed over the next time; so it is asked again. */
enum { ATTEMPTS = 1000, PAUSE_MICROSECONDS = 1000 };

static _Thread_local jmp_buf *retry; /* of the thread that quiesces, while it may */

static void on_panic(void *user, const char *file, unsigned line, const char *reason) {
    (void)user;
    if (retry)
        longjmp(*retry, 1);
    log_event(LOG_ERROR, "libmicrohttpd cannot go on", LOG_STRING("reason", reason),
              LOG_STRING("file", file), LOG_INTEGER("line", (int64_t)line));
    abort();
}

void quiesce_prepare(void) {
    MHD_set_panic_func(on_panic, NULL);
}

int quiesce(struct MHD_Daemon *daemon) {
    jmp_buf again;
    volatile int attempts = 0;
    if (setjmp(again))
        usleep(PAUSE_MICROSECONDS);
    retry = ++attempts < ATTEMPTS ? &again : NULL;
    const int listening = MHD_quiesce_daemon(daemon);
    retry = NULL;
    return listening;
}
