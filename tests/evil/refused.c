/* A library that the loader refuses, for the reason that -DFAULT=... selects. */
#include <stdlib.h>
#include "tidegate_plugin.h"

enum { NONE, NO_SYMBOL, NULL_TABLE, SHORT_TABLE, NEWER_HOST, UNKNOWN_FEATURE, NO_PLUGINS, BAD_NAME, BAD_SCHEMA,
       BAD_KIND, NO_CREATE, NO_DESTROY, NO_WORK, INIT_FAILS, UNDEFINED_SYMBOL };

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component, (void)c, (void)error;
    *self = malloc(1);
    return TG_OK;
}
static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)self, (void)in, (void)out, (void)error;
    return TG_OK;
}
static tg_status init(const tg_host *host, tg_error *error) {
    (void)host;
    return FAULT == INIT_FAILS ? tg_fail(error, TG_E_FATAL, "the licence has run out") : TG_OK;
}

static const tg_base base = { .struct_size = sizeof base, .destroy = FAULT == NO_DESTROY ? NULL : free };
static const tg_filter filter = { .struct_size = sizeof filter, .process = FAULT == NO_WORK ? NULL : process };
static const tg_component component = {
    .struct_size = sizeof component,
    .kind = FAULT == BAD_KIND ? 7 : TG_FILTER,
    .name = { FAULT == BAD_NAME ? "No Name" : "refused", 7 },
    .schema = { FAULT == BAD_SCHEMA ? "{type}0" : "{}", 2 + 5 * (FAULT == BAD_SCHEMA) },
    .create = FAULT == NO_CREATE ? NULL : create,
    .base = &base,
    .ops = &filter
};
static const tg_component *const components[] = { &component };
static const tg_module module = {
    .struct_size = FAULT == SHORT_TABLE ? 16 : sizeof module,
    .min_host_minor = FAULT == NEWER_HOST ? 7 : 0,
    .need_features = FAULT == UNKNOWN_FEATURE ? 4 : 0,
    .id = TG_STR("refused"), .version = TG_STR("2.1.0"),
    .n_components = FAULT == NO_PLUGINS ? 0 : 1, .components = components,
    .init = init
};

#if FAULT == 14
extern int missing_symbol(void);
#endif
#if FAULT == 1
#define tidegate_plugin_v1 another_name
TG_EXPORT const tg_module *another_name(uint32_t host_minor, uint64_t host_features);
#endif
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
#if FAULT == 14
    return missing_symbol() ? NULL : &module;
#else
    return FAULT == NULL_TABLE ? NULL : &module;
#endif
}
