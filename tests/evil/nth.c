/* A filter that crashes in every fifth call in one process, whatever the events are. */
#define OWN_PROCESS
#include "tidegate_plugin.h"
static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error);
#include "evil.h"
static void evil(void) { abort(); }

static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)self, (void)error;
    static int calls;
    if (++calls % 5 == 0) evil();
    tg_batch same = { .struct_size = sizeof same, .n = in->n, .data = in->data };
    return out->emit(out, 0, &same);
}
