/* caller: the address that a request comes from. */
#ifndef SERVER_CALLER_H
#define SERVER_CALLER_H

#include <stdbool.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <sys/socket.h>

/* IPv6; IPv4 as ::ffff:a.b.c.d. */
struct caller {
    uint8_t address[16];
};

/* Of a socket's other end; zeros when it is neither IPv4 nor IPv6. */
struct caller caller_of(const struct sockaddr *address);

/* The last address of an X-Forwarded-For header: the one that the nearest proxy has seen. False:
 * it is none. */
bool caller_forwarded(const char *header, struct caller *caller);

/* 127.0.0.0/8 or ::1. */
bool caller_is_loopback(const struct caller *caller);

const char *caller_text(const struct caller *caller, char text[INET6_ADDRSTRLEN]); /* text */

#endif
