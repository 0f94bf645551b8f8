/* filter number_c: numbers the events, and keeps counting when another version of the library is loaded. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidegate_plugin.h"

typedef struct { uint64_t count; } state;

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component, (void)c;
    *self = calloc(1, sizeof(state));
    return *self ? TG_OK : tg_fail(error, TG_E_RETRY, "out of memory");
}

/* Prefixes each event with its number and a space, in a buffer of the library's own, which the engine releases. */
static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    state *s = self;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < in->n; i++) bytes += 21 + in->data[i].len;
    char *text = malloc(bytes + 1), *at = text;
    tg_view *views = calloc(in->n + 1, sizeof *views);
    if (!text || !views) return free(text), free(views), tg_fail(error, TG_E_FATAL, "out of memory");
    uint64_t count = s->count;
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        char *start = at;
        at += sprintf(at, "%" PRIu64 " ", count++);
        memcpy(at, data, len);
        at += len;
        views[i] = (tg_view){ in->n_buf, (uint32_t)(start - text), (uint32_t)(at - start) };
    }
    tg_buf own = { (const uint8_t *)text, (uint64_t)(at - text) };
    tg_batch numbered = { .struct_size = sizeof numbered, .n = in->n, .n_buf = 1, .buf = &own, .data = views,
                          .release = free, .owner = text };
    tg_status taken = out->emit(out, 0, &numbered);
    free(views);
    if (taken == TG_OK) s->count = count;
    return taken;
}

static tg_status save(void *self, const tg_state_writer *to, tg_error *error) {
    char text[32];
    int len = snprintf(text, sizeof text, "1 %" PRIu64, ((state *)self)->count);
    if (to->put(to, (tg_buf){ (const uint8_t *)text, (uint64_t)len }) == TG_OK) return TG_OK;
    return tg_fail(error, TG_E_FATAL, "the count cannot be saved");
}

static tg_status restore(void *self, tg_buf saved, tg_error *error) {
    char text[32] = "", *end;
    if (saved.n < 3 || saved.n >= sizeof text || memcmp(saved.p, "1 ", 2))
        return tg_fail(error, TG_E_FATAL, "it is not a count of version 1");
    memcpy(text, saved.p, saved.n);
    uint64_t count = strtoull(text + 2, &end, 10);
    if (*end) return tg_fail(error, TG_E_FATAL, "it is not a count of version 1");
    ((state *)self)->count = count;
    return TG_OK;
}

static const tg_state extension = { .struct_size = sizeof extension, .save = save, .restore = restore };
static const void *get_extension(void *self, const char *id) {
    (void)self;
    return strcmp(id, TG_STATE) ? NULL : &extension;
}

static const tg_base base = { .struct_size = sizeof base, .destroy = free, .get_extension = get_extension };
static const tg_filter filter = { .struct_size = sizeof filter, .process = process };
static const tg_component number = {
    .struct_size = sizeof number, .kind = TG_FILTER, .name = TG_STR("number_c"),
    .summary = TG_STR("numbers the events"),
    .sample = TG_STR("[filter.numbered]\nplugin = \"number_c\"\n"),
    .schema = TG_STR("{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{}}"),
    .create = create, .base = &base, .ops = &filter
};
static const tg_component *const components[] = { &number };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("number-c"), .version = TG_STR("1.0.0"),
    .n_components = 1, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
