#include "server/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_MAX = 1 << 20 };

struct identity {
    unsigned count; /* of the chain */
    gnutls_x509_crt_t *chain;
    gnutls_x509_privkey_t key;
};

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct identity served; /* guarded by it */

static void identity_free(struct identity *identity) {
    for (unsigned i = 0; i < identity->count; i++)
        gnutls_x509_crt_deinit(identity->chain[i]);
    gnutls_free(identity->chain);
    if (identity->key)
        gnutls_x509_privkey_deinit(identity->key);
    *identity = (struct identity){0};
}

/* ---- reading ----------------------------------------------------------------------------- */

static enum status read_pem(const char *path, gnutls_datum_t *pem, struct error *error) {
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, STATUS_IO, "%.100s: %s", path, strerror(errno));
    errno = 0;
    pem->data = malloc(PEM_MAX);
    pem->size = pem->data ? (unsigned)fread(pem->data, 1, PEM_MAX, file) : 0;
    const int why = ferror(file) ? errno : 0;
    fclose(file);
    if (!pem->data)
        return error_set(error, STATUS_NO_MEMORY, "out of memory");
    if (why)
        return error_set(error, STATUS_IO, "%.100s: %s", path, strerror(why));
    return STATUS_OK;
}

/* What GnuTLS says of a file, if it is not content with it. */
static enum status check(int code, const char *path, const char *what, struct error *error) {
    if (code >= 0)
        return STATUS_OK;
    return error_set(error, code == GNUTLS_E_MEMORY_ERROR ? STATUS_NO_MEMORY : STATUS_INVALID,
                     "%.100s: no %s: %s", path, what, gnutls_strerror(code));
}

static enum status read_chain(const char *path, struct identity *identity, struct error *error) {
    gnutls_datum_t pem = {0};
    enum status status = read_pem(path, &pem, error);
    if (status == STATUS_OK)
        status = check(gnutls_x509_crt_list_import2(&identity->chain, &identity->count, &pem,
                                                    GNUTLS_X509_FMT_PEM,
                                                    GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED),
                       path, "chain of PEM certificates", error);
    free(pem.data);
    return status;
}

static enum status read_key(const char *path, struct identity *identity, struct error *error) {
    gnutls_datum_t pem = {0};
    enum status status = read_pem(path, &pem, error);
    if (status == STATUS_OK)
        status = check(gnutls_x509_privkey_init(&identity->key), path, "memory for a key", error);
    if (status == STATUS_OK)
        status = check(gnutls_x509_privkey_import2(identity->key, &pem, GNUTLS_X509_FMT_PEM, NULL,
                                                   GNUTLS_PKCS_PLAIN),
                       path, "unencrypted PEM private key", error);
    if (pem.data)
        explicit_bzero(pem.data, pem.size);
    free(pem.data);
    return status;
}

/* Whether the key is that of the first certificate, by the names that X.509 gives to keys. */
static bool belong_together(const struct identity *identity) {
    unsigned char of_chain[64], of_key[64];
    size_t chain_size = sizeof of_chain, key_size = sizeof of_key;
    return gnutls_x509_crt_get_key_id(identity->chain[0], GNUTLS_KEYID_USE_SHA256, of_chain,
                                      &chain_size) == 0 &&
           gnutls_x509_privkey_get_key_id(identity->key, GNUTLS_KEYID_USE_SHA256, of_key,
                                          &key_size) == 0 &&
           chain_size == key_size && memcmp(of_chain, of_key, key_size) == 0;
}

enum status tls_load(const char *certificate_path, const char *key_path, struct error *error) {
    struct identity identity = {0};
    enum status status = read_chain(certificate_path, &identity, error);
    if (status == STATUS_OK)
        status = read_key(key_path, &identity, error);
    if (status == STATUS_OK && !belong_together(&identity))
        status = error_set(error, STATUS_INVALID, "%.100s: not the key of the certificate %.100s",
                           key_path, certificate_path);
    if (status == STATUS_OK) {
        pthread_rwlock_wrlock(&lock);
        const struct identity old = served;
        served = identity;
        identity = old;
        pthread_rwlock_unlock(&lock);
    }
    identity_free(&identity);
    return status;
}

void tls_unload(void) {
    identity_free(&served);
}

/* ---- serving ----------------------------------------------------------------------------- */

/* Copies, which GnuTLS frees after the handshake: until then another identity may be loaded. */
static int copy_identity(gnutls_pcert_st *chain, gnutls_privkey_t key) {
    int code = gnutls_privkey_import_x509(key, served.key, GNUTLS_PRIVKEY_IMPORT_COPY);
    for (unsigned i = 0; code >= 0 && i < served.count; i++) {
        code = gnutls_pcert_import_x509(&chain[i], served.chain[i], 0);
        for (unsigned done = i; code < 0 && done > 0; done--)
            gnutls_pcert_deinit(&chain[done - 1]);
    }
    return code;
}

int tls_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                    gnutls_pcert_st **certificates, unsigned *count, gnutls_ocsp_data_st **ocsp,
                    unsigned *ocsp_count, gnutls_privkey_t *private_key, unsigned *flags) {
    (void)session, (void)info;
    int code = GNUTLS_E_MEMORY_ERROR;
    gnutls_privkey_t key = NULL;
    pthread_rwlock_rdlock(&lock);
    gnutls_pcert_st *chain = gnutls_calloc(served.count, sizeof *chain);
    if (chain && gnutls_privkey_init(&key) >= 0)
        code = copy_identity(chain, key);
    *count = served.count;
    pthread_rwlock_unlock(&lock);
    if (code < 0) {
        gnutls_free(chain);
        gnutls_privkey_deinit(key);
        return -1;
    }
    *certificates = chain;
    *private_key = key;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}
