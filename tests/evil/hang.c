/* Never returns, in a call that may block: on a thread of its own. */
#define CAPS TG_CAP_BLOCKING
#include "evil.h"
static void evil(void) { for (;;) pause(); }
