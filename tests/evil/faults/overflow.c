/* Overflows the stack. */
#include "../evil.h"
static int deeper(volatile int n) { char page[4096]; page[n % 4096] = (char)n; return deeper(n + 1) + page[(n + 1) % 4096]; }
static void evil(void) { deeper(0); }
