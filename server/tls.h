/* tls: the certificate that HTTPS is served with, which can be read again while clients come.
 *
 * GnuTLS asks for it by a callback that has no argument of ours: so the process has one. */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include <gnutls/abstract.h>

#include "engine/status.h"

/* TLS 1.2 and 1.3, with forward secrecy and authenticated encryption only; the server's order. */
#define TLS_PRIORITIES                                                                             \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-CIPHER-ALL:+AES-256-GCM:"                 \
    "+CHACHA20-POLY1305:+AES-128-GCM:%SERVER_PRECEDENCE"

/* Reads a chain of certificates, the server's first, and its private key, both PEM; when that is
 * done, they are what is served from now on. Otherwise what was read before stays. STATUS_IO: a
 * file cannot be read; STATUS_INVALID: it is not that, or the key is another certificate's. To be
 * called by one thread at a time. */
enum status tls_load(const char *certificate_path, const char *key_path, struct error *error);
void tls_unload(void); /* when nobody is served any more */

/* For libmicrohttpd: MHD_OPTION_HTTPS_CERT_CALLBACK2. */
gnutls_certificate_retrieve_function3 tls_certificate;

#endif
