/* A filter that counts references to its batch wrongly, as the event selects: KILL0 releases without a retain, KILL1
 * releases twice after one retain. KILL2 emits a batch of constant buffers without `release`, which is allowed. At any
 * other event it is correct: it retains twice, and another thread releases twice. */
#include <pthread.h>
#define OWN_PROCESS
#include "tidegate_plugin.h"
static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error);
#include "evil.h"
static void evil(void) {}

static void *give_back(void *of) {
    tg_batch *in = of;
    in->release(in->owner), in->release(in->owner);
    free(in);
    return NULL;
}

static tg_status process(void *self, const tg_batch *in, const tg_out *out, tg_error *error) {
    (void)self, (void)error;
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        tg_view constant = { in->n_buf, 0, 8 };
        tg_buf buffer = { (const uint8_t *)"constant", 8 };
        tg_batch one = { .struct_size = sizeof one, .n = 1, .data = &in->data[i], .from = &i };
        switch (len >= 5 && !memcmp(data, "KILL", 4) ? data[4] : 0) {
            case '0': in->release(in->owner); break;
            case '1': in->retain(in->owner), in->release(in->owner), in->release(in->owner); break;
            case '2': one.buf = &buffer, one.n_buf = 1, one.data = &constant; break;
            default: {
                pthread_t thread;
                tg_batch *copy = malloc(sizeof *copy);
                *copy = *in;
                in->retain(in->owner), in->retain(in->owner);
                if (!pthread_create(&thread, NULL, give_back, copy)) pthread_join(thread, NULL);
            }
        }
        out->emit(out, 0, &one);
    }
    return TG_OK;
}
