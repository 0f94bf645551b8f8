/* Writes to an invalid address. */
#include "../evil.h"
static void evil(void) { *(volatile int *)8 = 1; }
