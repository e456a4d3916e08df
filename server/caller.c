#include "server/caller.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

static struct caller map(const void *ipv4) {
    struct caller caller;
    memcpy(caller.address, MAPPED, sizeof MAPPED);
    memcpy(caller.address + sizeof MAPPED, ipv4, 4);
    return caller;
}

static bool is_mapped(const struct caller *caller) {
    return memcmp(caller->address, MAPPED, sizeof MAPPED) == 0;
}

struct caller caller_of(const struct sockaddr *address) {
    struct caller caller = {{0}};
    if (address && address->sa_family == AF_INET)
        return map(&((const struct sockaddr_in *)address)->sin_addr);
    if (address && address->sa_family == AF_INET6)
        memcpy(caller.address, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
    return caller;
}

bool caller_forwarded(const char *header, struct caller *caller) {
    char text[INET6_ADDRSTRLEN];
    uint8_t ipv4[4];
    const char *last = strrchr(header, ',');
    last = last ? last + 1 : header;
    last += strspn(last, " \t");
    const size_t length = strcspn(last, " \t");
    if (length >= sizeof text || last[length + strspn(last + length, " \t")])
        return false;
    memcpy(text, last, length);
    text[length] = '\0';
    if (inet_pton(AF_INET, text, ipv4) != 1)
        return inet_pton(AF_INET6, text, caller->address) == 1;
    *caller = map(ipv4);
    return true;
}

bool caller_is_loopback(const struct caller *caller) {
    static const uint8_t ipv6[16] = {[15] = 1};
    return is_mapped(caller) ? caller->address[12] == 127
                             : memcmp(caller->address, ipv6, sizeof ipv6) == 0;
}

const char *caller_text(const struct caller *caller, char text[INET6_ADDRSTRLEN]) {
    const bool mapped = is_mapped(caller);
    inet_ntop(mapped ? AF_INET : AF_INET6, caller->address + (mapped ? sizeof MAPPED : 0), text,
              INET6_ADDRSTRLEN);
    return text;
}
