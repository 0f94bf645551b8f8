/* A library that believes that the program is its own. */
#include "evil.h"
static void evil(void) { _exit(3); }
