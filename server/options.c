#include "server/options.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind {
    KIND_TEXT,
    KIND_OPTIONAL_TEXT, /* may be empty */
    KIND_NUMBER,
    KIND_BYTES,
    KIND_SWITCH,
    KIND_PRECISION,
    KIND_FORMAT,
    KIND_LEVEL
};

struct row {
    const char *section, *name;
    enum kind kind;
    size_t offset; /* in struct options */
    long long min, max;
    const char *initial;
    const char *help;
};

#define AT(member) offsetof(struct options, member)
#define MANY 1000000000LL
#define HUGE_BYTES (1LL << 50)

/* The one list of options. config/maskd.ini says the same with longer comments; a test compares
 * them. */
static const struct row ROWS[] = {
    {"server", "host", KIND_TEXT, AT(host), 0, 0, "127.0.0.1", "address to listen on"},
    {"server", "port", KIND_NUMBER, AT(port), 0, 65535, "8080",
     "port to listen on; 0: any free one"},
    {"server", "http_threads", KIND_NUMBER, AT(http_threads), 1, 64, "2",
     "threads that poll connections"},
    {"server", "max_connections", KIND_NUMBER, AT(max_connections), 1, 65536, "1024",
     "connections at the same time"},
    {"server", "header_timeout", KIND_NUMBER, AT(header_timeout), 1, MANY, "10",
     "for a request's headers to arrive"},
    {"server", "body_timeout", KIND_NUMBER, AT(body_timeout), 1, MANY, "60",
     "for a request's body to arrive"},
    {"server", "send_timeout", KIND_NUMBER, AT(send_timeout), 1, MANY, "60",
     "for a client to take its answer"},
    {"server", "idle_timeout", KIND_NUMBER, AT(idle_timeout), 1, MANY, "60",
     "that a connection may wait for its next request"},
    {"server", "drain_seconds", KIND_NUMBER, AT(drain_seconds), 0, MANY, "30",
     "to finish what is in flight after SIGTERM"},
    {"security", "api_keys", KIND_OPTIONAL_TEXT, AT(api_keys), 0, 0, "",
     "file of the keys that requests need; empty: none"},
    {"security", "allow_anonymous", KIND_SWITCH, AT(allow_anonymous), 0, 0, "false",
     "serve others than this machine without keys"},
    {"security", "open_metrics", KIND_SWITCH, AT(open_metrics), 0, 0, "false",
     "/metrics needs no key"},
    {"security", "rate_limit", KIND_NUMBER, AT(rate_limit), 0, 100000, "0",
     "requests a second of one key or address; 0: any"},
    {"security", "rate_burst", KIND_NUMBER, AT(rate_burst), 1, 100000, "50", "of these at once"},
    {"security", "trust_forwarded_for", KIND_SWITCH, AT(trust_forwarded_for), 0, 0, "false",
     "the proxy's X-Forwarded-For tells who calls"},
    {"security", "cors_origins", KIND_OPTIONAL_TEXT, AT(cors_origins), 0, 0, "",
     "web pages that may use it: origins, or *"},
    {"security", "tls_certificate", KIND_OPTIONAL_TEXT, AT(tls_certificate), 0, 0, "",
     "PEM file of the certificate and its chain: serve HTTPS"},
    {"security", "tls_key", KIND_OPTIONAL_TEXT, AT(tls_key), 0, 0, "",
     "PEM file of its private key"},
    {"engine", "model", KIND_TEXT, AT(model), 0, 0, "models/mobile_sam.safetensors", "the weights"},
    {"engine", "workers", KIND_NUMBER, AT(workers), 0, 256, "0",
     "computing threads; 0: one for each usable core"},
    {"engine", "precision", KIND_PRECISION, AT(precision), 0, 0, "fp32", "fp32, bf16 or auto"},
    {"lanes", "prompt_queue", KIND_NUMBER, AT(prompt_queue), 1, MANY, "512",
     "prompts that may wait"},
    {"lanes", "upload_queue", KIND_NUMBER, AT(upload_queue), 1, MANY, "256",
     "images that may wait to be encoded"},
    {"lanes", "prompt_deadline", KIND_NUMBER, AT(prompt_deadline), 1, MANY, "20",
     "that a prompt may wait"},
    {"lanes", "upload_deadline", KIND_NUMBER, AT(upload_deadline), 1, MANY, "60",
     "that an image may wait"},
    {"lanes", "retry_after", KIND_NUMBER, AT(retry_after), 1, 3600, "2",
     "that a 503 tells a client to wait"},
    {"limits", "max_headers", KIND_BYTES, AT(max_headers), 4096, 1LL << 24, "32K",
     "of one request's headers"},
    {"limits", "max_body", KIND_BYTES, AT(max_body), 1024, 1LL << 31, "32M", "of one request"},
    {"limits", "upload_memory", KIND_BYTES, AT(upload_memory), 1024, HUGE_BYTES, "256M",
     "of all request bodies together"},
    {"limits", "max_pixels", KIND_NUMBER, AT(max_pixels), 1, (1LL << 30) - 1, "50000000",
     "of an image, width times height"},
    {"limits", "max_side", KIND_NUMBER, AT(max_side), 1, 65535, "32767", "of an image, in pixels"},
    {"limits", "max_prompts", KIND_NUMBER, AT(max_prompts), 1, 100000, "256", "in one request"},
    {"fetch", "fetch_hosts", KIND_OPTIONAL_TEXT, AT(fetch_hosts), 0, 0, "",
     "that images are fetched from by address; empty: none"},
    {"fetch", "fetch_base", KIND_OPTIONAL_TEXT, AT(fetch_base), 0, 0, "",
     "that addresses without a host are relative to, and its host"},
    {"fetch", "fetch_token_file", KIND_OPTIONAL_TEXT, AT(fetch_token_file), 0, 0, "",
     "file with Label Studio's token for fetch_base"},
    {"fetch", "fetch_timeout", KIND_NUMBER, AT(fetch_timeout), 1, MANY, "30",
     "for an image to arrive"},
    {"fetch", "fetch_connections", KIND_NUMBER, AT(fetch_connections), 1, 1000, "8",
     "images that are fetched at the same time"},
    {"store", "store_memory", KIND_BYTES, AT(store_memory), 4LL << 20, HUGE_BYTES, "1G",
     "of images kept in memory, as embeddings and as uploaded"},
    {"store", "refine_memory", KIND_BYTES, AT(refine_memory), 1 << 20, HUGE_BYTES, "32M",
     "of masks that may be refined"},
    {"store", "everything_memory", KIND_BYTES, AT(everything_memory), 1 << 20, HUGE_BYTES, "64M",
     "of results of everything mode"},
    {"log", "log_format", KIND_FORMAT, AT(log_format), 0, 0, "text", "text or json"},
    {"log", "log_level", KIND_LEVEL, AT(log_level), 0, 0, "info", "debug, info, warning or error"},
    {"log", "access_log", KIND_SWITCH, AT(access_log), 0, 0, "true", "one line a request"},
};

enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS, NAME_MAX_LENGTH = 48 };

static const struct row *find_row(const char *name) {
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strcmp(ROWS[i].name, name) == 0)
            return &ROWS[i];
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------ */

/* Where options are written to and faults are reported. */
struct reader {
    struct options *options;
    FILE *faults;
    int fault_count;
    const char *path; /* of the file that is being read */
};

static void fault(struct reader *reader, const char *where, const char *name, const char *value,
                  const char *why) {
    fprintf(reader->faults, "%s%s%s%s%s%s: %s\n", where, *where ? ": " : "", name,
            value ? " = '" : "", value ? value : "", value ? "'" : "", why);
    reader->fault_count++;
}

static bool read_number(const char *text, const struct row *row, long long *number, char why[128]) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    long long unit = 1;
    bool digits = end != text && errno == 0;
    if (row->kind == KIND_BYTES && digits && *end) {
        const char *units = "KMGT", *at = strchr(units, *end);
        if (at) {
            unit = 1LL << (10 * (at - units + 1));
            end++;
        }
    }
    if (!digits || *end) {
        snprintf(why, 128, "not a %s",
                 row->kind == KIND_BYTES ? "size: a number, or one with K, M, G or T"
                                         : "whole number");
        return false;
    }
    if (value < row->min / unit || value > row->max / unit || value * unit < row->min) {
        snprintf(why, 128, "not between %lld and %lld", row->min, row->max);
        return false;
    }
    *number = value * unit;
    return true;
}

/* The words of an enumeration, in its order; their list is the option's help. */
static const char *const *words_of(enum kind kind) {
    static const char *const precisions[] = {"fp32", "bf16", "auto", NULL};
    static const char *const formats[] = {"text", "json", NULL};
    static const char *const levels[] = {"debug", "info", "warning", "error", NULL};
    return kind == KIND_PRECISION ? precisions : kind == KIND_FORMAT ? formats : levels;
}

static const char *const SWITCH_WORDS[] = {"false", "true", "no", "yes", "off",
                                           "on",    "0",    "1",  NULL};

/* The index of text among the words; -1, and why not: it is not what `all` says. */
static int find_word(const char *const *words, const char *text, const char *all, char why[128]) {
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    snprintf(why, 128, "not %s", all);
    return -1;
}

static void set_value(struct reader *reader, const struct row *row, const char *where,
                      const char *shown, const char *value) {
    char *to = (char *)reader->options + row->offset;
    char why[128] = "";
    int word;
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_OPTIONAL_TEXT:
        if (!*value && row->kind == KIND_TEXT)
            snprintf(why, sizeof why, "must not be empty");
        else if (strlen(value) >= OPTION_TEXT_MAX)
            snprintf(why, sizeof why, "longer than %d bytes", OPTION_TEXT_MAX - 1);
        else
            strcpy(to, value);
        break;
    case KIND_NUMBER:
    case KIND_BYTES:
        read_number(value, row, (long long *)to, why);
        break;
    case KIND_SWITCH:
        word = find_word(SWITCH_WORDS, value, "true or false", why);
        if (word >= 0)
            *(bool *)to = word % 2 == 1;
        break;
    case KIND_PRECISION:
    case KIND_FORMAT:
    case KIND_LEVEL:
        word = find_word(words_of(row->kind), value, row->help, why);
        if (word >= 0)
            *(unsigned *)to = (unsigned)word; /* an enumeration */
        break;
    }
    if (*why)
        fault(reader, where, shown, value, why);
}

/* ---- the file ---------------------------------------------------------------------------- */

static int on_ini_key(void *user, const char *section, const char *name, const char *value) {
    struct reader *reader = user;
    const struct row *row = find_row(name);
    char shown[128];
    snprintf(shown, sizeof shown, "[%.40s] %.60s", section, name);
    if (!row) {
        fault(reader, reader->path, shown, NULL, "no such option");
    } else if (strcmp(section, row->section) != 0) {
        char why[128];
        snprintf(why, sizeof why, "belongs into section [%s]", row->section);
        fault(reader, reader->path, shown, NULL, why);
    } else {
        set_value(reader, row, reader->path, shown, value ? value : "");
    }
    return 1;
}

/* The file as inih gets it, line by line. inih tells only the first line that it does not
 * understand, cuts long ones, and joins indented ones to the one before. */
struct ini_source {
    FILE *file;
    struct reader *reader;
    int line;
};

static void line_fault(const struct ini_source *source, const char *why) {
    char where[32];
    snprintf(where, sizeof where, "line %d", source->line);
    fault(source->reader, source->reader->path, where, NULL, why);
}

static bool line_is_understood(const char *line) {
    return !*line || strchr(";#", *line) ||
           (*line == '[' ? strchr(line, ']') : strpbrk(line, "=:"));
}

/* An ini_reader: gives the next line without indentation; an empty one for a line with a fault. */
static char *next_line(char *line, int size, void *stream) {
    struct ini_source *source = stream;
    if (!fgets(line, size, source->file))
        return NULL;
    source->line++;
    bool whole = strchr(line, '\n') || feof(source->file);
    for (int c = 0; !whole && c != '\n' && c != EOF;)
        c = fgetc(source->file);
    const char *start = line + strspn(line, " \t");
    memmove(line, start, strlen(start) + 1);
    line[strcspn(line, "\r\n")] = '\0';
    if (whole && line_is_understood(line))
        return line;
    line_fault(source, whole ? "not a [section], a key = value, or a comment" : "too long");
    *line = '\0';
    return line;
}

static void read_file(struct reader *reader, const char *path, bool required) {
    FILE *file = fopen(path, "re");
    struct stat status;
    if (file && fstat(fileno(file), &status) == 0 && S_ISDIR(status.st_mode)) {
        fclose(file);
        file = NULL;
        errno = EISDIR;
    }
    if (!file) {
        if (required || errno != ENOENT)
            fault(reader, path, "the configuration file", NULL, strerror(errno));
        return;
    }
    reader->path = path;
    snprintf(reader->options->config, sizeof reader->options->config, "%s", path);
    struct ini_source source = {file, reader, 0};
    if (ini_parse_stream(next_line, &source, on_ini_key, reader) != 0 || ferror(file))
        fault(reader, path, "the configuration file", NULL, "cannot be read");
    fclose(file);
}

/* ---- the environment --------------------------------------------------------------------- */

/* Kubernetes tells every container of its namespace of a service that is named maskd by
 * MASKD_SERVICE_HOST, MASKD_PORT = tcp://..., and MASKD_PORT_8080_TCP..., and of one that is named
 * maskd-canary by MASKD_CANARY_SERVICE_HOST and so on: not meant for us. */
static bool is_service_link(const char *variable, const char *value) {
    size_t length = strlen(variable);
    return strstr(variable, "_SERVICE_HOST") || strstr(variable, "_SERVICE_PORT") ||
           strstr(variable, "_PORT_") ||
           (length > 5 && strcmp(variable + length - 5, "_PORT") == 0 && strstr(value, "://"));
}

static void read_environment(struct reader *reader) {
    for (char **entry = environ; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (strncmp(*entry, "MASKD_", 6) != 0 || !equals || equals - *entry > NAME_MAX_LENGTH)
            continue;
        char variable[NAME_MAX_LENGTH + 1] = "", name[NAME_MAX_LENGTH + 1] = "";
        memcpy(variable, *entry, (size_t)(equals - *entry));
        for (size_t i = 6; variable[i]; i++)
            name[i - 6] =
                (char)(variable[i] >= 'A' && variable[i] <= 'Z' ? variable[i] + 32 : variable[i]);
        if (strcmp(variable, "MASKD_CONFIG") == 0 || is_service_link(variable, equals + 1))
            continue;
        const struct row *row = find_row(name);
        if (row)
            set_value(reader, row, "environment", variable, equals + 1);
        else
            fault(reader, "environment", variable, NULL, "no such option");
    }
}

/* ---- the flags --------------------------------------------------------------------------- */

/* What getopt_long says of an argument; FLAG_ROW and more: an option, and its index in ROWS. */
enum { NO_FLAG = 1, FLAG_HELP = 1000, FLAG_VERSION, FLAG_CHECK, FLAG_CONFIG, FLAG_ROW };

struct flags {
    char names[ROW_COUNT][NAME_MAX_LENGTH];
    struct option table[ROW_COUNT + 5];
};

static void make_flags(struct flags *flags) {
    memset(flags, 0, sizeof *flags);
    for (int i = 0; i < ROW_COUNT; i++) {
        snprintf(flags->names[i], NAME_MAX_LENGTH, "%s", ROWS[i].name);
        for (char *c = flags->names[i]; *c; c++)
            *c = *c == '_' ? '-' : *c;
        flags->table[i] = (struct option){flags->names[i], required_argument, NULL, FLAG_ROW + i};
    }
    struct option *rest = flags->table + ROW_COUNT;
    rest[0] = (struct option){"help", no_argument, NULL, FLAG_HELP};
    rest[1] = (struct option){"version", no_argument, NULL, FLAG_VERSION};
    rest[2] = (struct option){"check-config", no_argument, NULL, FLAG_CHECK};
    rest[3] = (struct option){"config", required_argument, NULL, FLAG_CONFIG};
}

/* Two passes: the first finds --config and the flags that are not options, the second, after the
 * file and the environment were read, the options. Faults are reported by the second. */
static void read_flags(struct reader *reader, int argc, char **argv, bool second,
                       const char **config) {
    struct flags flags;
    make_flags(&flags);
    optind = 0; /* glibc: start over */
    opterr = 0;
    for (;;) {
        const int at = optind ? optind : 1; /* the argument that is looked at */
        const int flag = getopt_long(argc, argv, "-:h", flags.table, NULL);
        if (flag == -1)
            break;
        if (flag == FLAG_HELP || flag == 'h') {
            reader->options->help = true;
        } else if (flag == FLAG_VERSION) {
            reader->options->version = true;
        } else if (flag == FLAG_CHECK) {
            reader->options->check_config = true;
        } else if (flag == FLAG_CONFIG) {
            *config = optarg;
        } else if (second && (flag == '?' || flag == ':')) {
            fault(reader, "", argv[at], NULL,
                  flag == ':' ? "needs a value" : "no such flag, or not with a value");
        } else if (second && flag == NO_FLAG) {
            fault(reader, "", optarg, NULL, "not a flag");
        } else if (second && flag >= FLAG_ROW) {
            char shown[NAME_MAX_LENGTH + 2];
            snprintf(shown, sizeof shown, "--%s", flags.names[flag - FLAG_ROW]);
            set_value(reader, &ROWS[flag - FLAG_ROW], "", shown, optarg);
        }
    }
    for (int i = optind; second && i < argc; i++)
        fault(reader, "", argv[i], NULL, "not a flag");
}

/* ---- everything together ----------------------------------------------------------------- */

int options_read(int argc, char **argv, struct options *options, FILE *faults) {
    struct reader reader = {.options = options, .faults = faults};
    const char *config = getenv("MASKD_CONFIG");
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < ROW_COUNT; i++)
        set_value(&reader, &ROWS[i], "default", ROWS[i].name, ROWS[i].initial);
    read_flags(&reader, argc, argv, false, &config);
    if (config)
        read_file(&reader, config, true);
    else if (access("config/maskd.ini", F_OK) == 0)
        read_file(&reader, "config/maskd.ini", false);
    else
        read_file(&reader, "/etc/maskd/maskd.ini", false);
    read_environment(&reader);
    read_flags(&reader, argc, argv, true, &config);
    if (options->upload_memory < options->max_body)
        fault(&reader, "", "upload_memory", NULL,
              "less than max_body: no request of that size could be read");
    if (options->api_keys[0] && options->allow_anonymous)
        fault(&reader, "", "allow_anonymous", NULL, "cannot be: api_keys asks for keys");
    if (!options->tls_certificate[0] != !options->tls_key[0])
        fault(&reader, "", options->tls_key[0] ? "tls_certificate" : "tls_key", NULL,
              "missing: a certificate and its key belong together");
    return reader.fault_count;
}

void options_help(FILE *out) {
    struct flags flags;
    make_flags(&flags);
    fputs(
        "maskd: segmentation over HTTP\n\n"
        "  --help            this text\n"
        "  --version         version, model, weights, kernels and threads\n"
        "  --check-config    report every fault of the configuration, or print it, and exit\n"
        "  --config FILE     instead of config/maskd.ini or /etc/maskd/maskd.ini\n\n"
        "Options, as flags, as MASKD_NAME in the environment, or as name = value in the file:\n\n",
        out);
    for (size_t i = 0; i < ROW_COUNT; i++)
        fprintf(out, "  --%-16s %s [%s]\n", flags.names[i], ROWS[i].help, ROWS[i].initial);
}

static void print_value(const struct row *row, const struct options *options, FILE *out) {
    const char *from = (const char *)options + row->offset;
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_OPTIONAL_TEXT:
        fprintf(out, "%s\n", from);
        break;
    case KIND_NUMBER:
    case KIND_BYTES:
        fprintf(out, "%lld\n", *(const long long *)from);
        break;
    case KIND_SWITCH:
        fprintf(out, "%s\n", *(const bool *)from ? "true" : "false");
        break;
    case KIND_PRECISION:
    case KIND_FORMAT:
    case KIND_LEVEL:
        fprintf(out, "%s\n", words_of(row->kind)[*(const unsigned *)from]);
        break;
    }
}

void options_print(const struct options *options, FILE *out) {
    const char *section = "";
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(section, ROWS[i].section) != 0) {
            section = ROWS[i].section;
            fprintf(out, "%s[%s]\n", i ? "\n" : "", section);
        }
        fprintf(out, "%s = ", ROWS[i].name);
        print_value(&ROWS[i], options, out);
    }
}
