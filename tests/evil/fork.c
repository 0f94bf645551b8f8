/* Forks without exec: the new process shares every file of the plugin's, and does not end by itself for a minute. */
#include <signal.h>
#include "evil.h"
static void evil(void) {
    if (fork() == 0) {
        alarm(60);
        for (;;) pause();
    }
}
