/* tidegate_plugin.h - how a shared library becomes plugins of Tidegate. ABI major 1, minor 1. C99 and C++11.
 *
 * A plugin is a source (where events come from), a filter (what happens to them) or a sink (where they go). A
 * library exports one function, tidegate_plugin_v1, which returns a constant table of its plugins. The engine
 * checks the table, asks each plugin for instances, and calls these. There is nothing else to link against.
 *
 * FROZEN. What a library built against this file sees never changes: no name, number, size, offset or meaning.
 * Structs grow at their end only, in a new minor, and each says its size. A new minor adds fields, constants and
 * functions that a library may use and need not. What cannot be added so becomes tidegate_plugin_v2; the engine
 * then loads both majors.
 *
 * MINORS. What is marked "since 1.1" was not there in 1.0. The engine and the library may be of different minors, so
 * whoever reads or writes such a field of the other's looks first whether it is there: TG_HAS. What is not there is
 * taken for zero: no such text was told, no such function can be called. A library that cannot do without says so
 * (tg_module.min_host_minor).
 *   1.1  A source and a sink of one server acknowledge and write in one step: tg_facts.domain, tg_open.by_receipt,
 *        tg_batch.receipts, tg_sink.settle, tg_report.elsewhere. A filter hands over what it remembers: tg_state.
 *
 * WORDS. An event is bytes (its payload) and a little beside it (key, time, attributes). A batch is a row of
 * events that move together. Payloads lie in shared buffers; a view says which bytes of which buffer. A filter
 * that passes an event on passes on the view, and nobody copies the bytes.
 *
 * THREADS. Calls on one instance never overlap, but may come from different threads. Exceptions: stop and settled.
 * Instances are independent of each other.
 *
 * OPERATIONS. Functions marked [op] may take time. There are two ways to write one:
 *   - Return TG_PENDING at once, and call host->wake(host, inst) from any thread when there is something to go on
 *     with. The engine then makes the same call again, with the same arguments, until the answer is another
 *     one. What the arguments point to stays valid until then. A call may come again without a wake.
 *   - Declare TG_CAP_BLOCKING: the engine makes the calls on a thread of the instance's own, and they may block, for
 *     up to a minute (`call_time` in the pipeline file): who takes longer counts as hung, and is made anew. When the
 *     engine calls stop, they return TG_E_CANCELLED soon.
 * A call that is neither returns within about a millisecond; the rest of the engine waits for it.
 *
 * ERRORS. A function that fails returns one of TG_E_*, which says what the engine does next, and fills in the
 * tg_error it was given. The message is a sentence for whoever runs the pipeline, in lower case, without a full
 * stop, and holds no secret.
 *
 * DELIVERY. The engine follows each event to its end by the indices that plugins give: what a filter neither
 * emits nor rejects is dropped on purpose, and counts as done; what a sink does not name in its report is
 * delivered. An instance that crashes has answered nothing, so nothing of what it held is lost.
 *
 * LIFE of an instance: create, describe, open [op], its work [op]*, drain, (its work [op])*, close [op], destroy.
 * After an error of open it is called again later. destroy may come at any point, after stop. A filter may be asked for
 * what it remembers before close, and be given that of another behind open: see tg_state.
 *
 * The smallest filter, source and sink in C are in the guide that `tidegate new plugin --lang c` writes. */
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

#define TG_ABI_MINOR 1u
/* Whether the other side knows field f of *p: read this before a field that was added after 1.0. */
#define TG_HAS(T, p, f) ((p)->struct_size >= offsetof(T, f) + sizeof((p)->f))

/* What became of a call. A negative value that is not named here means TG_E_FATAL. */
typedef int32_t tg_status;
enum {
    TG_OK = 0,
    TG_PENDING = 1,         /* not yet: the same call comes again after wake */
    TG_END = 2,             /* next: the input has ended */
    TG_E_CONFIG = -1,       /* the options are wrong: path names the one */
    TG_E_RETRY = -2,        /* it may go through later: tried again after growing pauses, or retry_after_ms */
    TG_E_BUSY = -3,         /* not an error but "not now": tried again after retry_after_ms */
    TG_E_AMBIGUOUS = -4,    /* nobody knows whether it was done: tried again, so it may be twice */
    TG_E_MISCONFIGURED = -5,/* somebody must change something outside (a password, a right): tried again, reported */
    TG_E_REJECT = -6,       /* these events will never go through: each becomes a dead letter */
    TG_E_REPLAY = -7,       /* commit: the record is not where it was left: the pipeline starts anew from what it says */
    TG_E_FATAL = -8,        /* the component cannot go on: the pipeline fails */
    TG_E_PANIC = -9,        /* the instance is broken: destroyed and made anew */
    TG_E_CANCELLED = -10,   /* stopped */
    TG_E_UNSUPPORTED = -11  /* there is no such thing here */
};

/* tg_component.kind */
enum { TG_SOURCE = 1, TG_FILTER = 2, TG_SINK = 3 };
/* tg_component.caps */
enum {
    TG_CAP_BLOCKING = 1,    /* calls may block */
    TG_CAP_PROCESS = 2      /* runs in a process of its own unless the pipeline file says otherwise */
};
/* tg_module.flags: libraries with one of these run in a process of their own unless the pipeline file says otherwise. */
enum { TG_MOD_PANIC_ABORT = 1, TG_MOD_FOREIGN_RUNTIME = 2 };
/* tg_facts.replay: what a source can do after a crash. */
enum {
    TG_REPLAY_NEVER = 0,        /* what was read is gone */
    TG_REPLAY_REDELIVERY = 1,   /* its input delivers again what was not committed */
    TG_REPLAY_POSITION = 2      /* it resumes at a position, with the same events in the same order */
};
/* The type of an attribute. */
enum { TG_TEXT = 1, TG_INTEGER = 2, TG_FLOAT = 3, TG_BOOLEAN = 4 };
/* How all events of a source's batch ended, from best to worst. */
enum { TG_DELIVERED = 0, TG_REJECTED = 1, TG_FAILED = 2 };
/* tg_host.log */
enum { TG_ERROR = 1, TG_WARN = 2, TG_INFO = 3, TG_DEBUG = 4, TG_TRACE = 5 };

#define TG_NONE 0xFFFFFFFFu      /* tg_view.buf: there is none (an event without a key) */
#define TG_NO_TIME INT64_MIN     /* tg_batch.time: there is none */
#define TG_PORT_DROP 0xFFFFu     /* route: drop this event on purpose */
#define TG_PORT_REJECTED 0xFFFEu /* route: this event was rejected through out->reject */

/* Text in UTF-8, not ended by NUL. Valid for the call unless something else is said. */
typedef struct tg_str { const char *p; uint64_t n; } tg_str;
/* Bytes. p may be NULL if n is 0. */
typedef struct tg_buf { const uint8_t *p; uint64_t n; } tg_buf;
/* len bytes at off of buffer number buf of a batch. */
typedef struct tg_view { uint32_t buf, off, len; } tg_view;
/* A named value beside a payload. A text lies in the batch's buffers; a boolean is 0 or 1 in i. */
typedef struct tg_attr {
    tg_view name;
    uint32_t type;
    union { tg_view text; int64_t i; double f; } value;
} tg_attr;

/* Why something failed. Belongs to the caller; all zero before the call. Texts end with NUL. */
typedef struct tg_error {
    uint32_t struct_size;
    tg_status code;              /* as returned */
    uint32_t retry_after_ms;     /* not before; 0: the engine's own pauses */
    uint32_t range_from, range_to; /* TG_E_CONFIG: bytes of that option's text to underline; equal: all of it */
    char path[124];              /* TG_E_CONFIG: JSON pointer to the option, such as "/retry/base" */
    char message[624];           /* what went wrong */
    char help[256];              /* what to do about it, if that is known */
} tg_error;

/* A stretch of events that came from one place: one batch of one source. */
typedef struct tg_run {
    uint32_t end;                /* one past the index of its last event */
    uint32_t attr, n_attr;       /* tg_batch.attr[attr .. attr + n_attr): hold for each of its events */
    uint32_t _reserved;
    uint64_t first, sequence;    /* number of that batch's first event in its partition, and its own in its source */
    tg_str source, partition;    /* the source's component, and the independent part of its input */
    tg_buf position;             /* where the source resumes after that batch; p NULL: nowhere */
} tg_run;

/* Events. A column that is NULL has nothing for any event.
 *
 * One that the plugin is given: everything in it is valid until the operation ends, and nothing in it is changed.
 * To hold on to what bufs point to for longer, the plugin calls retain with owner before that: the bytes then stay
 * valid and unchanged until it has called release with owner, once for each retain, from any thread. Neither
 * blocks. If retain is NULL, the plugin copies what it keeps.
 *
 * One that the plugin hands over, from next or to emit: bufs are its own, and stay valid and unchanged until
 * release is called: exactly once, from any thread, with owner. It must not block. Everything but what bufs
 * point to is read before emit returns, so it may lie on the stack; after next, it is read before anything else of
 * the instance is called. release may be NULL if the buffers are constant. run, n_run and retain are left zero. */
typedef struct tg_batch {
    uint32_t struct_size;
    uint32_t n;                  /* events */
    uint32_t n_buf, n_run, n_attr, _reserved;
    const tg_buf *buf;
    const tg_view *data;         /* [n] payloads */
    const tg_view *key;          /* [n] buf is TG_NONE where there is no key */
    const int64_t *time;         /* [n] nanoseconds since 1970 (UTC), or TG_NO_TIME */
    const uint32_t *attr_end;    /* [n] event i's own attributes are attr[i ? attr_end[i - 1] : 0 .. attr_end[i]) */
    const tg_attr *attr;         /* [n_attr] */
    const tg_run *run;           /* [n_run] cover the events without gaps */
    /* [n] In a batch that the plugin is given: the index that each event, or the one it was made from, had in its
     * source's batch. In a batch that a filter emits: the index in the batch at hand of the event that it was made
     * from; key, time and attributes are taken from there where this batch has no such column. NULL: i for event i. */
    const uint32_t *from;
    /* From a source. */
    uint64_t seq;                /* its own number for the batch, given back to settled */
    tg_str partition;            /* empty if its input has one part */
    tg_buf position;             /* where it resumes after this batch, by convention JSON; p NULL: nowhere */
    const struct tg_refused *refused; /* [n_refused] input that never became an event */
    uint32_t n_refused, n_common; /* attr[n_attr - n_common .. n_attr) hold for every event */
    void (TG_CALL *release)(void *owner);
    void *owner;
    void (TG_CALL *retain)(void *owner); /* only in a batch that the plugin is given */
    /* Since 1.1. From a source that was told by_receipt: what the sink acknowledges this batch's entries with. There is
     * one for each event, in their order; behind these may stand those of input that never became an event. Read
     * with the batch, so it may lie where the batch's columns do. Else NULL. */
    const struct tg_receipts *receipts;
} tg_batch;

/* Input that a source could not make an event of. It goes to the dead letters. */
typedef struct tg_refused {
    tg_view data;                /* what is kept of it */
    uint64_t length;             /* its length, which may be more */
    tg_str reason;
} tg_refused;

/* Since 1.1. What acknowledges entries of a source's input (of a stream that a group shares), written down by the
 * source for the sink that does it. The engine carries it from one to the other and does not look inside. */
typedef struct tg_receipts {
    uint32_t struct_size;
    uint32_t n_scope;
    const tg_str *scope;         /* [n_scope] what holds for all, as source and sink have agreed: stream, group */
    uint32_t first;              /* the index, in the source's batch, of the entry of the first one; from a source: 0 */
    uint32_t n;                  /* how many there are */
    const uint8_t *bytes;
    const uint32_t *end;         /* [n] receipt i is bytes[i ? end[i - 1] : 0 .. end[i]) */
} tg_receipts;

/* Where a filter puts what it makes of the batch at hand. What is put out counts when the operation ends with TG_OK,
 * and is forgotten when it fails. In a batch that is emitted, the buffers of the batch at hand come first: views
 * with buf < in->n_buf are into those, and buf - in->n_buf is an index into its own. Each function returns TG_OK,
 * or TG_E_FATAL if what it was given is not right; the operation then fails whatever it returns. */
typedef struct tg_out {
    uint32_t struct_size, _reserved;
    void *ctx;
    /* Sends a batch on through an output: 0 is the main one, the others are numbered as describe named them. The
     * batch is taken, whatever the answer. */
    tg_status (TG_CALL *emit)(const struct tg_out *out, uint32_t port, const tg_batch *batch);
    /* An event of the batch at hand cannot be processed: it becomes a dead letter. Only why->message is read. */
    tg_status (TG_CALL *reject)(const struct tg_out *out, uint32_t event, const tg_error *why);
    /* For a filter that holds events up on purpose: what was put out goes on now, and the next operation is with the
     * events from this one on. TG_E_UNSUPPORTED: deal with the whole batch. */
    tg_status (TG_CALL *leave_from)(const struct tg_out *out, uint32_t event);
} tg_out;

/* What became of the events of the batch that a sink was given: those it does not name are delivered, that is, they
 * survive a crash of this process from now on. Counts when the operation ends with TG_OK. */
typedef struct tg_report {
    uint32_t struct_size, _reserved;
    void *ctx;
    /* This event will never go through: it becomes a dead letter. */
    tg_status (TG_CALL *reject)(const struct tg_report *report, uint32_t event, const tg_error *why);
    /* This event was not delivered, and is to be tried again as why->code and why->retry_after_ms say. In ascending
     * order; the first error counts for all. */
    tg_status (TG_CALL *again)(const struct tg_report *report, uint32_t event, const tg_error *why);
    /* Since 1.1, only for settle. This event was not written, because another process was done with its entry before:
     * it counts as delivered. In ascending order. */
    tg_status (TG_CALL *elsewhere)(const struct tg_report *report, uint32_t event);
} tg_report;

/* How far one lane is: the path of one partition of one source to one sink. A transactional sink stores it together
 * with the events, both or neither. Events of a partition are numbered from 0 in the order of reading. */
typedef struct tg_record {
    uint32_t struct_size, _reserved;
    tg_str source, partition;    /* which lane */
    tg_buf position;             /* where the source resumes; p NULL: at its start */
    uint64_t base;               /* the number of the first event behind position */
    uint64_t done;               /* the number of the first event that is not done */
} tg_record;
typedef struct tg_records {
    uint32_t struct_size, _reserved;
    void *ctx;
    tg_status (TG_CALL *found)(const struct tg_records *records, const tg_record *record);
} tg_records;
typedef struct tg_claim {
    uint32_t struct_size;
    uint32_t afresh;             /* 1: forget every record first */
    tg_str pipeline, sink;       /* whose lanes */
} tg_claim;

/* What an instance says of itself, once it knows its options and before it is opened. The numbers are fields to set;
 * the texts are handed over by the functions, which copy them. */
typedef struct tg_facts {
    uint32_t struct_size;
    uint32_t replay;             /* a source: TG_REPLAY_* */
    uint32_t commits;            /* a source: 1 if it wants commit to be called */
    uint32_t settles;            /* a source: 1 if it wants settled to be called */
    uint32_t waits;              /* a filter: 1 if process may answer TG_PENDING, or open and close do something */
    uint32_t parallel;           /* a filter or sink: 1 if several instances of these options may share the work */
    uint32_t transactional;      /* a sink: 1 if claim and commit work as it is configured */
    uint32_t _reserved;
    void *ctx;
    void (TG_CALL *output)(const struct tg_facts *facts, tg_str name);   /* a filter: outputs 1 and up, in order */
    void (TG_CALL *explain)(const struct tg_facts *facts, tg_str text);  /* half a line for `check --explain` */
    void (TG_CALL *why_not)(const struct tg_facts *facts, tg_str text);  /* why the sink is not transactional */
    /* Since 1.1. Where the acknowledgements of a source are kept that TG_REPLAY_REDELIVERY is true of; or where a sink
     * writes that can acknowledge there, in one step with that (settle): a name without a secret, such as
     * "redis 10.0.0.1:6379/0". If both say the same, then under delivery = "effectively_once" the sink does it. */
    void (TG_CALL *domain)(const struct tg_facts *facts, tg_str text);
    /* Since 1.1. Why there is no such place: half a line for `check`. */
    void (TG_CALL *no_domain)(const struct tg_facts *facts, tg_str why);
} tg_facts;

/* What the engine does for plugins. From any thread; these functions never block and never call back. inst is the
 * number that create was given; a number whose instance is gone is ignored. */
typedef struct tg_host {
    uint32_t struct_size, abi_minor;
    tg_str version;              /* of the engine; valid for ever */
    void *ctx;
    void (TG_CALL *log)(const struct tg_host *host, uint64_t inst, uint32_t level, tg_str message);
    uint32_t (TG_CALL *log_level)(const struct tg_host *host);   /* the most talkative level that anybody reads */
    void (TG_CALL *wake)(const struct tg_host *host, uint64_t inst);
    /* wake, after this many nanoseconds. */
    void (TG_CALL *wake_after)(const struct tg_host *host, uint64_t inst, uint64_t nanoseconds);
    /* How far a source with an end is, in a unit of its own. */
    void (TG_CALL *progress)(const struct tg_host *host, uint64_t inst, uint64_t done, uint64_t total);
    /* NULL if there is no such thing. For what is optional: "tidegate.NAME/1". */
    const void *(TG_CALL *get_extension)(const struct tg_host *host, const char *id);
} tg_host;

/* What an instance is made of. host is valid for ever, the rest for the call. */
typedef struct tg_create {
    uint32_t struct_size, _reserved;
    const tg_host *host;
    uint64_t inst;
    uint64_t event_size;         /* a source: the longest payload that may become an event, in bytes */
    tg_str name;                 /* of the component in its pipeline */
    tg_str options;              /* a JSON object that fits the component's schema */
} tg_create;

/* What an instance is told when it is opened. */
typedef struct tg_open {
    uint32_t struct_size;
    uint32_t n_resume;           /* a source: where to resume, for each partition that has a position */
    const struct tg_place *resume;
    /* Since 1.1. A source: 1 if the sink acknowledges for it. Then each batch goes with its receipts, and the source
     * acknowledges nothing itself, not even what has settled. */
    uint32_t by_receipt;
    uint32_t _reserved;
} tg_open;
typedef struct tg_place { tg_str partition; tg_buf position; } tg_place;

/* What all instances can do. Only destroy must be there; NULL means that there is nothing to do. */
typedef struct tg_base {
    uint32_t struct_size, _reserved;
    /* Before open, at once: does no input or output. */
    void (TG_CALL *describe)(void *self, tg_facts *facts);
    /* [op] Makes connections, opens files. */
    tg_status (TG_CALL *open)(void *self, const tg_open *open, tg_error *error);
    /* The pipeline drains. A source returns what it has read, then TG_END; for the others it means: no more pauses. */
    void (TG_CALL *drain)(void *self);
    /* [op] Makes durable what is buffered, ends connections. The last operation. */
    tg_status (TG_CALL *close)(void *self, tg_error *error);
    /* From any thread, at any time: calls that block return TG_E_CANCELLED. */
    void (TG_CALL *stop)(void *self);
    /* The last call: when it returns, no thread of the instance is left. */
    void (TG_CALL *destroy)(void *self);
    const void *(TG_CALL *get_extension)(void *self, const char *id);
} tg_base;

/* What a source can do. */
typedef struct tg_source {
    uint32_t struct_size, _reserved;
    /* [op] TG_OK: the next batch is in *batch, which was all zero but for struct_size. Hand over what there is as
     * soon as nothing more is ready. TG_END: the input has ended. A source that blocks returns TG_PENDING when it
     * has waited for max_wait_ns; the engine calls again. */
    tg_status (TG_CALL *next)(void *self, uint64_t max_wait_ns, tg_batch *batch, tg_error *error);
    /* [op] May be NULL. Everything of this partition up to position is safe: the input may forget it. Can be under
     * way while next is. */
    tg_status (TG_CALL *commit)(void *self, tg_str partition, tg_buf position, tg_error *error);
    /* May be NULL. Once a batch, from any thread, also while another call runs: all events of batch seq have ended.
     * Must not block. reason is empty unless outcome is TG_REJECTED. */
    void (TG_CALL *settled)(void *self, uint64_t seq, uint32_t outcome, tg_str reason);
} tg_source;

/* What a filter can do. One of route and process must be there; route is asked if both are. */
typedef struct tg_filter {
    uint32_t struct_size, _reserved;
    /* Writes the output of each event to port[0 .. in->n), or TG_PORT_DROP, or TG_PORT_REJECTED. For filters that
     * keep, drop or direct events and change none. */
    tg_status (TG_CALL *route)(void *self, const tg_batch *in, uint16_t *port, const tg_out *out, tg_error *error);
    /* [op] Keeps, drops, changes or splits the events, in order. What it keeps of the batch for later, it
     * copies or retains. */
    tg_status (TG_CALL *process)(void *self, const tg_batch *in, const tg_out *out, tg_error *error);
} tg_filter;

/* Where a filter puts what it remembers. */
typedef struct tg_keep {
    uint32_t struct_size, _reserved;
    void *ctx;
    /* Adds bytes behind those that were put before; they are copied. TG_OK, or TG_E_FATAL: it would be more than 64 MiB,
     * and nothing is handed over. */
    tg_status (TG_CALL *put)(const struct tg_keep *keep, tg_buf part);
} tg_keep;

/* What get_extension(self, TG_STATE) of a filter's instance may answer, since 1.1: how the filter hands over what it
 * remembers to the one that takes its place when the pipeline is reloaded, which has the same names of component and
 * plugin, and may be of another version of the library, with other options. Constant, valid for ever. A filter whose
 * instances share the work (facts.parallel) remembers nothing, and is not always asked. An instance that is made
 * anew after a crash begins afresh. */
#define TG_STATE "tidegate.state/1"
typedef struct tg_state {
    uint32_t struct_size, _reserved;
    /* [op] At most once, behind the last batch and before close: puts what is to be handed over, in as many parts as it
     * likes, within the call that answers TG_OK. Nothing put: nothing is handed over. */
    tg_status (TG_CALL *save)(void *self, const tg_keep *keep, tg_error *error);
    /* [op] At most once, behind open and before the first batch: goes on with what was saved. The bytes are valid until
     * the operation ends. They may be of another version, or no state at all: after an error the instance is as it was
     * before the call, and begins afresh; the engine logs the message. */
    tg_status (TG_CALL *restore)(void *self, tg_buf state, tg_error *error);
} tg_state;

/* What a sink can do. Only write must be there. */
typedef struct tg_sink {
    uint32_t struct_size, _reserved;
    /* [op] Delivers a batch. After an error none of it counts as delivered, and the same events come again. */
    tg_status (TG_CALL *write)(void *self, const tg_batch *in, const tg_report *report, tg_error *error);
    /* [op] Takes over every lane of this sink and tells how far each is. From now on a commit by whoever claimed
     * before fails. */
    tg_status (TG_CALL *claim)(void *self, const tg_claim *claim, const tg_records *records, tg_error *error);
    /* [op] Delivers a batch of one lane and stores the lane's record, both or neither. A report that names any event
     * means that nothing was written. Called again with the same record, it writes nothing twice. n may be 0. */
    tg_status (TG_CALL *commit)(void *self, const tg_batch *in, const tg_record *record, const tg_report *report,
                                tg_error *error);
    /* [op] Since 1.1, of a sink that has named a domain. Acknowledges the entries that the receipts stand for and
     * writes what was made of them, both or neither, entry by entry. in is all that became of these entries, in their
     * order: event i was made from entry in->from[i] (i if from is NULL), whose receipt is number in->from[i] -
     * receipts->first. Of an entry there may be no event, one or several; n may be 0. Where an entry cannot be
     * acknowledged any more, because another process has done that, nothing of it is written, and its events are
     * named by report->elsewhere. A report that rejects an event means that nothing was done for its entry: the same
     * entries come again without that event. report->again is not for settle, which fails instead. Called again with
     * the same receipts, by this instance or another, because an answer was lost, it writes nothing twice. */
    tg_status (TG_CALL *settle)(void *self, const tg_batch *in, const tg_receipts *receipts, const tg_report *report,
                                tg_error *error);
} tg_sink;

/* One plugin. */
typedef struct tg_component {
    uint32_t struct_size, kind, caps, _reserved;
    tg_str name;                 /* what `plugin = "..."` says: lower case letters, digits and _ */
    tg_str summary;              /* what it is for, in a line without a full stop */
    tg_str sample;               /* a piece of a pipeline file that uses it */
    tg_str schema;               /* JSON Schema (2020-12) of its options, an object; descriptions are the manual */
    /* Makes an instance. Checks the options, does no input or output: `tidegate check` calls it too. TG_E_CONFIG for
     * what the schema cannot say. */
    tg_status (TG_CALL *create)(const struct tg_component *component, const tg_create *create, void **self,
                                tg_error *error);
    const tg_base *base;
    const void *ops;             /* tg_source, tg_filter or tg_sink */
} tg_component;

/* A library. */
typedef struct tg_module {
    uint32_t struct_size;
    uint32_t abi_minor;          /* what it was built against: TG_ABI_MINOR */
    uint32_t min_host_minor;     /* what it cannot do without */
    uint32_t flags;
    uint64_t need_features;      /* must-understand bits; none are defined */
    tg_str id, version;          /* "org.example.geo", "1.2.0" */
    uint32_t n_components, _reserved;
    const tg_component *const *components;
    /* May be NULL. Once, before anything else. */
    tg_status (TG_CALL *init)(const tg_host *host, tg_error *error);
    const void *(TG_CALL *get_extension)(const char *id);
} tg_module;

/* The entry: a pure function. NULL means that the library cannot work with this host. */
typedef const tg_module *(TG_CALL *tg_entry)(uint32_t host_minor, uint64_t host_features);
TG_EXPORT const tg_module *TG_CALL tidegate_plugin_v1(uint32_t host_minor, uint64_t host_features);

/* Small things that every library in C would write again. */
#define TG_STR(literal) { "" literal, sizeof(literal) - 1 }

/* The payload of event i. */
static inline const uint8_t *tg_data(const tg_batch *b, uint32_t i, uint32_t *len) {
    const tg_view *v = &b->data[i];
    *len = v->len;
    return b->buf[v->buf].p + v->off;
}

/* Receipt number i, counted from the first that is there. */
static inline const uint8_t *tg_receipt(const tg_receipts *r, uint32_t i, uint32_t *len) {
    uint32_t start = i ? r->end[i - 1] : 0;
    *len = r->end[i] - start;
    return r->bytes + start;
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
