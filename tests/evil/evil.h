/* A library with a source, a filter and a sink that work until they call `evil`. The files beside this header define
 * `evil` and include this header.
 *
 * The filter and the sink call it for an event that contains KILL, before they process its batch. The source calls it in
 * every fourth call of `next` in one process. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidegate_plugin.h"

static void evil(void);

typedef struct { char path[512]; unsigned long long count, next; char text[100 * 24], position[24]; tg_buf buf; tg_view views[100]; } state;

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    state *s = calloc(1, sizeof *s);
    char *options = calloc(1, c->options.n + 1);
    if (!s || !options) return tg_fail(error, TG_E_RETRY, "out of memory");
    memcpy(options, c->options.p, c->options.n);
    char *path = strstr(options, "\"path\":\""), *count = strstr(options, "\"count\":");
    if (path) sscanf(path + 8, "%511[^\"]", s->path);
    if (count) s->count = strtoull(count + 8, NULL, 10);
    free(options);
    *self = s;
    return TG_OK;
}

static void look(const tg_batch *in) {
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        for (uint32_t at = 0; at + 4 <= len; at++)
            if (!memcmp(data + at, "KILL", 4)) evil();
    }
}

#ifndef OWN_PROCESS
static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)self, (void)error;
    look(in);
    tg_batch same = { .struct_size = sizeof same, .n = in->n, .data = in->data };
    return out->emit(out, 0, &same);
}
#endif

static tg_status write_all(void *self, const tg_batch *in, const tg_report *report, tg_error *error) {
    (void)report;
    look(in);
    int file = open(((state *)self)->path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0) return tg_fail(error, TG_E_RETRY, "the file cannot be opened");
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        if (write(file, data, len) < 0 || write(file, "\n", 1) < 0) return tg_fail(error, TG_E_FATAL, "the disk is full");
    }
    close(file);
    return TG_OK;
}

static tg_status open_source(void *self, const tg_open *o, tg_error *error) {
    (void)error;
    if (o->n_resume) ((state *)self)->next = strtoull((const char *)o->resume[0].position.p, NULL, 10);
    return TG_OK;
}

static tg_status next(void *self, uint64_t wait, tg_batch *batch, tg_error *error) {
    (void)wait, (void)error;
    static int calls;
    state *s = self;
    if (s->next >= s->count) return TG_END;
    if (++calls % 4 == 0) evil();
    char *at = s->text;
    for (batch->n = 0; batch->n < 100 && s->next < s->count; batch->n++, s->next++) {
        int len = sprintf(at, "event %llu", s->next);
        s->views[batch->n] = (tg_view){ 0, (uint32_t)(at - s->text), (uint32_t)len };
        at += len;
    }
    s->buf = (tg_buf){ (const uint8_t *)s->text, (uint64_t)(at - s->text) };
    uint8_t *copy = malloc(s->buf.n);
    memcpy(copy, s->text, s->buf.n);
    s->buf.p = copy;
    batch->buf = &s->buf, batch->n_buf = 1, batch->data = s->views;
    batch->release = free, batch->owner = copy;
    int len = sprintf(s->position, "%llu", s->next);
    batch->position = (tg_buf){ (const uint8_t *)s->position, (uint64_t)len };
    return TG_OK;
}

static void describe(void *self, tg_capabilities *to) { (void)self, to->replay = TG_REPLAY_POSITION; }

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .open = open_source, .destroy = free };
static const tg_source source_ops = { .struct_size = sizeof source_ops, .next = next };
static const tg_filter filter_ops = { .struct_size = sizeof filter_ops, .process = process };
static const tg_sink sink_ops = { .struct_size = sizeof sink_ops, .write = write_all };
#ifndef CAPS
#define CAPS 0
#endif
#define PLUGIN(what, number) { .struct_size = sizeof(tg_component), .kind = number, .caps = CAPS, .name = TG_STR("evil"), \
    .summary = TG_STR("fails on purpose"), .sample = TG_STR("[" #what ".bad]\nplugin = \"evil\"\n"), \
    .schema = TG_STR("{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"description\":\"The file.\"}," \
                     "\"count\":{\"type\":\"integer\",\"description\":\"How many.\"}}}"), \
    .create = create, .base = &base, .ops = &what##_ops }
static const tg_component source = PLUGIN(source, TG_SOURCE), filter = PLUGIN(filter, TG_FILTER), sink = PLUGIN(sink, TG_SINK);
static const tg_component *const components[] = { &source, &filter, &sink };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("evil"), .version = TG_STR("1.0.0"),
    .n_components = 3, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
