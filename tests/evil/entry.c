/* A library with a source, a filter, a routing filter and a sink, each of which fails in the function that its option `at`
 * names, in the way that `way` names. With `mark`, the path of a file, it fails once: it creates the file, with its
 * process id, and does not fail while the file exists. `way = "keep"` only leaks the instance. -DAT_LOAD=WAY fails in the
 * entry point of the library, and -DAT_INIT=WAY in `init`. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidegate_plugin.h"

enum { SEGFAULT = 1, ABORT, EXIT };

typedef struct { const tg_host *host; uint64_t inst; char at[32], way[32], mark[512]; int read, calls, drained; tg_buf buf; tg_view view; } state;

static void die(int way) {
    switch (way) {
        case SEGFAULT: *(volatile int *)8 = 1; break;
        case ABORT: abort();
        case EXIT: _exit(7);
    }
}

static void text(const char *options, const char *name, char *to, size_t size) {
    char key[64];
    size_t n = 0;
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *at = strstr(options, key);
    if (at) for (at += strlen(key); at[n] && at[n] != '"' && n + 1 < size; n++) to[n] = at[n];
    to[n] = 0;
}

static void evil(const state *s, const char *here) {
    if (strcmp(s->at, here) || !strcmp(s->way, "keep")) return;
    if (*s->mark) {
        int mark = open(s->mark, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (mark < 0) return;
        dprintf(mark, "%d", (int)getpid());
        close(mark);
    }
    if (!strcmp(s->way, "hang")) for (;;) pause();
    die(!strcmp(s->way, "segfault") ? SEGFAULT : !strcmp(s->way, "abort") ? ABORT : EXIT);
}

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    state *s = calloc(1, sizeof *s);
    char *options = calloc(1, c->options.n + 1);
    if (!s || !options) return tg_fail(error, TG_E_RETRY, "out of memory");
    memcpy(options, c->options.p, c->options.n);
    text(options, "at", s->at, sizeof s->at);
    text(options, "way", s->way, sizeof s->way);
    text(options, "mark", s->mark, sizeof s->mark);
    free(options);
    s->host = c->host, s->inst = c->inst;
    evil(s, "create");
    *self = s;
    return TG_OK;
}

static void describe(void *self, tg_capabilities *to) {
    evil(self, "describe");
    to->replay = TG_REPLAY_POSITION, to->wants_commit = to->wants_batch_done = to->transactional = to->waits = 1;
}
static tg_status open_it(void *self, const tg_open *o, tg_error *error) {
    (void)error;
    evil(self, "open");
    if (o->n_resume) ((state *)self)->read = 1;
    return TG_OK;
}
static void drain(void *self) { evil(self, "drain"), ((state *)self)->drained = 1; }
/* Delays the first call of a filter or sink until the drain, so that the drain is certain to be called. */
static int waits(state *s) { return !strcmp(s->at, "drain") && !s->drained && s->calls++; }
static tg_status close_it(void *self, tg_error *error) { (void)error; return evil(self, "close"), TG_OK; }
static void stop(void *self) { evil(self, "stop"); }
static void destroy(void *self) {
    evil(self, "destroy");
    if (strcmp(((state *)self)->way, "keep")) free(self);
}

/* One event, and no more until the pipeline drains. */
static tg_status next(void *self, uint64_t wait, tg_batch *batch, tg_error *error) {
    (void)wait, (void)error;
    state *s = self;
    evil(s, "next");
    if (s->read++) return s->drained ? TG_END : TG_PENDING;
    s->buf = (tg_buf){ (const uint8_t *)"event", 5 }, s->view = (tg_view){ 0, 0, 5 };
    batch->n = 1, batch->buf = &s->buf, batch->n_buf = 1, batch->data = &s->view;
    batch->position = (tg_buf){ (const uint8_t *)"1", 1 };
    return TG_OK;
}
static tg_status commit_to(void *self, tg_str partition, tg_buf position, tg_error *error) {
    (void)partition, (void)position, (void)error;
    return evil(self, "commit"), TG_OK;
}
static void batch_done(void *self, uint64_t seq, uint32_t outcome, tg_str reason) {
    (void)seq, (void)outcome, (void)reason;
    evil(self, "batch_done");
}

static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)error;
    evil(self, "process");
    if (waits(self)) return TG_PENDING;
    tg_batch same = { .struct_size = sizeof same, .n = in->n, .data = in->data };
    return out->emit(out, 0, &same);
}
static tg_status route(void *self, const tg_batch *in, uint16_t *port, const tg_out *out, tg_error *error) {
    (void)out, (void)error;
    evil(self, "route");
    return memset(port, 0, in->n * sizeof *port), TG_OK;
}

static tg_status write_it(void *self, const tg_batch *in, const tg_report *report, tg_error *error) {
    (void)in, (void)report, (void)error;
    evil(self, "write");
    return waits(self) ? TG_PENDING : TG_OK;
}
static tg_status claim(void *self, const tg_claim *claim, const tg_records *records, tg_error *error) {
    (void)claim, (void)records, (void)error;
    return evil(self, "claim"), TG_OK;
}
static tg_status commit(void *self, const tg_batch *in, const tg_record *record, const tg_report *report, tg_error *error) {
    (void)in, (void)record, (void)report, (void)error;
    return evil(self, "commit"), TG_OK;
}

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .open = open_it, .drain = drain,
                              .close = close_it, .stop = stop, .destroy = destroy };
static const tg_source source_ops = { .struct_size = sizeof source_ops, .next = next, .commit = commit_to, .batch_done = batch_done };
static const tg_filter filter_ops = { .struct_size = sizeof filter_ops, .process = process };
static const tg_filter router_ops = { .struct_size = sizeof router_ops, .route = route };
static const tg_sink sink_ops = { .struct_size = sizeof sink_ops, .write = write_it, .claim = claim, .commit = commit };
#define TEXT(name) "\"" name "\":{\"type\":\"string\",\"description\":\"See above.\"}"
#define PLUGIN(number, what) { .struct_size = sizeof(tg_component), .kind = number, .name = TG_STR(#what), \
    .summary = TG_STR("fails on purpose"), .schema = TG_STR("{\"type\":\"object\",\"properties\":{" TEXT("at") "," TEXT("way") "," TEXT("mark") "}}"), \
    .create = create, .base = &base, .ops = &what##_ops }
static const tg_component source = PLUGIN(TG_SOURCE, source), filter = PLUGIN(TG_FILTER, filter),
                          router = PLUGIN(TG_FILTER, router), sink = PLUGIN(TG_SINK, sink);
static const tg_component *const components[] = { &source, &filter, &router, &sink };

static tg_status init(const tg_host *host, tg_error *error) {
    (void)host, (void)error;
#ifdef AT_INIT
    die(AT_INIT);
#endif
    return TG_OK;
}
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("entry"), .version = TG_STR("1.0.0"),
    .n_components = 4, .components = components, .init = init
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
#ifdef AT_LOAD
    die(AT_LOAD);
#endif
    return &module;
}
