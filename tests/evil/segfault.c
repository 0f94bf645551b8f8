/* Reads where there is nothing. */
#include "evil.h"
static void evil(void) { *(volatile int *)8 = 1; }
