/* A filter that emits invalid batches. The event selects the error: KILL0, KILL1, ... */
#define OWN_PROCESS
#include "tidegate_plugin.h"
static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error);
#include "evil.h"
static void evil(void) {}

static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)self, (void)error;
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        tg_view view = in->data[i];
        uint32_t from = i, ends[1] = { 0 };
        tg_batch one = { .struct_size = sizeof one, .n = 1, .data = &view, .from = &from };
        if (len >= 5 && !memcmp(data, "KILL", 4)) switch (data[4]) {
            case '0': view.off = 0xFFFFFFF0u; break;     /* after the end of its buffer */
            case '1': view.len = 0xFFFFFFFFu; break;     /* longer than its buffer */
            case '2': view.buf = 77; break;              /* in a buffer that does not exist */
            case '3': from = in->n; break;               /* made from an event that does not exist */
            case '4': one.data = NULL; break;            /* no payloads */
            case '5': ends[0] = 9, one.attr_end = ends; break; /* attributes that do not exist */
            case '6': one.n = 0xFFFFFFFFu; break;        /* too many events */
        }
        out->emit(out, 0, &one);
    }
    return TG_OK;
}
