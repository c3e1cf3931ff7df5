/* Numbers of the call: arguments marked ~ in the signature, which the function only hands to ops. Calls
 * that differ in them alone are traced until it is seen which sizes, positions and scalars of the graph
 * follow which of them. From then on a call with new numbers binds the graph to what follows from them,
 * without running the function.
 *
 * What a binding must be is checked as by a trace: inference takes all nodes that a number reaches, at the
 * new sizes. What a trace decides by strides is decided anew only there, so that sizes do not move where it
 * did (Trace.strided), nor to 0 or 1, which make any layout dense. */
#ifndef SN_FRONTEND_COMPILED_MOVING_H
#define SN_FRONTEND_COMPILED_MOVING_H

#include "frontend/compiled/entries.h"
#include "frontend/compiled/signature.h"

enum { NUMBER_CONSTANT = -1 };

/* What a number of the graph is in terms of the numbers of the call. */
typedef struct MovingNumber {
    int32_t argument; /* which of those it follows, or NUMBER_CONSTANT */
    uint8_t dtype;    /* sn_dtype that its bits are of */
    int64_t
        factor; /* of an integer argument: factor × it + constant; of a real one: factor × it, ± 1 */
    int64_t constant; /* see factor */
    uint64_t bits;    /* NUMBER_CONSTANT: the value */
} MovingNumber;

/* A position among the words of the graph. */
typedef struct MovingWord {
    uint32_t word; /* where, in Graph.words */
    bool moves;    /* it was seen to differ; else a call in which it would is traced */
    bool size;     /* of a node: one of 0 or 1 is special to many an op, and traced */
} MovingWord;

/* A result's type and layout. */
typedef struct MovingResult {
    MovingNumber offset;               /* OutputSpec.offset */
    MovingNumber dims[SN_MAX_RANK];    /* sizes */
    MovingNumber strides[SN_MAX_RANK]; /* strides */
} MovingResult;

/* What a stem leads to: a guard key but for the numbers. Immutable but for `calls`. */
typedef struct Moving {
    Refs refs;     /* the list's, and of calls */
    Entry *model;  /* of a call with this stem; a reference: its instance is of a symbolic graph */
    uint32_t stem; /* words of model->key that are the stem */
    const Signature *signature; /* of the handle */
    MovingNumber
        *arguments; /* what each number of the call must be; one that follows itself is free */
    MovingNumber *symbols; /* by symbol of the graph */
    MovingNumber *scalars; /* by scalar of the graph */
    MovingResult *results; /* by result */
    int64_t *words;        /* of the recorded graph, in the model's call */
    VEC(MovingWord) sized; /* words that follow from symbols or scalars */
    VEC(NodeId) nodes; /* that have words which move: what inference says of them is asked anew */
    _Atomic int64_t calls; /* so far and two more, as Entry.calls counts */
} Moving;

typedef struct MovingCache {
    Lock *lock;         /* of the list */
    VEC(Moving *) list; /* oldest first; a reference to each */
    char *refusal;      /* why nothing came of the latest attempt at learning; NULL: no reason */
    _Atomic int64_t attempts; /* at learning */
    _Atomic int64_t served;   /* calls that went by what was learned */
} MovingCache;

/* ---- finding (frontend/compiled/moving.c) ---------------------------------------------------- */

/* An entry for the key, by what its stem leads to: with one reference, the caller's. NULL: there is none,
 * or the numbers do not fit, or memory is out; the call is traced. */
Entry *moving_find(MovingCache *cache, const Key *key);
/* Is another attempt at learning worth its while? Not where many came to nothing. Counts it. */
bool moving_wanted(MovingCache *cache);
/* Takes `moving` over; it replaces what its stem led to before. */
void moving_add(MovingCache *cache, Moving *moving);
/* Takes over a text that says why nothing was learned; NULL: there is no reason. */
void moving_refuse(MovingCache *cache, char *refusal);
void moving_release(Moving *moving);
void moving_close(MovingCache *cache);
/* A line for each stem: which numbers may be any; and one that says what was seen not to follow. */
void moving_print(MovingCache *cache, StrBuf *out);
/* The value for these numbers of a call; false where it is not exact, or too large. */
bool moving_value(const MovingNumber *number, const Signature *signature, const uint64_t *numbers,
                  uint64_t *bits);

/* ---- learning (frontend/compiled/moving_learn.c) --------------------------------------------- */

/* What the entries with the key's stem, the latest of which is the key's own, have in common; NULL where
 * that cannot be said yet. Where there are enough of them, `refusal` receives what does not follow. */
Moving *moving_learn(EntryCache *entries, const Signature *signature, const Key *key,
                     StrBuf *refusal);

#endif
