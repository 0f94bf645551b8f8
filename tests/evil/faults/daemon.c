/* Forks without exec into a session of its own, so that it is not killed with the plugin's process group. */
#include <signal.h>
#include "../evil.h"
static void evil(void) {
    if (fork() == 0) {
        setsid();
        alarm(60);
        for (;;) pause();
    }
}
