/* Forks without exec. The new process inherits every file of the plugin, and runs for up to a minute. */
#include <signal.h>
#include "../evil.h"
static void evil(void) {
    if (fork() == 0) {
        alarm(60);
        for (;;) pause();
    }
}
