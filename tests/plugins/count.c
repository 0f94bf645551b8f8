/* source count_c: generates {"n":0}, {"n":1}, ... and resumes at a position. A complete source in C. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidegate_plugin.h"

enum { BATCH = 1000, EVENT = 32 };

typedef struct count {
    unsigned long long count, next;
    tg_view view[BATCH];
    tg_buf buffer;
    char position[EVENT];
} count;

/* The only option, cut out of the JSON, which the engine has checked against the schema. */
static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    char options[256] = "";
    if (c->options.n >= sizeof options) return tg_fail(error, TG_E_CONFIG, "these options are too long");
    memcpy(options, c->options.p, c->options.n);
    char *number = strstr(options, "\"count\":");
    count *made = calloc(1, sizeof *made);
    if (!number || !made) return free(made), tg_fail(error, TG_E_CONFIG, "there is no `count`");
    made->count = strtoull(number + 8, NULL, 10);
    *self = made;
    return TG_OK;
}

static void describe(void *self, tg_capabilities *to) { (void)self, to->replay = TG_REPLAY_POSITION; }

/* Resumes at the stored position. */
static tg_status open(void *self, const tg_open *open, tg_error *error) {
    char digits[EVENT] = "";
    if (open->n_resume == 0) return TG_OK;
    tg_buf position = open->resume[0].position;
    if (position.n >= sizeof digits) return tg_fail(error, TG_E_FATAL, "the stored position is not a number");
    memcpy(digits, position.p, position.n);
    ((count *)self)->next = strtoull(digits, NULL, 10);
    return TG_OK;
}

static tg_status next(void *self, uint64_t max_wait_ns, tg_batch *batch, tg_error *error) {
    count *c = self;
    (void)max_wait_ns;
    if (c->next >= c->count) return TG_END;
    char *bytes = malloc(BATCH * EVENT), *end = bytes;
    if (!bytes) return tg_fail(error, TG_E_RETRY, "out of memory");
    for (batch->n = 0; batch->n < BATCH && c->next < c->count; batch->n++) {
        int len = sprintf(end, "{\"n\":%llu}", c->next++);
        c->view[batch->n] = (tg_view){ 0, (uint32_t)(end - bytes), (uint32_t)len };
        end += len;
    }
    c->buffer = (tg_buf){ (uint8_t *)bytes, (uint64_t)(end - bytes) };
    batch->buf = &c->buffer, batch->n_buf = 1, batch->data = c->view;
    batch->position.p = (uint8_t *)c->position;
    batch->position.n = (uint64_t)sprintf(c->position, "%llu", c->next);
    batch->release = free, batch->owner = bytes;
    return TG_OK;
}

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .open = open, .destroy = free };
static const tg_source source = { .struct_size = sizeof source, .next = next };
static const tg_component component = {
    .struct_size = sizeof component, .kind = TG_SOURCE, .name = TG_STR("count_c"),
    .summary = TG_STR("generates numbered events"),
    .sample = TG_STR("[source.numbers]\nplugin = \"count_c\"\ncount = 10\n"),
    .schema = TG_STR("{\"type\":\"object\",\"required\":[\"count\"],\"additionalProperties\":false,\"properties\":{"
                     "\"count\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"How many events to generate.\"}}}"),
    .create = create, .base = &base, .ops = &source
};
static const tg_component *const components[] = { &component };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("count-c"), .version = TG_STR("1.0.0"),
    .n_components = 1, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
