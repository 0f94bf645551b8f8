/* A source and a sink of one "server", which is a file: a line of it says that an entry is done, and what was made of it.
 * The source hands over the entries that are not done, with their numbers as receipts. The sink settles: it adds the lines
 * of all entries that are not done yet, in one write. It dies in each third call of one process, before that write if
 * these are the last entries of a batch, else behind it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidegate_plugin.h"

enum { MOST = 10000, ROWS = 50 };
typedef struct {
    char path[512], domain[600], done[MOST], text[ROWS * 24], receipt[ROWS * 12];
    uint32_t count, next, end[ROWS];
    tg_view view[ROWS];
    tg_buf buf;
    tg_str scope[1];
    tg_receipts receipts;
} state;

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    state *s = calloc(1, sizeof *s);
    char *options = calloc(1, c->options.n + 1);
    if (!s || !options) return tg_fail(error, TG_E_RETRY, "there is no memory left");
    memcpy(options, c->options.p, c->options.n);
    char *path = strstr(options, "\"path\":\""), *count = strstr(options, "\"count\":");
    if (path) sscanf(path + 8, "%511[^\"]", s->path);
    if (count) s->count = (uint32_t)strtoul(count + 8, NULL, 10);
    free(options);
    sprintf(s->domain, "the file %s", s->path);
    *self = s;
    return TG_OK;
}

static void describe(void *self, tg_facts *facts) {
    state *s = self;
    facts->replay = TG_REPLAY_REDELIVERY;
    if (TG_HAS(tg_facts, facts, domain)) facts->domain(facts, (tg_str){ s->domain, strlen(s->domain) });
}

/* Looks up what is done. */
static void look(state *s) {
    FILE *file = fopen(s->path, "r");
    char line[256];
    while (file && fgets(line, sizeof line, file)) s->done[strtoul(line, NULL, 10) % MOST] = 1;
    if (file) fclose(file);
}

static tg_status open_source(void *self, const tg_open *o, tg_error *error) {
    if (!TG_HAS(tg_open, o, by_receipt) || !o->by_receipt) return tg_fail(error, TG_E_FATAL, "nobody acknowledges");
    look(self);
    return TG_OK;
}

static tg_status next(void *self, uint64_t wait, tg_batch *batch, tg_error *error) {
    (void)wait, (void)error;
    state *s = self;
    char *at = s->text, *receipt = s->receipt;
    for (; batch->n < ROWS && s->next < s->count; s->next++) {
        if (s->done[s->next]) continue;
        int len = sprintf(at, "{\"n\":%u}", s->next);
        s->view[batch->n] = (tg_view){ 0, (uint32_t)(at - s->text), (uint32_t)len };
        at += len;
        receipt += sprintf(receipt, "%u", s->next);
        s->end[batch->n++] = (uint32_t)(receipt - s->receipt);
    }
    if (!batch->n) return TG_END;
    s->buf.n = (uint64_t)(at - s->text);
    uint8_t *copy = malloc(s->buf.n);
    memcpy(copy, s->text, s->buf.n);
    s->buf.p = copy;
    batch->buf = &s->buf, batch->n_buf = 1, batch->data = s->view, batch->release = free, batch->owner = copy;
    s->scope[0] = (tg_str){ s->path, strlen(s->path) };
    s->receipts = (tg_receipts){ .struct_size = sizeof s->receipts, .n_scope = 1, .scope = s->scope, .n = batch->n,
                                 .bytes = (const uint8_t *)s->receipt, .end = s->end };
    batch->receipts = &s->receipts;
    return TG_OK;
}

static tg_status write_all(void *self, const tg_batch *in, const tg_report *report, tg_error *error) {
    (void)self, (void)in, (void)report;
    return tg_fail(error, TG_E_FATAL, "this sink settles");
}

static tg_status settle(void *self, const tg_batch *in, const tg_receipts *receipts, const tg_report *report, tg_error *error) {
    static int calls;
    state *s = self;
    static char lines[MOST * 32];
    char *at = lines;
    int dies = ++calls % 3 == 0;
    if (dies && receipts->first == 40) abort();
    memset(s->done, 0, sizeof s->done);
    look(s);
    for (uint32_t entry = 0, event = 0; entry < receipts->n; entry++) {
        uint32_t len;
        const uint8_t *receipt = tg_receipt(receipts, entry, &len);
        uint32_t number = 0;
        for (uint32_t i = 0; i < len; i++) number = number * 10 + (receipt[i] - '0');
        if (!s->done[number]) at += sprintf(at, "%u", number);
        for (; event < in->n && (in->from ? in->from[event] : event) == receipts->first + entry; event++) {
            const uint8_t *data = tg_data(in, event, &len);
            if (s->done[number]) report->elsewhere(report, event);
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
static const tg_sink sink_ops = { .struct_size = sizeof sink_ops, .write = write_all, .settle = settle };
#define PLUGIN(what, number) { .struct_size = sizeof(tg_component), .kind = number, .name = TG_STR("entries"), \
    .summary = TG_STR("works in a file"), .sample = TG_STR("[" #what ".one]\nplugin = \"entries\"\npath = \"/tmp/entries\"\n"), \
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
