/* A library of a synthetic older ABI: each of its structs ends after the last field that the loader requires, and the
 * memory after that is foreign, here the address of `poison`. An engine that reads too far calls `poison`, which aborts. */
#include <stdlib.h>
#include "tidegate_plugin.h"

static void poison(void) { abort(); }
#define THROUGH(T, f) ((uint32_t)(offsetof(T, f) + sizeof(((T *)0)->f)))
#define FOREIGN(member) .member = (void *)poison

typedef struct { tg_view view; } state;

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component, (void)c;
    *self = calloc(1, sizeof(state));
    return *self ? TG_OK : tg_fail(error, TG_E_RETRY, "out of memory");
}

/* What a describe of that time sets. */
static void describe(void *self, tg_capabilities *to) {
    (void)self;
    to->replay = TG_REPLAY_REDELIVERY;
    to->transactional = 0;
}

static tg_status next(void *self, uint64_t max_wait_ns, tg_batch *batch, tg_error *error) {
    static const tg_buf buffer = { (const uint8_t *)"event", 5 };
    state *s = self;
    (void)max_wait_ns, (void)error;
    s->view = (tg_view){ 0, 0, 5 };
    batch->n = 1, batch->n_buf = 1, batch->buf = &buffer, batch->data = &s->view;
    return TG_OK;
}

/* Emits its batch, as a struct that ends before the fields that only the engine sets. */
static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)self, (void)error;
    tg_batch same = { .struct_size = THROUGH(tg_batch, owner), .n = in->n, .data = in->data,
                      FOREIGN(retain), FOREIGN(ack_handles) };
    return out->emit(out, 0, &same);
}

static tg_status write_all(void *self, const tg_batch *in, const tg_report *report, tg_error *error) {
    (void)self, (void)in, (void)report, (void)error;
    return TG_OK;
}

static const tg_base base = { .struct_size = THROUGH(tg_base, destroy), .describe = describe, .destroy = free,
                              FOREIGN(get_extension) };
static const tg_source source_ops = { .struct_size = THROUGH(tg_source, next), .next = next, FOREIGN(commit),
                                      FOREIGN(batch_done) };
static const tg_filter filter_ops = { .struct_size = sizeof filter_ops, .process = process };
static const tg_sink sink_ops = { .struct_size = THROUGH(tg_sink, write), .write = write_all, FOREIGN(claim),
                                  FOREIGN(commit), FOREIGN(ack_and_write) };
#define PLUGIN(what, number) { .struct_size = sizeof(tg_component), .kind = number, .name = TG_STR("older"), \
    .summary = TG_STR("is built against an older ABI"), .schema = TG_STR("{\"type\":\"object\"}"), \
    .create = create, .base = &base, .ops = &what##_ops }
static const tg_component source = PLUGIN(source, TG_SOURCE), filter = PLUGIN(filter, TG_FILTER), sink = PLUGIN(sink, TG_SINK);
static const tg_component *const components[] = { &source, &filter, &sink };
static const tg_module module = {
    .struct_size = THROUGH(tg_module, components), .id = TG_STR("older"), .version = TG_STR("1.0.0"),
    .n_components = 3, .components = components, FOREIGN(init), FOREIGN(get_extension)
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
