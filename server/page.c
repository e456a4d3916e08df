/* The web page: its files are the program's own, and need nobody else's. */
#include "server/conditional.h"
#include "server/routes.h"

#define CONTENT_SECURITY_POLICY                                                                    \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "        \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

void handle_page(struct request *request) {
    struct page_file file;
    if (!page_file_find(request->path, &file)) {
        request_refuse_with(request, PROBLEM_INTERNAL, "%s is not in the program", request->path);
        return;
    }
    char etag[ETAG_SIZE];
    etag_of(etag, file.bytes, file.size);
    if (conditional_settled(request, etag, "no-cache"))
        return;
    struct answer answer = {
        .status = MHD_HTTP_OK,
        .fixed = file.bytes,
        .size = file.size,
        .content_type = file.content_type,
        .headers = {{MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache"},
                    {MHD_HTTP_HEADER_ETAG, etag},
                    {"Content-Security-Policy", CONTENT_SECURITY_POLICY},
                    {"Referrer-Policy", "no-referrer"}},
    };
    request_answer(request, &answer);
}
