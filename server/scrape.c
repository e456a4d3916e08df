/* GET /metrics: what was counted, and how things stand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/process.h"
#include "server/routes.h"

static void write_sample(FILE *out, const char *name, const char *type, const char *help,
                         double value) {
    metrics_head(out, name, type, help);
    fprintf(out, "%s %.15g\n", name, value);
}

static const char *precision_name(enum precision precision) {
    return precision == PRECISION_BF16 ? "bf16" : "fp32";
}

/* As the value of a label. */
static void write_escaped(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else
            fprintf(out, strchr("\\\"", *text) ? "\\%c" : "%c", *text);
    }
}

static void write_build(const struct server *server, FILE *out) {
    const struct model_info *model = model_info(server->model);
    metrics_head(out, "maskd_build_info", "gauge", "1; what runs is told by the labels.");
    fprintf(out, "maskd_build_info{version=\"" MASKD_VERSION "\",model=\"");
    write_escaped(out, model->name);
    fprintf(out, "\",weights_sha256=\"%s\",isa=\"%s\",precision=\"%s\"} 1\n", model->weights_sha256,
            engine_kernel_isa(), precision_name(model->precision));
}

static void write_lanes(const struct server *server, FILE *out) {
    const struct lane_state prompts = pool_lane_state(server->pool, LANE_INTERACTIVE);
    const struct lane_state images = pool_lane_state(server->pool, LANE_BULK);
    metrics_head(out, "maskd_queue_depth", "gauge", "Jobs that wait for a worker, by lane.");
    fprintf(out, "maskd_queue_depth{lane=\"interactive\"} %zu\n", prompts.queued);
    fprintf(out, "maskd_queue_depth{lane=\"bulk\"} %zu\n", images.queued);
    metrics_head(out, "maskd_jobs_running", "gauge", "Jobs that workers are at, by lane.");
    fprintf(out, "maskd_jobs_running{lane=\"interactive\"} %zu\n", prompts.running);
    fprintf(out, "maskd_jobs_running{lane=\"bulk\"} %zu\n", images.running);
    write_sample(out, "maskd_workers", "gauge", "Computing threads.", pool_workers(server->pool));
}

static void write_store(const struct server *server, FILE *out) {
    const struct store_state state = store_state(server->store);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } samples[] = {
        {"maskd_store_hits_total", "counter", "Looks for an image that found it, by tier.",
         state.hits},
        {"maskd_store_misses_total", "counter", "Looks for an image that did not, by tier.",
         state.misses},
        {"maskd_store_evictions_total", "counter", "Images that made room for others, by tier.",
         state.evictions},
        {"maskd_store_bytes", "gauge", "Of the images that are kept, by tier.", state.bytes},
        {"maskd_store_records", "gauge", "Images that are kept, by tier.", state.records},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        metrics_head(out, samples[i].name, samples[i].type, samples[i].help);
        fprintf(out, "%s{tier=\"memory\"} %llu\n", samples[i].name,
                (unsigned long long)samples[i].value);
    }
}

static void write_server(const struct server *server, FILE *out) {
    write_sample(out, "maskd_connections", "gauge", "Connections that are open.",
                 (double)atomic_load(&server->connections_open));
    write_sample(out, "maskd_requests_open", "gauge", "Requests that are not yet answered.",
                 (double)atomic_load(&server->requests_open));
    write_sample(out, "maskd_upload_memory_bytes", "gauge", "Held for request bodies.",
                 (double)atomic_load(&server->body_bytes));
    write_sample(out, "maskd_draining", "gauge", "1 once the daemon was told to stop.",
                 atomic_load(&server->draining));
}

/* By the names that Prometheus' own client libraries use. */
static void write_process(FILE *out) {
    struct process process;
    if (!process_look(&process))
        return;
    write_sample(out, "process_cpu_seconds_total", "counter", "User and system time.",
                 process.cpu_seconds);
    write_sample(out, "process_start_time_seconds", "gauge", "Since 1970.", process.start_seconds);
    write_sample(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
                 (double)process.virtual_bytes);
    write_sample(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                 (double)process.resident_bytes);
    write_sample(out, "process_open_fds", "gauge", "Open files.", (double)process.open_files);
    write_sample(out, "process_max_fds", "gauge", "The limit of open files.",
                 (double)process.files_limit);
}

void handle_metrics(struct request *request) {
    const struct server *server = request->server;
    struct answer answer = {.status = MHD_HTTP_OK,
                            .content_type = "text/plain; version=0.0.4; charset=utf-8"};
    FILE *out = open_memstream(&answer.body, &answer.size);
    if (out) {
        write_build(server, out);
        metrics_write(server->metrics, out);
        write_lanes(server, out);
        write_store(server, out);
        write_server(server, out);
        write_process(out);
        if (fclose(out) != 0) {
            free(answer.body);
            answer.body = NULL;
        }
    }
    request_answer(request, &answer);
}
