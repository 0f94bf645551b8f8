/* An acknowledging source and sink of one "server", which is a file: each line is an acknowledged entry, with the events
 * made from it. The source reads the entries without a line; their numbers are the handles. The sink acknowledges: it
 * appends the lines of all entries that have none, in one write. Every third call in one process crashes: before that
 * write if the entries are the last of a batch, otherwise after it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidegate_plugin.h"

enum { MOST = 10000, ROWS = 50 };
typedef struct {
    char path[512], domain[600], done[MOST], text[ROWS * 24], handle[ROWS * 12];
    uint32_t count, next, end[ROWS];
    tg_view view[ROWS];
    tg_buf buf;
    tg_str scope[1];
    tg_ack_handles handles;
} state;

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    state *s = calloc(1, sizeof *s);
    char *options = calloc(1, c->options.n + 1);
    if (!s || !options) return tg_fail(error, TG_E_RETRY, "out of memory");
    memcpy(options, c->options.p, c->options.n);
    char *path = strstr(options, "\"path\":\""), *count = strstr(options, "\"count\":");
    if (path) sscanf(path + 8, "%511[^\"]", s->path);
    if (count) s->count = (uint32_t)strtoul(count + 8, NULL, 10);
    free(options);
    sprintf(s->domain, "the file %s", s->path);
    *self = s;
    return TG_OK;
}

static void describe(void *self, tg_capabilities *to) {
    state *s = self;
    to->replay = TG_REPLAY_REDELIVERY;
    to->transaction_domain(to, (tg_str){ s->domain, strlen(s->domain) });
}

/* Reads which entries are acknowledged. */
static void look(state *s) {
    FILE *file = fopen(s->path, "r");
    char line[256];
    while (file && fgets(line, sizeof line, file)) s->done[strtoul(line, NULL, 10) % MOST] = 1;
    if (file) fclose(file);
}

static tg_status open_source(void *self, const tg_open *o, tg_error *error) {
    if (!o->sink_acknowledges) return tg_fail(error, TG_E_FATAL, "the sink does not acknowledge");
    look(self);
    return TG_OK;
}

static tg_status next(void *self, uint64_t wait, tg_batch *batch, tg_error *error) {
    (void)wait, (void)error;
    state *s = self;
    char *at = s->text, *handle = s->handle;
    for (; batch->n < ROWS && s->next < s->count; s->next++) {
        if (s->done[s->next]) continue;
        int len = sprintf(at, "{\"n\":%u}", s->next);
        s->view[batch->n] = (tg_view){ 0, (uint32_t)(at - s->text), (uint32_t)len };
        at += len;
        handle += sprintf(handle, "%u", s->next);
        s->end[batch->n++] = (uint32_t)(handle - s->handle);
    }
    if (!batch->n) return TG_END;
    s->buf.n = (uint64_t)(at - s->text);
    uint8_t *copy = malloc(s->buf.n);
    memcpy(copy, s->text, s->buf.n);
    s->buf.p = copy;
    batch->buf = &s->buf, batch->n_buf = 1, batch->data = s->view, batch->release = free, batch->owner = copy;
    s->scope[0] = (tg_str){ s->path, strlen(s->path) };
    s->handles = (tg_ack_handles){ .struct_size = sizeof s->handles, .n_scope = 1, .scope = s->scope, .n = batch->n,
                                 .bytes = (const uint8_t *)s->handle, .end = s->end };
    batch->ack_handles = &s->handles;
    return TG_OK;
}

static tg_status write_all(void *self, const tg_batch *in, const tg_report *report, tg_error *error) {
    (void)self, (void)in, (void)report;
    return tg_fail(error, TG_E_FATAL, "this sink acknowledges");
}

static tg_status ack_and_write(void *self, const tg_batch *in, const tg_ack_handles *handles, const tg_report *report, tg_error *error) {
    static int calls;
    state *s = self;
    static char lines[MOST * 32];
    char *at = lines;
    int dies = ++calls % 3 == 0;
    if (dies && handles->first == 40) abort();
    memset(s->done, 0, sizeof s->done);
    look(s);
    for (uint32_t entry = 0, event = 0; entry < handles->n; entry++) {
        uint32_t len;
        const uint8_t *handle = tg_ack_handle(handles, entry, &len);
        uint32_t number = 0;
        for (uint32_t i = 0; i < len; i++) number = number * 10 + (handle[i] - '0');
        if (!s->done[number]) at += sprintf(at, "%u", number);
        for (; event < in->n && (in->from ? in->from[event] : event) == handles->first + entry; event++) {
            const uint8_t *data = tg_data(in, event, &len);
            if (s->done[number]) report->already_done(report, event);
            else at += sprintf(at, " %.*s", (int)len, (const char *)data);
        }
        if (!s->done[number]) *at++ = '\n';
    }
    int file = open(s->path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0 || write(file, lines, (size_t)(at - lines)) != at - lines) return tg_fail(error, TG_E_FATAL, "the disk is full");
    close(file);
    if (dies) abort();
    return TG_OK;
}

static const tg_base source_base = { .struct_size = sizeof source_base, .describe = describe, .open = open_source, .destroy = free };
static const tg_base sink_base = { .struct_size = sizeof sink_base, .describe = describe, .destroy = free };
static const tg_source source_ops = { .struct_size = sizeof source_ops, .next = next };
static const tg_sink sink_ops = { .struct_size = sizeof sink_ops, .write = write_all, .ack_and_write = ack_and_write };
#define PLUGIN(what, number) { .struct_size = sizeof(tg_component), .kind = number, .name = TG_STR("entries"), \
    .summary = TG_STR("reads and acknowledges entries of a file"), .sample = TG_STR("[" #what ".one]\nplugin = \"entries\"\npath = \"/tmp/entries\"\n"), \
    .schema = TG_STR("{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"description\":\"The file.\"}," \
                     "\"count\":{\"type\":\"integer\",\"description\":\"How many.\"}},\"additionalProperties\":false}"), \
    .create = create, .base = &what##_base, .ops = &what##_ops }
static const tg_component source = PLUGIN(source, TG_SOURCE), sink = PLUGIN(sink, TG_SINK);
static const tg_component *const components[] = { &source, &sink };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("group"), .version = TG_STR("1.0.0"),
    .n_components = 2, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
