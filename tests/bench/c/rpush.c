/* Work B by hand: the lines of a file into a Redis list, RPUSH of 500 values a command, 16 commands in flight.
 *
 *     rpush PORT KEY FILE
 *
 * The file is mapped rather than read, and nothing but the count of the answers is looked at: this is what the
 * protocol and the server allow, not what anyone should run.
 */

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUES 500
#define IN_FLIGHT 16

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int server, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = write(server, bytes, length);
        if (sent <= 0) fail("write");
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Waits for an answer at least. Each is one line; one that begins with '-' is a refusal. */
static int answers(int server) {
    static char bytes[4096];
    static int at_line_start = 1;
    int lines = 0;
    while (lines == 0) {
        ssize_t length = read(server, bytes, sizeof bytes);
        if (length <= 0) fail("read");
        for (ssize_t at = 0; at < length; at++) {
            if (at_line_start && bytes[at] == '-') fail("the server refused a command");
            at_line_start = bytes[at] == '\n';
            lines += at_line_start;
        }
    }
    return lines;
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: rpush PORT KEY FILE\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");

    int file = open(arguments[3], O_RDONLY);
    struct stat about;
    if (file < 0 || fstat(file, &about) != 0) fail(arguments[3]);
    size_t size = (size_t)about.st_size;
    char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (data == MAP_FAILED) fail("mmap");

    size_t room = 0;
    char *request = NULL;
    char *line = data, *end = data + size;
    int in_flight = 0;
    while (line < end) {
        char *stop = line;
        int values = 0;
        for (; values < VALUES && stop < end; values++) {
            char *newline = memchr(stop, '\n', (size_t)(end - stop));
            stop = newline == NULL ? end : newline + 1;
        }
        size_t most = (size_t)(stop - line) + (size_t)values * 32 + 128 + strlen(arguments[2]);
        if (most > room) {
            request = realloc(request, room = most);
            if (request == NULL) fail("realloc");
        }
        char *to = request;
        to += sprintf(to, "*%d\r\n$5\r\nRPUSH\r\n$%zu\r\n%s\r\n", values + 2, strlen(arguments[2]), arguments[2]);
        for (int value = 0; value < values; value++) {
            char *newline = memchr(line, '\n', (size_t)(end - line));
            size_t length = (size_t)((newline == NULL ? end : newline) - line);
            to += sprintf(to, "$%zu\r\n", length);
            memcpy(to, line, length);
            to += length;
            *to++ = '\r';
            *to++ = '\n';
            line += length + 1;
        }
        while (in_flight >= IN_FLIGHT) in_flight -= answers(server);
        send_all(server, request, (size_t)(to - request));
        in_flight++;
    }
    while (in_flight > 0) in_flight -= answers(server);
    return 0;
}
