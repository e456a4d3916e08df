/* The files of page/, and the description of the API, as they are, in the program itself. */
#include <string.h>

#include "api/api.h"

/* The assembler reads the file, from the top of the tree, into the bytes from name to name_end. */
#define EMBED(name, file)                                                                          \
    extern const char name[], name##_end[];                                                        \
    __asm__(".pushsection .rodata\n" #name ": .incbin \"api/" file "\"\n" #name                    \
            "_end: .byte 0\n.popsection\n")

EMBED(page_index_html, "page/index.html");
EMBED(page_style_css, "page/style.css");
EMBED(page_app_js, "page/app.js");
EMBED(page_daemon_js, "page/daemon.js");
EMBED(page_export_js, "page/export.js");
EMBED(page_mask_js, "page/mask.js");
EMBED(page_preview_js, "page/preview.js");
EMBED(page_steps_js, "page/steps.js");
EMBED(page_view_js, "page/view.js");
EMBED(page_favicon_svg, "page/favicon.svg");
EMBED(page_sample_jpg, "page/sample.jpg");
EMBED(openapi_json, "openapi.json");

#define SCRIPT "text/javascript; charset=utf-8"

static const struct {
    const char *path, *content_type, *start, *end;
} FILES[] = {
    {"/", "text/html; charset=utf-8", page_index_html, page_index_html_end},
    {"/style.css", "text/css; charset=utf-8", page_style_css, page_style_css_end},
    {"/app.js", SCRIPT, page_app_js, page_app_js_end},
    {"/daemon.js", SCRIPT, page_daemon_js, page_daemon_js_end},
    {"/export.js", SCRIPT, page_export_js, page_export_js_end},
    {"/mask.js", SCRIPT, page_mask_js, page_mask_js_end},
    {"/preview.js", SCRIPT, page_preview_js, page_preview_js_end},
    {"/steps.js", SCRIPT, page_steps_js, page_steps_js_end},
    {"/view.js", SCRIPT, page_view_js, page_view_js_end},
    {"/favicon.svg", "image/svg+xml", page_favicon_svg, page_favicon_svg_end},
    {"/sample.jpg", "image/jpeg", page_sample_jpg, page_sample_jpg_end},
    {"/openapi.json", "application/json", openapi_json, openapi_json_end},
};

bool page_file_find(const char *path, struct page_file *file) {
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        if (strcmp(FILES[i].path, path) != 0)
            continue;
        file->content_type = FILES[i].content_type;
        file->bytes = FILES[i].start;
        file->size = (size_t)(FILES[i].end - FILES[i].start);
        return true;
    }
    return false;
}
