/* Never returns from a call that may block, which runs on a thread of its own. */
#define CAPS TG_CAP_BLOCKING
#include "../evil.h"
static void evil(void) { for (;;) pause(); }
