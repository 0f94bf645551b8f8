/* Never returns. */
#include "../evil.h"
static void evil(void) { for (volatile int i = 0;; i++) {} }
