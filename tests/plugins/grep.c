/* filter grep_c: keeps the events that contain a text. A complete filter in C. */
#define _GNU_SOURCE /* memmem */
#include <stdlib.h>
#include <string.h>
#include "tidegate_plugin.h"

/* The only option, cut out of the JSON, which the engine has checked against the schema. */
static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    char *options = calloc(1, c->options.n + 1);
    if (!options) return tg_fail(error, TG_E_RETRY, "out of memory");
    memcpy(options, c->options.p, c->options.n);
    char *text = strstr(options, "\"text\":\"");
    if (!text || text[8] == '"' || strchr(text, '\\')) {
        strcpy(error->path, "/text");
        tg_status failed = tg_fail(error, TG_E_CONFIG, !text || text[8] == '"' ? "an empty text is in every event"
                                                       : "this example does not support quotes and backslashes");
        free(options);
        return failed;
    }
    memmove(options, text + 8, strlen(text + 8) + 1);
    *strchr(options, '"') = 0;
    *self = options;
    return TG_OK;
}

static tg_status route(void *self, const tg_batch *in, uint16_t *port, const tg_out *out, tg_error *error) {
    (void)out, (void)error;
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        port[i] = memmem(data, len, self, strlen(self)) ? 0 : TG_PORT_DROP;
    }
    return TG_OK;
}

static void describe(void *self, tg_capabilities *to) { (void)self, to->parallel = 1; }

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .destroy = free };
static const tg_filter filter = { .struct_size = sizeof filter, .route = route };
static const tg_component grep = {
    .struct_size = sizeof grep, .kind = TG_FILTER, .name = TG_STR("grep_c"),
    .summary = TG_STR("keeps the events that contain a text"),
    .sample = TG_STR("[filter.errors]\nplugin = \"grep_c\"\ntext = \"ERROR\"\n"),
    .schema = TG_STR("{\"type\":\"object\",\"required\":[\"text\"],\"additionalProperties\":false,\"properties\":{"
                     "\"text\":{\"type\":\"string\",\"description\":\"The text that an event has to contain.\"}}}"),
    .create = create, .base = &base, .ops = &filter
};
static const tg_component *const components[] = { &grep };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("grep-c"), .version = TG_STR("1.0.0"),
    .n_components = 1, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
