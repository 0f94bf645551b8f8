/* Ends the process, as if it owned it. */
#include "../evil.h"
static void evil(void) { _exit(3); }
