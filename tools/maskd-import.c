/* maskd-import: converts checkpoints to the safetensors files that maskd loads, and checks them. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/weights/import/import.h"
#include "engine/weights/mobile_sam_tensors.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/tensor.h"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: maskd-import [options] -o FILE.safetensors encoder.onnx decoder.onnx\n"
    "       maskd-import --verify FILE.safetensors\n"
    "\n"
    "Converts the two ONNX graphs of MobileSAM to safetensors, or checks such a file: its\n"
    "structure, the name, type and shape of every tensor, and the hash of the data.\n"
    "\n"
    "  -o, --output FILE    write this file; it is replaced whole, or not at all\n"
    "      --source TEXT    say in the file's metadata where the weights come from\n"
    "      --licence TEXT   say in the file's metadata under what terms\n"
    "      --verify FILE    check FILE and print what it is\n"
    "  -h, --help           print this\n"
    "  -V, --version        print the version\n"
    "\n"
    "Exit status: 0 done, 1 a file was refused, 2 wrong usage.\n";

struct options {
    const char *output, *verify, *source, *licence;
    char *const *inputs;
    int input_count;
};

static int refuse(const char *path, const struct error *error) {
    fprintf(stderr, "maskd-import: %s: %s\n", path, error->message);
    return EXIT_REFUSED;
}

/* ---- convert ----------------------------------------------------------------------------- */

static enum status write_output(const struct options *options, const struct import *import,
                                struct error *error) {
    struct metadata_entry metadata[4] = {
        {"format", "pt"}, /* the tensors are laid out as PyTorch's */
        {"architecture", MOBILE_SAM_ARCHITECTURE},
    };
    size_t count = 2;
    if (options->licence) {
        metadata[count++] = (struct metadata_entry){"licence", options->licence};
    }
    if (options->source) {
        metadata[count++] = (struct metadata_entry){"source", options->source};
    }
    return safetensors_write(options->output, import->tensors, import->count, metadata, count,
                             error);
}

static int convert(const struct options *options) {
    struct import import = {0};
    struct error error = {0};
    const char *culprit = NULL;
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < options->input_count; i++) {
        culprit = options->inputs[i];
        status = import_onnx(&import, culprit, &error);
    }
    if (status == STATUS_OK) {
        culprit = options->output; /* no input by itself is at fault from here on */
        status = import_finish(&import, &error);
    }
    if (status == STATUS_OK) {
        status = write_output(options, &import, &error);
    }
    import_free(&import);
    return status == STATUS_OK ? EXIT_SUCCESS : refuse(culprit, &error);
}

/* ---- verify ------------------------------------------------------------------------------ */

static enum status check(const struct safetensors *file, char sha256[65], struct error *error) {
    const char *architecture = safetensors_metadata(file, "architecture");
    const char *expected = safetensors_metadata(file, "data_sha256");
    if (!architecture || strcmp(architecture, MOBILE_SAM_ARCHITECTURE) != 0) {
        return error_set(error, STATUS_UNSUPPORTED, "the architecture is '%.60s', not '%s'",
                         architecture ? architecture : "", MOBILE_SAM_ARCHITECTURE);
    }
    enum status status = mobile_sam_check(file, error);
    if (status != STATUS_OK) {
        return status;
    }
    safetensors_data_sha256(file, sha256);
    if (!expected || strcmp(expected, sha256) != 0) {
        return error_set(error, STATUS_INVALID, "the data's SHA-256 is %s, not %.64s", sha256,
                         expected ? expected : "given");
    }
    return STATUS_OK;
}

static void print_metadata(const struct safetensors *file, const char *key) {
    const char *value = safetensors_metadata(file, key);
    if (value) {
        printf("%-12s  %s\n", key, value);
    }
}

static void print_file(const struct safetensors *file, const char *path, const char *sha256) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *ending = strstr(name, ".safetensors");
    size_t parameters = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct tensor *tensor = safetensors_at(file, i);
        parameters += tensor->bytes / tensor_type_size(tensor->type);
    }
    printf("%-12s  %.*s\n", "name", (int)(ending ? (size_t)(ending - name) : strlen(name)), name);
    print_metadata(file, "architecture");
    print_metadata(file, "licence");
    print_metadata(file, "source");
    printf("%-12s  %zu\n", "tensors", safetensors_count(file));
    printf("%-12s  %zu\n", "parameters", parameters);
    printf("%-12s  %s\n", "data_sha256", sha256);
}

static int verify(const char *path) {
    struct safetensors *file;
    struct error error = {0};
    if (safetensors_open(path, &file, &error) != STATUS_OK) {
        return refuse(path, &error);
    }
    char sha256[65];
    int code = EXIT_SUCCESS;
    if (check(file, sha256, &error) == STATUS_OK) {
        print_file(file, path, sha256);
    } else {
        code = refuse(path, &error);
    }
    safetensors_free(file);
    return code;
}

/* ---- options ----------------------------------------------------------------------------- */

static int wrong_usage(const char *reason) {
    fprintf(stderr, "maskd-import: %s\n%s", reason, usage);
    return EXIT_USAGE;
}

/* What the options ask for, when they are well-formed. */
static int run(const struct options *options) {
    if (options->verify) {
        if (options->output || options->source || options->licence || options->input_count > 0) {
            return wrong_usage("--verify takes one file and nothing else");
        }
        return verify(options->verify);
    }
    if (!options->output) {
        return wrong_usage("no output (-o) and nothing to verify");
    }
    if (options->input_count != 2) {
        return wrong_usage("MobileSAM is two graphs: the encoder's and the decoder's");
    }
    return convert(options);
}

int main(int argc, char **argv) {
    enum { SOURCE = 256, LICENCE, VERIFY };
    static const struct option longs[] = {
        {"output", required_argument, NULL, 'o'},
        {"source", required_argument, NULL, SOURCE},
        {"licence", required_argument, NULL, LICENCE},
        {"verify", required_argument, NULL, VERIFY},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    struct options options = {0};
    for (int option; (option = getopt_long(argc, argv, "o:hV", longs, NULL)) != -1;) {
        switch (option) {
        case 'o':
            options.output = optarg;
            break;
        case SOURCE:
            options.source = optarg;
            break;
        case LICENCE:
            options.licence = optarg;
            break;
        case VERIFY:
            options.verify = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("maskd-import " MASKD_VERSION);
            return EXIT_SUCCESS;
        default: /* getopt_long has said why */
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    options.inputs = argv + optind;
    options.input_count = argc - optind;
    int code = run(&options);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("maskd-import: standard output cannot be written\n", stderr);
        return EXIT_REFUSED;
    }
    return code;
}
