#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "api/multipart.h"
#include "api/upload.h"

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

/* cJSON allocates by malloc, as long as nobody gives it other hooks; nothing here does. */
void upload_take_image(const struct json_reader *reader, const struct json_path *path, cJSON *value,
                       uint8_t **bytes, size_t *size) {
    const char *unused;
    if (!json_string(reader, path, value, &unused))
        return;
    char *text = base64_text(value->valuestring);
    if (!text) {
        json_fault(reader, path, "a data URI must have the form data:image/png;base64,...");
        return;
    }
    *bytes = (uint8_t *)value->valuestring;
    value->valuestring = NULL;
    if (!base64_decode(text, *bytes, size)) {
        json_fault(reader, path, "must be base64 or a data URI");
    } else if (*size == 0) {
        json_fault(reader, path, "is empty");
    } else {
        /* The bytes may be kept for long: the quarter that the text took more goes back. */
        uint8_t *shrunk = realloc(*bytes, *size);
        if (shrunk)
            *bytes = shrunk;
    }
}

static void set_id(const struct json_reader *reader, const struct json_path *path,
                   const char *string, char id[IMAGE_ID_MAX + 1]) {
    if (image_id_valid(string))
        strcpy(id, string);
    else
        json_fault(reader, path, "must match " IMAGE_ID_PATTERN);
}

static void set_model(const struct json_reader *reader, const struct json_path *path,
                      const char *string, struct upload *upload) {
    if (string[0] && strlen(string) < sizeof upload->model)
        strcpy(upload->model, string);
    else
        json_fault(reader, path, "must have 1 to %zu characters", sizeof upload->model - 1);
}

/* ---- JSON -------------------------------------------------------------------------------- */

/* Reads the upload's own members and takes them out of the tree; what stays is the prompt's. */
static void read_members(const struct json_reader *reader, cJSON *root, bool with_prompt,
                         struct upload *upload) {
    enum { IMAGE, ID, MODEL, MEMBERS };
    static const char *const names[MEMBERS] = {"image", "id", "model"};
    bool seen[MEMBERS] = {false};
    const char *string;
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
            upload_take_image(reader, &path, member, &upload->bytes, &upload->size);
        else if (i == ID && json_string(reader, &path, member, &string))
            set_id(reader, &path, string, upload->id);
        else if (i == MODEL && json_string(reader, &path, member, &string))
            set_model(reader, &path, string, upload);
        else if (i == MEMBERS && !with_prompt)
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

/* ---- forms ------------------------------------------------------------------------------- */

enum { PART_FILE, PART_ID, PART_MODEL, PART_PROMPT, PARTS };
static const char *const PART_NAMES[PARTS] = {"file", "id", "model", "prompt"};

/* Finds the parts by their names; parts[i].bytes is NULL when PART_NAMES[i] is not there. */
static void read_parts(const struct json_reader *reader, struct multipart *multipart,
                       bool with_prompt, struct multipart_part parts[PARTS]) {
    struct multipart_part part;
    const char *why = "";
    enum multipart_step step;
    while ((step = multipart_next(multipart, &part, &why)) == MULTIPART_PART &&
           reader->problem->fault_count < PROBLEM_FAULTS_MAX) {
        const struct json_path path = {NULL, part.name, 0};
        int i = 0;
        while (i < PARTS && strcmp(part.name, PART_NAMES[i]) != 0)
            i++;
        if (i == PARTS)
            json_fault(reader, &path, "unknown part; there are %s",
                       with_prompt ? "file, id, model and prompt" : "file, id and model");
        else if (parts[i].bytes)
            json_fault(reader, &path, "duplicate part");
        else
            parts[i] = part;
    }
    if (step == MULTIPART_BROKEN) {
        *reader->problem = (struct problem){0}; /* more than what was found in it before */
        problem_set(reader->problem, PROBLEM_BAD_REQUEST, "%s", why);
    }
}

/* The part as a string, malloc'd. NULL: not there, or a fault. */
static char *part_text(const struct json_reader *reader, const struct multipart_part *part) {
    const struct json_path path = {NULL, part->name, 0};
    if (!part->bytes)
        return NULL;
    if (memchr(part->bytes, 0, part->size)) {
        json_fault(reader, &path, "must be text, without zero bytes");
        return NULL;
    }
    char *text = strndup((const char *)part->bytes, part->size);
    if (!text)
        problem_set(reader->problem, PROBLEM_INTERNAL, "out of memory");
    return text;
}

static void read_form(const struct json_reader *reader, const struct multipart_part parts[PARTS],
                      bool with_prompt, struct upload *upload) {
    char *id = part_text(reader, &parts[PART_ID]), *model = part_text(reader, &parts[PART_MODEL]);
    if (id)
        set_id(reader, &(struct json_path){NULL, PART_NAMES[PART_ID], 0}, id, upload->id);
    if (model)
        set_model(reader, &(struct json_path){NULL, PART_NAMES[PART_MODEL], 0}, model, upload);
    free(id);
    free(model);
    upload->prompt_json = part_text(reader, &parts[PART_PROMPT]);
    const struct json_path file = {NULL, PART_NAMES[PART_FILE], 0};
    const struct json_path prompt = {NULL, PART_NAMES[PART_PROMPT], 0};
    if (!parts[PART_FILE].bytes)
        json_fault(reader, &file, "is missing");
    if (with_prompt && !parts[PART_PROMPT].bytes)
        json_fault(reader, &prompt, "is missing");
    if (!with_prompt && parts[PART_PROMPT].bytes)
        json_fault(reader, &prompt, "an upload takes no prompt");
}

bool upload_parse_multipart(const char *content_type, uint8_t *body, size_t size, bool with_prompt,
                            struct upload *upload, struct problem *problem) {
    struct multipart multipart;
    struct multipart_part parts[PARTS] = {0};
    const struct json_reader reader = {problem, PROBLEM_INVALID_REQUEST};
    const char *why;
    *upload = (struct upload){.bytes = body};
    if (multipart_begin(&multipart, content_type, body, size, &why))
        read_parts(&reader, &multipart, with_prompt, parts);
    else
        problem_set(problem, PROBLEM_BAD_REQUEST, "%s", why);
    if (problem->type != PROBLEM_BAD_REQUEST)
        read_form(&reader, parts, with_prompt, upload);
    if (problem->type != PROBLEM_NONE) {
        upload_free(upload);
        return false;
    }
    upload->size = parts[PART_FILE].size;
    memmove(body, parts[PART_FILE].bytes, upload->size);
    return true;
}

void upload_free(struct upload *upload) {
    free(upload->bytes);
    free(upload->prompt_json);
    *upload = (struct upload){0};
}
