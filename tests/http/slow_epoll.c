/* Preloaded: the main thread takes long to remove a file from an epoll set. */
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

int epoll_ctl(int epoll, int operation, int file, struct epoll_event *event) {
    if (operation == EPOLL_CTL_DEL && syscall(SYS_gettid) == getpid())
        usleep(50000);
    return (int)syscall(SYS_epoll_ctl, epoll, operation, file, event);
}
