/* A transactional sink that crashes within a transaction: every third commit in one process writes the events and not the
 * record of the lane. A rename replaces the record, which holds the length of the file of events; a claim truncates the
 * file to that length. One lane. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidegate_plugin.h"

typedef struct { char out[512], record[520], new_record[524]; unsigned long long length; } state;

static tg_status create(const tg_component *component, const tg_create *c, void **self, tg_error *error) {
    (void)component;
    state *s = calloc(1, sizeof *s);
    char *options = calloc(1, c->options.n + 1);
    if (!s || !options) return tg_fail(error, TG_E_RETRY, "out of memory");
    memcpy(options, c->options.p, c->options.n);
    char *path = strstr(options, "\"path\":\"");
    if (path) sscanf(path + 8, "%500[^\"]", s->out);
    snprintf(s->record, sizeof s->record, "%s.record", s->out);
    snprintf(s->new_record, sizeof s->new_record, "%s.new", s->record);
    free(options);
    *self = s;
    return TG_OK;
}

static tg_status write_all(void *self, const tg_batch *in, const tg_report *report, tg_error *error) {
    (void)self, (void)in, (void)report;
    return tg_fail(error, TG_E_FATAL, "this sink is transactional");
}

/* The record: lengths, base, done, then source, partition and position. */
static tg_status claim(void *self, const tg_claim *claim, const tg_records *records, tg_error *error) {
    (void)error;
    state *s = self;
    if (claim->reset) unlink(s->record);
    FILE *file = fopen(s->record, "rb");
    tg_record record = { .struct_size = sizeof record };
    char text[3][4096];
    unsigned long long base, done, n[3];
    s->length = 0;
    if (file && fscanf(file, "%llu %llu %llu %llu %llu %llu\n", &s->length, &base, &done, &n[0], &n[1], &n[2]) == 6) {
        for (int i = 0; i < 3; i++) if (fread(text[i], 1, n[i], file) != n[i]) abort();
        record.source = (tg_str){ text[0], n[0] }, record.partition = (tg_str){ text[1], n[1] };
        record.position = (tg_buf){ n[2] ? (const uint8_t *)text[2] : NULL, n[2] };
        record.base = base, record.done = done;
        records->found(records, &record);
    }
    if (file) fclose(file);
    int out = open(s->out, O_WRONLY | O_CREAT, 0600);
    if (out < 0 || ftruncate(out, (off_t)s->length)) return tg_fail(error, TG_E_RETRY, "the file cannot be opened");
    close(out);
    return TG_OK;
}

static tg_status commit(void *self, const tg_batch *in, const tg_record *record, const tg_report *report, tg_error *error) {
    (void)report;
    static int commits;
    state *s = self;
    FILE *out = fopen(s->out, "ab");
    if (!out) return tg_fail(error, TG_E_RETRY, "the file cannot be opened");
    unsigned long long length = s->length;
    for (uint32_t i = 0, len; i < in->n; i++) {
        const uint8_t *data = tg_data(in, i, &len);
        fwrite(data, 1, len, out), fputc('\n', out);
        length += len + 1;
    }
    if (fclose(out)) return tg_fail(error, TG_E_FATAL, "the disk is full");
    if (++commits % 3 == 0) abort();
    FILE *file = fopen(s->new_record, "wb");
    if (!file) return tg_fail(error, TG_E_RETRY, "the record cannot be written");
    fprintf(file, "%llu %llu %llu %llu %llu %llu\n", length, (unsigned long long)record->base, (unsigned long long)record->done,
            (unsigned long long)record->source.n, (unsigned long long)record->partition.n, (unsigned long long)record->position.n);
    fwrite(record->source.p, 1, record->source.n, file), fwrite(record->partition.p, 1, record->partition.n, file);
    if (record->position.n) fwrite(record->position.p, 1, record->position.n, file);
    if (fclose(file) || rename(s->new_record, s->record)) return tg_fail(error, TG_E_FATAL, "the disk is full");
    s->length = length;
    return TG_OK;
}

static void describe(void *self, tg_capabilities *to) { (void)self, to->transactional = 1; }

static const tg_base base = { .struct_size = sizeof base, .describe = describe, .destroy = free };
static const tg_sink sink_ops = { .struct_size = sizeof sink_ops, .write = write_all, .claim = claim, .commit = commit };
static const tg_component sink = {
    .struct_size = sizeof sink, .kind = TG_SINK, .name = TG_STR("torn"), .summary = TG_STR("crashes within a transaction"),
    .sample = TG_STR("[sink.torn]\nplugin = \"torn\"\npath = \"out\"\n"),
    .schema = TG_STR("{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\",\"description\":\"The file.\"}}}"),
    .create = create, .base = &base, .ops = &sink_ops
};
static const tg_component *const components[] = { &sink };
static const tg_module module = {
    .struct_size = sizeof module, .abi_minor = TG_ABI_MINOR, .id = TG_STR("torn"), .version = TG_STR("1.0.0"),
    .n_components = 1, .components = components
};
const tg_module *tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features) {
    (void)host_minor, (void)host_features;
    return &module;
}
