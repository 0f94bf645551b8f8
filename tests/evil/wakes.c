/* A filter whose operations wait, and which wakes the engine as its option `wake` selects. It emits the batch in the last
 * call of the operation. The threads belong to the library; `destroy` joins them.
 *
 *   "before"   within the call, before it returns TG_PENDING, and never again
 *   "during"   from a thread, while the call runs
 *   "after"    from a thread, well after the call has returned
 *   "storm"    a million times, from two threads, and once more after that
 *   "alarm"    with wake_after, and with an early wake from a thread
 *   "gone"     as "during"; and destroy wakes the number of the destroyed instance and numbers that never existed */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidegate_plugin.h"

enum { STORM = 500000 };

typedef struct {
    const tg_host *host;
    uint64_t inst;
    char wake[16];
    _Atomic int asked, ready;
    int threads;
    pthread_t thread[2];
} state;

static void wake(state *s) { s->host->wake(s->host, s->inst); }

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    state *s = calloc(1, sizeof *s);
    if (!s) return tg_fail(error, TG_E_RETRY, "out of memory");
    char *at = memmem(c->options.p, c->options.n, "\"wake\":\"", 8);
    for (int i = 0; at && i < 15 && at[8 + i] != '"'; i++) s->wake[i] = at[8 + i];
    s->host = c->host, s->inst = c->inst;
    *self = s;
    return TG_OK;
}

static void describe(void *self, tg_capabilities *to) { (void)self, to->waits = 1; }

static void *during(void *self) {
    state *s = self;
    while (!atomic_load(&s->asked)) {} /* the call is under way */
    atomic_store(&s->ready, 1);
    wake(s);
    return NULL;
}
static void *after(void *self) {
    usleep(20000);
    atomic_store(&((state *)self)->ready, 1);
    wake(self);
    return NULL;
}
static void *nudge(void *self) {
    usleep(5000);
    wake(self);
    return NULL;
}
static void *storm(void *self) {
    state *s = self;
    for (int i = 0; i < STORM; i++) wake(s);
    atomic_fetch_add(&s->ready, 1);
    wake(s);
    return NULL;
}

static void join(state *s) {
    while (s->threads) pthread_join(s->thread[--s->threads], NULL);
}
static void start(state *s, void *(*run)(void *)) {
    if (!pthread_create(&s->thread[s->threads], NULL, run, s)) s->threads++;
}

/* The first call of an operation. */
static void begin(state *s) {
    atomic_store(&s->ready, 0), atomic_store(&s->asked, 0);
    switch (*s->wake) {
        case 'b': atomic_store(&s->ready, 1), wake(s); break;
        case 'd': case 'g': start(s, during), atomic_store(&s->asked, 1), usleep(1000); break;
        case 'a':
            if (s->wake[1] == 'f') { start(s, after); break; }
            s->host->wake_after(s->host, s->inst, 60000000), start(s, nudge);
            break;
        case 's': start(s, storm), start(s, storm); break;
    }
}

static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)error;
    state *s = self;
    int first = !atomic_exchange(&s->asked, 1);
    if (first) {
        begin(s);
        atomic_store(&s->asked, 1);
        return TG_PENDING;
    }
    if (!strcmp(s->wake, "alarm")) {
        /* The first wake is the early one. The second comes from the alarm, which is not set again. */
        if (atomic_fetch_add(&s->ready, 1) == 0) return TG_PENDING;
    } else if (atomic_load(&s->ready) < (*s->wake == 's' ? 2 : 1)) return TG_PENDING;
    join(s);
    atomic_store(&s->asked, 0);
    tg_batch same = { .struct_size = sizeof same, .n = in->n, .data = in->data };
    return out->emit(out, 0, &same);
}

static void destroy(void *self) {
    state s = *(state *)self;
    join(self);
    free(self);
    if (*s.wake != 'g') return;
    for (uint64_t i = 0; i < 1000; i++) {
        s.host->wake(s.host, s.inst), s.host->wake(s.host, i ? UINT64_MAX - i : 0);
        s.host->wake_after(s.host, s.inst, 1), s.host->progress(s.host, s.inst, 1, 2);
    }
}

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .destroy = destroy };
static const tg_filter filter = { .struct_size = sizeof filter, .process = process };
static const tg_component component = {
    .struct_size = sizeof component, .kind = TG_FILTER, .name = TG_STR("wakes"), .summary = TG_STR("wakes the engine"),
    .schema = TG_STR("{\"type\":\"object\",\"properties\":{\"wake\":{\"type\":\"string\",\"description\":\"When.\"}}}"),
    .create = create, .base = &base, .ops = &filter
};
static const tg_component *const components[] = { &component };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("wakes"), .version = TG_STR("1.0.0"),
    .n_components = 1, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
