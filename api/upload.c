#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/json.h"

bool image_id_valid(const char *id) {
    static const char alphanumeric[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789";
    size_t size = strspn(id, alphanumeric);
    if (size == 0)
        return false;
    while (size <= IMAGE_ID_MAX && id[size]) {
        if (!strchr("._-", id[size]) && !strchr(alphanumeric, id[size]))
            return false;
        size++;
    }
    return size <= IMAGE_ID_MAX;
}

/* The base64 text of a data URI (RFC 2397), or of a string that is none. NULL: a data URI of
 * another form. */
static char *base64_text(char *string) {
    static const char scheme[] = "data:", base64[] = ";base64";
    if (strncasecmp(string, scheme, sizeof scheme - 1) != 0)
        return string;
    char *comma = strchr(string, ',');
    const size_t size = sizeof base64 - 1;
    if (!comma || (size_t)(comma - string) < sizeof scheme - 1 + size ||
        strncasecmp(comma - size, base64, size) != 0)
        return NULL;
    return comma + 1;
}

/* Decodes in place: bytes never outgrow the text, and an upload of many megabytes is not copied.
 * White space is skipped, as in the base64 of a PEM file. */
static bool base64_decode(char *text, uint8_t *bytes, size_t *size) {
    struct base64_decode_ctx context;
    base64_decode_init(&context);
    return base64_decode_update(&context, size, bytes, strlen(text), text) &&
           base64_decode_final(&context);
}

/* Takes the string out of the tree and makes it the upload's bytes. cJSON allocates by malloc, as
 * long as nobody gives it other hooks; nothing here does. */
static void read_image(const struct json_reader *reader, const struct json_path *path, cJSON *value,
                       struct upload *upload) {
    const char *unused;
    if (!json_string(reader, path, value, &unused))
        return;
    char *text = base64_text(value->valuestring);
    if (!text) {
        json_fault(reader, path, "a data URI must have the form data:image/png;base64,...");
        return;
    }
    upload->bytes = (uint8_t *)value->valuestring;
    value->valuestring = NULL;
    if (!base64_decode(text, upload->bytes, &upload->size)) {
        json_fault(reader, path, "must be base64 or a data URI");
    } else if (upload->size == 0) {
        json_fault(reader, path, "is empty");
    } else {
        /* The bytes may be kept for long: the quarter that the text took more goes back. */
        uint8_t *bytes = realloc(upload->bytes, upload->size);
        if (bytes)
            upload->bytes = bytes;
    }
}

static void read_id(const struct json_reader *reader, const struct json_path *path,
                    const cJSON *value, char id[IMAGE_ID_MAX + 1]) {
    const char *string;
    if (!json_string(reader, path, value, &string))
        return;
    if (image_id_valid(string))
        strcpy(id, string);
    else
        json_fault(reader, path, "must match [A-Za-z0-9][A-Za-z0-9._-]{0,127}");
}

static void read_model(const struct json_reader *reader, const struct json_path *path,
                       const cJSON *value, char *model, size_t size) {
    const char *string;
    if (!json_string(reader, path, value, &string))
        return;
    if (string[0] && strlen(string) < size)
        strcpy(model, string);
    else
        json_fault(reader, path, "must have 1 to %zu characters", size - 1);
}

/* Reads the upload's own members and takes them out of the tree; what stays is the prompt's. */
static void read_members(const struct json_reader *reader, cJSON *root, bool with_prompt,
                         struct upload *upload) {
    enum { IMAGE, ID, MODEL, MEMBERS };
    static const char *const names[MEMBERS] = {"image", "id", "model"};
    bool seen[MEMBERS] = {false};
    cJSON *member = root->child;
    while (member) {
        cJSON *next = member->next;
        const struct json_path path = {NULL, member->string, 0};
        int i = 0;
        while (i < MEMBERS && strcmp(member->string, names[i]) != 0)
            i++;
        if (i < MEMBERS && seen[i])
            json_fault(reader, &path, "duplicate member");
        else if (i == IMAGE)
            read_image(reader, &path, member, upload);
        else if (i == ID)
            read_id(reader, &path, member, upload->id);
        else if (i == MODEL)
            read_model(reader, &path, member, upload->model, sizeof upload->model);
        else if (!with_prompt)
            json_fault(reader, &path, "unknown member");
        if (i < MEMBERS) {
            seen[i] = true;
            cJSON_Delete(cJSON_DetachItemViaPointer(root, member));
        }
        member = next;
    }
    if (!seen[IMAGE])
        json_fault(reader, &(struct json_path){NULL, names[IMAGE], 0}, "is missing");
}

bool upload_parse(const char *json, size_t size, bool with_prompt, struct upload *upload,
                  struct problem *problem) {
    *upload = (struct upload){0};
    cJSON *root = json_parse(json, size, problem);
    if (!root)
        return false;
    const struct json_reader reader = {problem, PROBLEM_INVALID_REQUEST};
    if (cJSON_IsObject(root))
        read_members(&reader, root, with_prompt, upload);
    else
        json_fault(&reader, NULL, "must be an object");
    if (problem->type == PROBLEM_NONE && with_prompt) {
        upload->prompt_json = cJSON_PrintUnformatted(root);
        if (!upload->prompt_json)
            problem_set(problem, PROBLEM_INTERNAL, "out of memory");
    }
    cJSON_Delete(root);
    if (problem->type == PROBLEM_NONE)
        return true;
    upload_free(upload);
    return false;
}

void upload_free(struct upload *upload) {
    free(upload->bytes);
    free(upload->prompt_json);
    *upload = (struct upload){0};
}
