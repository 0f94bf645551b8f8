/* A source that writes each call to a file of notes: the outcome of each batch, commits, drain, close. It waits for a wake
 * before each batch, and logs the first wait. It ends after `count` batches, or when it drains. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidegate_plugin.h"

typedef struct { const tg_host *host; uint64_t inst; FILE *notes; int woken, draining; uint64_t batches, end; char text[32], position[32]; tg_buf buf; tg_view view; } state;

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    state *s = calloc(1, sizeof *s);
    char *options = calloc(1, c->options.n + 1), path[512] = "";
    if (!s || !options) return tg_fail(error, TG_E_RETRY, "out of memory");
    memcpy(options, c->options.p, c->options.n);
    char *found = strstr(options, "\"path\":\""), *count = strstr(options, "\"count\":");
    if (found) sscanf(found + 8, "%511[^\"]", path);
    s->end = count ? strtoull(count + 8, NULL, 10) : 0;
    free(options);
    if (!s->end) {
        strcpy(error->path, "/count");
        strcpy(error->help, "give it at least 1");
        free(s);
        return tg_fail(error, TG_E_CONFIG, "there is nothing to read");
    }
    s->host = c->host, s->inst = c->inst, s->notes = fopen(path, "a");
    *self = s;
    return TG_OK;
}

static tg_status next(void *self, uint64_t wait, tg_batch *batch, tg_error *error) {
    (void)wait, (void)error;
    state *s = self;
    if (s->draining || s->batches == s->end) return TG_END;
    if (!s->woken) {
        s->woken = 1;
        tg_str line = TG_STR("waiting for the next batch");
        if (!s->batches) s->host->log(s->host, s->inst, TG_WARN, line);
        s->host->wake_after(s->host, s->inst, 1000);
        return TG_PENDING;
    }
    s->woken = 0;
    int len = sprintf(s->text, "event %d", (int)s->batches);
    s->buf = (tg_buf){ (const uint8_t *)strdup(s->text), (uint64_t)len };
    s->view = (tg_view){ 0, 0, (uint32_t)len };
    batch->n = 1, batch->buf = &s->buf, batch->n_buf = 1, batch->data = &s->view, batch->seq = s->batches++;
    batch->release = free, batch->owner = (void *)s->buf.p;
    len = sprintf(s->position, "\"\xff%d\"", (int)s->batches); /* not UTF-8 */
    batch->position = (tg_buf){ (const uint8_t *)s->position, (uint64_t)len };
    s->host->progress(s->host, s->inst, s->batches, s->end);
    return TG_OK;
}

static tg_status commit(void *self, tg_str partition, tg_buf position, tg_error *error) {
    (void)partition, (void)error;
    state *s = self;
    fprintf(s->notes, "commit %.*s\n", (int)position.n, (const char *)position.p);
    fflush(s->notes);
    return TG_OK;
}

static void batch_done(void *self, uint64_t seq, uint32_t outcome, tg_str reason) {
    fprintf(((state *)self)->notes, "done %d %d %.*s\n", (int)seq, (int)outcome, (int)reason.n, reason.p);
}

static void drain(void *self) { ((state *)self)->draining = 1, fputs("drain\n", ((state *)self)->notes); }
static tg_status close_all(void *self, tg_error *error) {
    (void)error;
    fputs("close\n", ((state *)self)->notes);
    return TG_OK;
}
static void destroy(void *self) { fclose(((state *)self)->notes), free(self); }
static void describe(void *self, tg_capabilities *to) { (void)self, to->replay = TG_REPLAY_REDELIVERY, to->wants_commit = to->wants_batch_done = 1; }

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .drain = drain, .close = close_all, .destroy = destroy };
static const tg_source source_ops = { .struct_size = sizeof source_ops, .next = next, .commit = commit, .batch_done = batch_done };
static const tg_component source = {
    .struct_size = sizeof source, .kind = TG_SOURCE, .name = TG_STR("acks"), .summary = TG_STR("writes each call to a file"),
    .sample = TG_STR("[source.acks]\nplugin = \"acks\"\npath = \"notes\"\ncount = 3\n"),
    .schema = TG_STR("{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"description\":\"The notes.\"},"
                     "\"count\":{\"type\":\"integer\",\"description\":\"How many.\"}}}"),
    .create = create, .base = &base, .ops = &source_ops
};
static const tg_component *const components[] = { &source };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("acks"), .version = TG_STR("1.0.0"),
    .n_components = 1, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
