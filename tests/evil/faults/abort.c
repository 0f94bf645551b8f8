/* Aborts, like a failed assertion or a panic of a Rust library with panic = "abort". */
#include "../evil.h"
static void evil(void) { fprintf(stderr, "this cannot be, says the library\n"), abort(); }
