/* quiesce: MHD_quiesce_daemon for a daemon of several polling threads. */
#ifndef SERVER_QUIESCE_H
#define SERVER_QUIESCE_H

struct MHD_Daemon;

/* Once, before the first daemon is started. */
void quiesce_prepare(void);

/* The daemon accepts nobody any more. The listening socket is the caller's from now on, but may be
 * closed only after MHD_stop_daemon. */
int quiesce(struct MHD_Daemon *daemon);

#endif
