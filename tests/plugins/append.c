/* sink append_c: appends each event to a file, as a line, and syncs the file. A complete sink in C. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidegate_plugin.h"

typedef struct append {
    FILE *file;
    char path[];
} append;

/* The only option, cut out of the JSON, which the engine has checked against the schema. */
static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    append *made = calloc(1, sizeof *made + c->options.n + 1);
    if (!made) return tg_fail(error, TG_E_RETRY, "out of memory");
    memcpy(made->path, c->options.p, c->options.n);
    char *path = strstr(made->path, "\"path\":\""), *end = path ? strchr(path + 8, '"') : NULL;
    if (!end || strchr(path, '\\')) {
        free(made);
        strcpy(error->path, "/path");
        return tg_fail(error, TG_E_CONFIG, "the path is a plain text without quotes and backslashes");
    }
    *end = 0;
    memmove(made->path, path + 8, strlen(path + 8) + 1);
    *self = made;
    return TG_OK;
}

/* Claims the file: two of these on one would mix their lines. Warns of a file in a folder that loses it. */
static void describe(void *self, tg_capabilities *to) {
    append *a = self;
    size_t length = strlen(a->path);
    char *resource = malloc(length + 6);
    if (resource && to->exclusive) {
        sprintf(resource, "file %s", a->path);
        to->exclusive(to, (tg_str)TG_STR("/path"), (tg_str){ resource, length + 5 }, 0, (tg_str){ 0 });
    }
    free(resource);
    if (to->warn && strncmp(a->path, "/tmp/", 5) == 0 && !strchr(a->path + 5, '/'))
        to->warn(to, (tg_str)TG_STR("/path"), (tg_str)TG_STR("`/tmp` is emptied when the machine starts"),
                 (tg_str)TG_STR("choose another folder"), 0, 4);
}

static tg_status open(void *self, const tg_open *open, tg_error *error) {
    (void)open;
    append *a = self;
    if (!a->file) a->file = fopen(a->path, "a");
    return a->file ? TG_OK : tg_fail(error, TG_E_RETRY, strerror(errno));
}

/* After TG_OK, the events survive a crash. */
static tg_status write_batch(void *self, const tg_batch *in, const tg_report *report, tg_error *error) {
    (void)report;
    append *a = self;
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        fwrite(data, 1, len, a->file);
        fputc('\n', a->file);
    }
    if (fflush(a->file) == 0 && fdatasync(fileno(a->file)) == 0) return TG_OK;
    clearerr(a->file);
    return tg_fail(error, TG_E_AMBIGUOUS, strerror(errno));
}

static tg_status close_file(void *self, tg_error *error) {
    append *a = self;
    FILE *file = a->file;
    a->file = NULL;
    return !file || fclose(file) == 0 ? TG_OK : tg_fail(error, TG_E_FATAL, strerror(errno));
}

static void destroy(void *self) {
    append *a = self;
    if (a->file) fclose(a->file);
    free(a);
}

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .open = open, .close = close_file, .destroy = destroy };
static const tg_sink sink = { .struct_size = sizeof sink, .write = write_batch };
static const tg_component component = {
    .struct_size = sizeof component, .kind = TG_SINK, .caps = TG_CAP_BLOCKING, .name = TG_STR("append_c"),
    .summary = TG_STR("appends each event to a file, as a line"),
    .sample = TG_STR("[sink.file]\nplugin = \"append_c\"\npath = \"out.txt\"\n"),
    .schema = TG_STR("{\"type\":\"object\",\"required\":[\"path\"],\"additionalProperties\":false,\"properties\":{"
                     "\"path\":{\"type\":\"string\",\"description\":\"The file, which is created if it does not exist.\"}}}"),
    .create = create, .base = &base, .ops = &sink
};
static const tg_component *const components[] = { &component };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("append-c"), .version = TG_STR("1.0.0"),
    .n_components = 1, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
