/* tidegate_plugin.h - the interface between Tidegate and plugins in shared libraries. ABI 1.0. C99 and C++11.
 *
 * A plugin is a source (reads events), a filter (changes events) or a sink (writes events). A library exports one
 * function, tidegate_plugin_v1, which returns a constant table of its plugins. The engine checks the table, creates
 * instances of the plugins, and calls them. A library links against nothing of Tidegate.
 *
 * VERSIONS. This header is not released yet and may still change. The first release freezes it as 1.0:
 *   - No name, number, size, offset or meaning that a released header has changes afterwards, within major 1.
 *   - A later minor (1.1, 1.2, ...) adds constants and functions, and adds fields at the end of structs that begin with
 *     struct_size. A field never takes the place of padding or of a reserved field. Structs without struct_size
 *     (tg_str, tg_buf, tg_view, tg_attr, tg_run, tg_refused, tg_resume) never grow.
 *   - Each side sets struct_size to the size that the struct has in its own header, and checks the struct_size of the
 *     other side before it reads or writes a field that 1.0 does not have: TG_HAS. A field that is missing reads as
 *     zero, and zero always means "not supported": a NULL function is not called, an empty text was not given.
 *   - So every engine works with every older library, and with a newer one that does not need more than the engine has
 *     (tg_module.min_host_minor, need_features).
 *   - Each released minor has its layout in a file beside this one (frozen-1.0.txt). A test compares the header, the
 *     mirror in Rust and these files.
 *   - A change that cannot be made this way becomes tidegate_plugin_v2. The engine then loads both majors.
 *
 * TERMS. An event is a payload (bytes) with optional metadata: key, time, attributes. A batch is an ordered list of
 * events that move together. Payloads lie in shared buffers; a view is a range of bytes in one buffer. A filter that
 * passes on an event passes on its view, and no bytes are copied.
 *
 * THREADS. Calls on one instance never overlap, but may come from different threads. Exceptions: stop and batch_done.
 * Instances are independent of each other.
 *
 * OPERATIONS. A function marked [op] may take time. It can be written in two ways:
 *   - Non-blocking: it returns TG_PENDING at once, and calls host->wake(host, inst) from any thread when it can continue.
 *     The engine then repeats the call with the same arguments, until it returns another status. What the arguments
 *     point to stays valid until then. The engine may also repeat the call without a wake.
 *   - Blocking, with TG_CAP_BLOCKING: the engine makes the calls on a thread of the instance's own, and they may block
 *     for up to a minute (`call_time` in the pipeline file). An instance that blocks longer counts as hung and is
 *     replaced. When the engine calls stop, blocked calls return TG_E_CANCELLED soon.
 * Every other function returns within about a millisecond: the engine waits for it.
 *
 * ERRORS. A function that fails returns one of TG_E_*, which decides what the engine does next, and fills in its
 * tg_error. The message is addressed to the operator of the pipeline: a sentence in lower case, without a full stop and
 * without secrets.
 *
 * DELIVERY. The engine tracks each event by the indices that plugins give. An event that a filter neither emits nor
 * rejects is dropped on purpose, and counts as delivered. An event that a sink does not name in its report is delivered.
 * If an instance crashes, none of its current batch counts as delivered, and no event is lost.
 *
 * LIMITS. The engine refuses a batch with more than 2^24 events, 2^16 buffers, 256 attributes of one event, 64 MiB of
 * attributes or 256 MiB of acknowledgement handles; a position over 64 KiB; a partition, name or reason over 4 KiB.
 *
 * LIFE CYCLE of an instance: create, describe, open [op], its work [op]*, drain, (its work [op])*, close [op], destroy.
 * After a failed open, the engine calls open again later. destroy may come at any point, after stop. A filter may be
 * asked to save its state before close, and to restore a state after open: see tg_state.
 *
 * `tidegate new plugin --lang c` writes the smallest filter, source or sink in C. */
#ifndef TIDEGATE_PLUGIN_H
#define TIDEGATE_PLUGIN_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(_WIN32)
#define TG_CALL __cdecl
#define TG_EXPORT __declspec(dllexport)
#else
#define TG_CALL
#define TG_EXPORT __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
extern "C" {
#endif

#define TG_ABI_MINOR 0u
/* Nonzero if the other side has field f of *p. Check it before each field that 1.0 does not have. */
#define TG_HAS(T, p, f) ((p)->struct_size >= offsetof(T, f) + sizeof((p)->f))

/* The result of a call. A negative value that is not listed here means TG_E_FATAL. */
typedef int32_t tg_status;
enum {
    TG_OK = 0,
    TG_PENDING = 1,         /* not finished: the engine repeats the call after wake */
    TG_END = 2,             /* next: the input has ended */
    TG_E_CONFIG = -1,       /* an option is wrong: path names it */
    TG_E_RETRY = -2,        /* may succeed later: retried with backoff, or after retry_after_ms */
    TG_E_BUSY = -3,         /* not an error, but cannot be done now: retried after retry_after_ms */
    TG_E_AMBIGUOUS = -4,    /* it is unknown whether it was done: retried, so it may be done twice */
    TG_E_MISCONFIGURED = -5,/* the operator has to change something outside (a password, a permission): retried, reported */
    TG_E_REJECT = -6,       /* the events can never be written: each becomes a dead letter */
    TG_E_REPLAY = -7,       /* commit: the stored record changed: the pipeline restarts from what the record says */
    TG_E_FATAL = -8,        /* the component cannot continue: the pipeline fails */
    TG_E_PANIC = -9,        /* the instance is broken: destroyed and replaced */
    TG_E_CANCELLED = -10,   /* interrupted by stop */
    TG_E_UNSUPPORTED = -11  /* the function is not supported */
};

/* tg_component.kind */
enum { TG_SOURCE = 1, TG_FILTER = 2, TG_SINK = 3 };
/* tg_component.caps */
enum {
    TG_CAP_BLOCKING = 1,    /* calls may block */
    TG_CAP_PROCESS = 2      /* runs in a child process unless the pipeline file says otherwise */
};
/* tg_module.flags. A library with one of these runs in a child process unless the pipeline file says otherwise. */
enum {
    TG_MOD_PANIC_ABORT = 1,     /* a panic ends the process */
    TG_MOD_FOREIGN_RUNTIME = 2  /* contains a runtime that installs signal handlers or starts threads */
};
/* tg_capabilities.replay: what a source can read again after a crash. */
enum {
    TG_REPLAY_NEVER = 0,        /* nothing */
    TG_REPLAY_REDELIVERY = 1,   /* its input delivers again what was not committed */
    TG_REPLAY_POSITION = 2      /* it resumes at a position, with the same events in the same order */
};
/* tg_attr.type */
enum { TG_TEXT = 1, TG_INTEGER = 2, TG_FLOAT = 3, TG_BOOLEAN = 4 };
/* The worst fate of the events of a source's batch, from best to worst. */
enum { TG_DELIVERED = 0, TG_REJECTED = 1, TG_FAILED = 2 };
/* tg_host.log */
enum { TG_ERROR = 1, TG_WARN = 2, TG_INFO = 3, TG_DEBUG = 4, TG_TRACE = 5 };

#define TG_NONE 0xFFFFFFFFu      /* tg_view.buf: no view (an event without a key) */
#define TG_NO_TIME INT64_MIN     /* tg_batch.time: no time */
#define TG_PORT_DROP 0xFFFFu     /* route: drop this event on purpose */
#define TG_PORT_REJECTED 0xFFFEu /* route: this event was rejected with out->reject */

/* Text in UTF-8, without a terminating NUL. Valid for the call unless stated otherwise. */
typedef struct tg_str { const char *p; uint64_t n; } tg_str;
/* Bytes. p may be NULL if n is 0. */
typedef struct tg_buf { const uint8_t *p; uint64_t n; } tg_buf;
/* len bytes from offset off of buffer number buf of a batch. */
typedef struct tg_view { uint32_t buf, off, len; } tg_view;
/* A named value of an event. A text lies in the batch's buffers; a boolean is 0 or 1 in i. */
typedef struct tg_attr {
    tg_view name;
    uint32_t type;
    union { tg_view text; int64_t i; double f; } value;
} tg_attr;

/* The reason of a failure. Belongs to the caller, and is all zero before the call. Texts end with NUL. */
typedef struct tg_error {
    uint32_t struct_size;
    tg_status code;              /* the same as the returned status */
    uint32_t retry_after_ms;     /* earliest retry; 0: the engine's own backoff */
    uint32_t range_from, range_to; /* TG_E_CONFIG: the bytes of the option's text to underline; equal: all of it */
    char path[124];              /* TG_E_CONFIG: JSON pointer to the option, such as "/retry/base" */
    char message[624];           /* what went wrong */
    char help[256];              /* what the operator can do, or empty */
} tg_error;

/* A run of consecutive events with the same origin: one batch of one source. */
typedef struct tg_run {
    uint32_t end;                /* index after its last event */
    uint32_t attr, n_attr;       /* tg_batch.attr[attr .. attr + n_attr) apply to each of its events */
    uint32_t _reserved;
    uint64_t first, sequence;    /* number of the source batch's first event in its partition; number of that batch */
    tg_str source, partition;    /* name of the source component; the independent part of its input */
    tg_buf position;             /* where the source resumes after that batch; p NULL: no position */
} tg_run;

/* Events. A column that is NULL has no value for any event.
 *
 * A batch that the plugin receives is valid until the operation ends, and is read only. To keep the bytes of its buffers
 * for longer, the plugin calls retain with owner before that. The bytes then stay valid and unchanged until the plugin
 * has called release with owner, once for each retain, from any thread. Neither blocks. If retain is NULL, the plugin
 * copies what it keeps.
 *
 * A batch that the plugin returns from next or passes to emit has buffers of the plugin's own. They stay valid and
 * unchanged until the engine calls release with owner: exactly once, from any thread. release must not block, and may be
 * NULL if the buffers are constant. All other memory of the batch is read before emit returns, so it may be on the
 * stack; after next, it is read before the next call on the instance. run, n_run and retain are left zero. */
typedef struct tg_batch {
    uint32_t struct_size;
    uint32_t n;                  /* number of events */
    uint32_t n_buf, n_run, n_attr, _reserved;
    const tg_buf *buf;
    const tg_view *data;         /* [n] payloads */
    const tg_view *key;          /* [n] keys; buf is TG_NONE for an event without a key */
    const int64_t *time;         /* [n] nanoseconds since 1970 (UTC), or TG_NO_TIME */
    const uint32_t *attr_end;    /* [n] event i's own attributes are attr[i ? attr_end[i - 1] : 0 .. attr_end[i]) */
    const tg_attr *attr;         /* [n_attr] */
    const tg_run *run;           /* [n_run] cover the events without gaps */
    /* [n] In a batch that the plugin receives: the index that each event, or the event it was made from, has in its
     * source's batch. In a batch that a filter emits: the index, in the batch that the filter received, of the event
     * that each event was made from. Key, time and attributes are inherited from that event if this batch has no such
     * column. NULL: i for event i. */
    const uint32_t *from;
    /* The fields below are set by a source. If the input of a partition was replaced by another one before all of it was
     * read, the source sends a batch without events before the first event of the new input: with the position of its
     * start, and the common attribute tidegate.replaced_input = true. Numbers of events then go on beyond those that
     * any sink has committed. */
    uint64_t seq;                /* the source's own number for the batch, passed to batch_done */
    tg_str partition;            /* empty if the input has one partition */
    tg_buf position;             /* where the source resumes after this batch, JSON by convention; p NULL: no position */
    const struct tg_refused *refused; /* [n_refused] input that could not become an event */
    uint32_t n_refused, n_common; /* attr[n_attr - n_common .. n_attr) apply to every event */
    void (TG_CALL *release)(void *owner);
    void *owner;
    void (TG_CALL *retain)(void *owner); /* only in a batch that the plugin receives */
    /* If tg_open.sink_acknowledges is set: one acknowledgement handle for each event, in the same order, followed by
     * those of input that could not become an event. Read together with the batch. Otherwise NULL. */
    const struct tg_ack_handles *ack_handles;
} tg_batch;

/* Input that a source could not turn into an event. It becomes a dead letter. */
typedef struct tg_refused {
    tg_view data;                /* the part that is kept */
    uint64_t length;             /* the full length */
    tg_str reason;
} tg_refused;

/* Handles with which a sink acknowledges entries of a source's input, such as entries of a stream that a consumer group
 * shares. The source writes them, the sink reads them, and the engine carries them without looking inside. */
typedef struct tg_ack_handles {
    uint32_t struct_size;
    uint32_t n_scope;
    const tg_str *scope;         /* [n_scope] values that apply to all handles, as agreed by source and sink: stream, group */
    uint32_t first;              /* index, in the source's batch, of the entry of the first handle; from a source: 0 */
    uint32_t n;                  /* number of handles */
    const uint8_t *bytes;
    const uint32_t *end;         /* [n] handle i is bytes[i ? end[i - 1] : 0 .. end[i]) */
} tg_ack_handles;

/* The output of a filter for the batch that it received. It takes effect when the operation returns TG_OK, and is
 * discarded if the operation fails. In an emitted batch, the buffers of the received batch come first: a view with
 * buf < in->n_buf refers to those, and buf - in->n_buf is an index into the batch's own buffers. Each function returns
 * TG_OK, or TG_E_FATAL if its arguments are invalid; the operation then fails, whatever it returns. */
typedef struct tg_out {
    uint32_t struct_size;
    uint32_t attempt;            /* counts the operations with this batch, from 1 */
    void *ctx;
    /* Emits a batch to an output: 0 is the main output, the others are numbered in the order of describe. The engine
     * takes over the batch, whatever the result. */
    tg_status (TG_CALL *emit)(const struct tg_out *out, uint32_t port, const tg_batch *batch);
    /* Rejects an event of the received batch: it becomes a dead letter. Only why->message is read. */
    tg_status (TG_CALL *reject)(const struct tg_out *out, uint32_t event, const tg_error *why);
    /* Ends the operation early, for a filter that delays events on purpose: the output so far is sent downstream now,
     * and the next operation receives the events from this one on. TG_E_UNSUPPORTED: process the whole batch. */
    tg_status (TG_CALL *defer_from)(const struct tg_out *out, uint32_t event);
    /* 1 if no operation follows this one: if it fails, each event of the batch becomes a dead letter. A filter that knows
     * which events failed rejects these alone, so that the others go on. */
    uint32_t is_last_attempt;
    uint32_t _reserved;
} tg_out;

/* The result of a sink for the batch that it received. Events that it does not name are delivered: they survive a crash
 * of this process from now on. It takes effect when the operation returns TG_OK. */
typedef struct tg_report {
    uint32_t struct_size, _reserved;
    void *ctx;
    /* The event can never be written: it becomes a dead letter. */
    tg_status (TG_CALL *reject)(const struct tg_report *report, uint32_t event, const tg_error *why);
    /* The event was not written, and is retried as why->code and why->retry_after_ms say. Events are named in ascending
     * order; the first error applies to all. */
    tg_status (TG_CALL *retry)(const struct tg_report *report, uint32_t event, const tg_error *why);
    /* The event was tried alone and was not written, for a reason of its own. It is retried like the events of retry, and
     * named in the same ascending order, but its attempts are counted for it alone: once they are used up, it becomes a
     * dead letter with this reason, and the other events go on. Not for ack_and_write. */
    tg_status (TG_CALL *failed)(const struct tg_report *report, uint32_t event, const tg_error *why);
    /* Only for ack_and_write. The event was not written, because another process has acknowledged its entry before: it
     * counts as delivered. Events are named in ascending order. */
    tg_status (TG_CALL *already_done)(const struct tg_report *report, uint32_t event);
} tg_report;

/* The progress of one lane: the events of one partition of one source on their way to one sink. A transactional sink
 * stores it together with the events, both or neither. Events of a partition are numbered from 0 in reading order. */
typedef struct tg_record {
    uint32_t struct_size, _reserved;
    tg_str source, partition;    /* the lane */
    tg_buf position;             /* where the source resumes; p NULL: at its start */
    uint64_t base;               /* number of the first event after position */
    uint64_t done;               /* number of the first event that is not written */
} tg_record;
typedef struct tg_records {
    uint32_t struct_size, _reserved;
    void *ctx;
    tg_status (TG_CALL *found)(const struct tg_records *records, const tg_record *record);
} tg_records;
typedef struct tg_claim {
    uint32_t struct_size;
    uint32_t reset;              /* 1: delete all records first */
    tg_str pipeline, sink;       /* the owner of the lanes */
} tg_claim;

/* What an instance can do, with the options that it has. The numbers are fields that describe sets. The texts are passed
 * to the functions, which copy them. */
typedef struct tg_capabilities {
    uint32_t struct_size;
    uint32_t replay;             /* a source: TG_REPLAY_* */
    uint32_t wants_commit;       /* a source: 1 to have commit called */
    uint32_t wants_batch_done;   /* a source: 1 to have batch_done called */
    uint32_t waits;              /* a filter: 1 if process may return TG_PENDING, or open and close do something */
    uint32_t parallel;           /* a filter or sink: 1 if several instances with these options may share the work */
    uint32_t transactional;      /* a sink: 1 if claim and commit work with these options */
    uint32_t _reserved;
    void *ctx;
    void (TG_CALL *output)(const struct tg_capabilities *to, tg_str name);  /* a filter: output 1, 2, ... in order */
    void (TG_CALL *explain)(const struct tg_capabilities *to, tg_str text); /* half a line for `check --explain` */
    void (TG_CALL *not_transactional)(const struct tg_capabilities *to, tg_str why); /* why transactional is 0 */
    /* A source with TG_REPLAY_REDELIVERY: where its acknowledgements are stored. A sink with ack_and_write: where it
     * writes. A name without secrets, such as "redis 10.0.0.1:6379/0". If source and sink name the same domain, the
     * sink acknowledges the source's entries under delivery = "effectively_once". */
    void (TG_CALL *transaction_domain)(const struct tg_capabilities *to, tg_str name);
    /* Why there is no transaction domain: half a line for `check`. */
    void (TG_CALL *no_transaction_domain)(const struct tg_capabilities *to, tg_str why);
    /* A resource that only one component of a process can use. pointer: JSON pointer to the option that names it, empty
     * for the component as a whole. resource: "tcp HOST:PORT", "file PATH", "glob PATH", "template PATH" (with values of the
     * event in braces), or a name such as "standard input". "shared " before it: components of this kind share it, and only
     * another use excludes it. "read " before it: the component reads it. of_same_name: 1 if only a component of the same
     * name is in the way. help: what to do then; may be empty. */
    void (TG_CALL *exclusive)(const struct tg_capabilities *to, tg_str pointer, tg_str resource,
                              uint32_t of_same_name, tg_str help);
    /* A warning about an option that is allowed and probably a mistake. from, end: the bytes of the option's text that are
     * meant; both 0: all of it. help: what to do about it; may be empty. */
    void (TG_CALL *warn)(const struct tg_capabilities *to, tg_str pointer, tg_str message, tg_str help,
                         uint32_t from, uint32_t end);
} tg_capabilities;

/* The functions of the engine. They may be called from any thread, never block and never call back. inst is the number
 * that create received; the engine ignores the number of an instance that was destroyed. */
typedef struct tg_host {
    uint32_t struct_size, abi_minor;
    tg_str version;              /* of the engine; valid for the life of the process */
    void *ctx;
    void (TG_CALL *log)(const struct tg_host *host, uint64_t inst, uint32_t level, tg_str message);
    uint32_t (TG_CALL *log_level)(const struct tg_host *host);   /* the most verbose level that is logged */
    void (TG_CALL *wake)(const struct tg_host *host, uint64_t inst);
    /* Wakes the instance after this many nanoseconds. */
    void (TG_CALL *wake_after)(const struct tg_host *host, uint64_t inst, uint64_t nanoseconds);
    /* The progress of a source whose input ends, in a unit of its own. */
    void (TG_CALL *progress)(const struct tg_host *host, uint64_t inst, uint64_t done, uint64_t total);
    /* An optional interface of the engine, named "tidegate.NAME/1". NULL if the engine does not have it. */
    const void *(TG_CALL *get_extension)(const struct tg_host *host, const char *id);
} tg_host;

/* The arguments of create. host is valid for the life of the process, the rest for the call. */
typedef struct tg_create {
    uint32_t struct_size, _reserved;
    const tg_host *host;
    uint64_t inst;
    uint64_t event_size;         /* a source: the longest payload that may become an event, in bytes */
    tg_str name;                 /* name of the component in its pipeline */
    tg_str options;              /* a JSON object that matches the component's schema */
} tg_create;

/* The arguments of open. */
typedef struct tg_open {
    uint32_t struct_size;
    uint32_t n_resume;           /* a source: number of partitions with a stored position */
    const struct tg_resume *resume; /* [n_resume] */
    /* A source: 1 if the sink acknowledges its entries. Each batch then carries its ack_handles, and the source
     * acknowledges nothing itself, not even a batch that is done. */
    uint32_t sink_acknowledges;
    uint32_t _reserved;
} tg_open;
typedef struct tg_resume { tg_str partition; tg_buf position; } tg_resume;

/* The functions of every kind of plugin. Only destroy is required; NULL means that there is nothing to do. */
typedef struct tg_base {
    uint32_t struct_size, _reserved;
    /* Called before open, returns at once, and does no input or output. */
    void (TG_CALL *describe)(void *self, tg_capabilities *to);
    /* [op] Connects, opens files. */
    tg_status (TG_CALL *open)(void *self, const tg_open *open, tg_error *error);
    /* The pipeline drains. A source returns what it has read, then TG_END. Filters and sinks skip delays. */
    void (TG_CALL *drain)(void *self);
    /* [op] Flushes buffers, disconnects. The last operation. */
    tg_status (TG_CALL *close)(void *self, tg_error *error);
    /* From any thread, at any time: calls that block return TG_E_CANCELLED. */
    void (TG_CALL *stop)(void *self);
    /* The last call. When it returns, no thread of the instance is left. */
    void (TG_CALL *destroy)(void *self);
    const void *(TG_CALL *get_extension)(void *self, const char *id);
} tg_base;

/* The functions of a source. next is required. */
typedef struct tg_source {
    uint32_t struct_size, _reserved;
    /* [op] TG_OK: the next batch is in *batch, which was all zero except for struct_size. Return what has been read as
     * soon as reading more would wait. TG_END: the input has ended. A source that blocks returns TG_PENDING after
     * max_wait_ns; the engine calls again. */
    tg_status (TG_CALL *next)(void *self, uint64_t max_wait_ns, tg_batch *batch, tg_error *error);
    /* [op] Everything of this partition up to position is delivered: the input may forget it. It may be in progress
     * at the same time as next. */
    tg_status (TG_CALL *commit)(void *self, tg_str partition, tg_buf position, tg_error *error);
    /* Every event of batch seq has been delivered, rejected or failed; outcome is the worst of these. Called once for
     * each batch, from any thread, also during another call. Must not block. reason is empty unless outcome is
     * TG_REJECTED. */
    void (TG_CALL *batch_done)(void *self, uint64_t seq, uint32_t outcome, tg_str reason);
} tg_source;

/* The functions of a filter. One of route and process is required; if both are there, route is called. */
typedef struct tg_filter {
    uint32_t struct_size, _reserved;
    /* Writes the output of each event to port[0 .. in->n), or TG_PORT_DROP, or TG_PORT_REJECTED. For filters that keep,
     * drop or route events without changing them. */
    tg_status (TG_CALL *route)(void *self, const tg_batch *in, uint16_t *port, const tg_out *out, tg_error *error);
    /* [op] Keeps, drops, changes or splits the events, in order. To keep bytes of the batch for longer, it copies or
     * retains them. */
    tg_status (TG_CALL *process)(void *self, const tg_batch *in, const tg_out *out, tg_error *error);
} tg_filter;

/* Receives the state of a filter. */
typedef struct tg_state_writer {
    uint32_t struct_size, _reserved;
    void *ctx;
    /* Appends bytes, which are copied. TG_OK, or TG_E_FATAL: the state exceeds 64 MiB and is discarded. */
    tg_status (TG_CALL *put)(const struct tg_state_writer *to, tg_buf part);
} tg_state_writer;

/* The extension TG_STATE of a filter's instance (get_extension): passes on the state of the filter when the pipeline is
 * reloaded. The new filter has the same component name and plugin name, and may be of another version of the library,
 * with other options. The table is constant, and valid for the life of the process. A filter whose instances share the
 * work (tg_capabilities.parallel) has no state, and is not always asked. A filter that replaces a crashed one starts
 * without a state. */
#define TG_STATE "tidegate.state/1"
typedef struct tg_state {
    uint32_t struct_size, _reserved;
    /* [op] Called at most once, after the last batch and before close. Puts the state, in any number of parts, within
     * the call that returns TG_OK. A filter that puts nothing has no state. */
    tg_status (TG_CALL *save)(void *self, const tg_state_writer *to, tg_error *error);
    /* [op] Called at most once, after open and before the first batch, with the bytes that save has put. They are valid
     * until the operation ends. They may be of another version, or damaged: after an error the instance is as before
     * the call and starts without a state; the engine logs the message. */
    tg_status (TG_CALL *restore)(void *self, tg_buf state, tg_error *error);
} tg_state;

/* The functions of a sink. write is required. */
typedef struct tg_sink {
    uint32_t struct_size, _reserved;
    /* [op] Writes a batch. After an error none of it counts as delivered, and the engine retries all of it. */
    tg_status (TG_CALL *write)(void *self, const tg_batch *in, const tg_report *report, tg_error *error);
    /* [op] A transactional sink: takes over every lane of this sink and returns its record. From now on a commit of
     * an earlier claimant fails (fencing). */
    tg_status (TG_CALL *claim)(void *self, const tg_claim *claim, const tg_records *records, tg_error *error);
    /* [op] A transactional sink: writes a batch of one lane and stores the lane's record, both or neither. If the report
     * names an event, nothing was written. A repeated call with the same record writes nothing twice. n may be 0. */
    tg_status (TG_CALL *commit)(void *self, const tg_batch *in, const tg_record *record, const tg_report *report,
                                tg_error *error);
    /* [op] An acknowledging sink, one that has named a transaction domain: acknowledges the entries of the handles and
     * writes the events made from them, both or neither, entry by entry. in holds all events made from these entries,
     * in their order. Event i was made from entry in->from[i] (i if from is NULL), whose handle has the index
     * in->from[i] - handles->first. An entry may have no event, one or several; n may be 0. If an entry cannot be
     * acknowledged because another process has done so, nothing of it is written, and its events are named with
     * report->already_done. If the report rejects an event, nothing was done for its entry: the same entries come again
     * without that event. report->retry is not allowed: the whole operation fails instead. If a call is repeated with
     * the same handles, by this instance or another, because a response was lost, it writes nothing twice. */
    tg_status (TG_CALL *ack_and_write)(void *self, const tg_batch *in, const tg_ack_handles *handles,
                                       const tg_report *report, tg_error *error);
} tg_sink;

/* One plugin. */
typedef struct tg_component {
    uint32_t struct_size, kind, caps, _reserved;
    tg_str name;                 /* the value of `plugin` in a pipeline file: lower case letters, digits and _ */
    tg_str summary;              /* its purpose, in one line without a full stop */
    tg_str sample;               /* a piece of a pipeline file that uses it */
    tg_str schema;               /* JSON Schema (2020-12) of its options, an object; descriptions are the manual */
    /* Creates an instance. Checks the options, and does no input or output: `tidegate check` calls it too. Returns
     * TG_E_CONFIG for errors that the schema cannot express. */
    tg_status (TG_CALL *create)(const struct tg_component *component, const tg_create *create, void **self,
                                tg_error *error);
    const tg_base *base;
    const void *ops;             /* tg_source, tg_filter or tg_sink */
} tg_component;

/* A library. */
typedef struct tg_module {
    uint32_t struct_size;
    uint32_t abi_minor;          /* the minor that it was built against: TG_ABI_MINOR */
    uint32_t min_host_minor;     /* the lowest minor that it works with */
    uint32_t flags;              /* TG_MOD_* */
    uint64_t need_features;      /* features that it does not work without; no bit is defined */
    tg_str id, version;          /* "org.example.geo", "1.2.0" */
    uint32_t n_components, _reserved;
    const tg_component *const *components;
    /* May be NULL. Called once, before everything else. */
    tg_status (TG_CALL *init)(const tg_host *host, tg_error *error);
    const void *(TG_CALL *get_extension)(const char *id);
} tg_module;

/* The entry point: a pure function. NULL means that the library does not work with this host. */
typedef const tg_module *(TG_CALL *tg_entry)(uint32_t host_minor, uint64_t host_features);
TG_EXPORT const tg_module *TG_CALL tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features);

/* Shortcuts for libraries in C. */
#define TG_STR(literal) { "" literal, sizeof(literal) - 1 }

/* The payload of event i. */
static inline const uint8_t *tg_data(const tg_batch *b, uint32_t i, uint32_t *len) {
    const tg_view *v = &b->data[i];
    *len = v->len;
    return b->buf[v->buf].p + v->off;
}

/* Handle number i. */
static inline const uint8_t *tg_ack_handle(const tg_ack_handles *h, uint32_t i, uint32_t *len) {
    uint32_t start = i ? h->end[i - 1] : 0;
    *len = h->end[i] - start;
    return h->bytes + start;
}

/* Fills in an error and returns its code: return tg_fail(error, TG_E_RETRY, "..."); */
static inline tg_status tg_fail(tg_error *error, tg_status code, const char *message) {
    size_t n = strlen(message);
    if (n >= sizeof(error->message)) n = sizeof(error->message) - 1;
    memcpy(error->message, message, n);
    error->message[n] = 0;
    return error->code = code;
}

#ifdef __cplusplus
}
#endif
#endif
