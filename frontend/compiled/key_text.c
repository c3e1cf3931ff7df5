/* Guard keys as text, read as key.c packs them; see key.h. What of a call differs from those that were
 * recorded before, by two keys that are walked side by side; and the numbers in one. */
#include "frontend/compiled/key.h"
#include "frontend/compiled/labels.h"

#include <string.h>

enum { TOLD_MOST = 3, ENTRIES_COMPARED = 16 };

/* A comparison on its way. */
typedef struct Difference {
    const Signature *signature; /* of the function */
    const sn_value *values;     /* of the call */
    StrBuf *out;                /* what differs */
    int32_t count;              /* of differences so far; beyond TOLD_MOST they are only counted */
} Difference;

/* Is this one told? Then what is before it has a semicolon. */
static bool begin(Difference *d) {
    if (d->count++ >= TOLD_MOST) return false;
    if (d->count > 1) strbuf_add(d->out, "; ");
    return true;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* A tensor as a key has it; see put_tensor in key.c. */
typedef struct KeyTensor {
    uint32_t kind;                /* TensorKind */
    TensorType type;              /* of one that is no scalar */
    int64_t strides[SN_MAX_RANK]; /* likewise */
    uint64_t bits;                /* of a scalar */
    uint32_t memory, handle;      /* Sharing */
} KeyTensor;

static const uint64_t *read_tensor(const uint64_t *at, KeyTensor *t) {
    uint64_t head = *at++;
    memset(t, 0, sizeof *t);
    t->kind = head & 15;
    t->type.dtype = (uint8_t)(head >> 4 & 15);
    t->type.rank = (uint8_t)(head >> 8);
    t->memory = (uint32_t)(head >> 16 & 0xffffff);
    t->handle = (uint32_t)(head >> 40);
    if (t->kind == TENSOR_WEAK) t->bits = *at++;
    if (t->kind == TENSOR_NONE) return at;
    for (int32_t i = 0; i < t->type.rank; i++) {
        t->type.dims[i] = dim_of((int64_t)*at++);
        t->strides[i] = (int64_t)*at++;
    }
    return at;
}

static void print_kind(StrBuf *out, const KeyTensor *t) {
    if (t->kind == TENSOR_NONE)
        strbuf_add(out, "absent");
    else if (t->kind == TENSOR_WEAK)
        strbuf_addf(out, "a scalar (%s)", sn_dtype_name((sn_dtype)t->type.dtype));
    else
        type_print(out, &t->type);
}

static void print_strides(StrBuf *out, const KeyTensor *t) {
    strbuf_add_char(out, '[');
    for (int32_t i = 0; i < t->type.rank; i++)
        strbuf_addf(out, "%s%lld", i ? "," : "", (long long)t->strides[i]);
    strbuf_add_char(out, ']');
}

static bool same_type(const KeyTensor *x, const KeyTensor *y) {
    return x->kind == y->kind && x->type.dtype == y->type.dtype && x->type.rank == y->type.rank &&
           dims_same(x->type.dims, y->type.dims, x->type.rank);
}

/* "x and y are one tensor, and were not" */
static void compare_sharing(Difference *d, int32_t number, uint32_t now, uint32_t before,
                            const char *what) {
    uint32_t other = now ? now : before;
    if (now == before || !begin(d)) return;
    label_tensor(d->signature, d->values, number, d->out);
    strbuf_add(d->out, " and ");
    label_tensor(d->signature, d->values, (int32_t)other - 1, d->out);
    strbuf_addf(d->out, now ? " %s, and did not before" : " no longer %s", what);
}

static void compare_tensor(Difference *d, int32_t number, const KeyTensor *now,
                           const KeyTensor *before) {
    StrBuf *out = d->out;
    if (!same_type(now, before)) {
        if (!begin(d)) return;
        label_tensor(d->signature, d->values, number, out);
        strbuf_add(out, " is ");
        print_kind(out, now);
        strbuf_add(out, ", was ");
        print_kind(out, before);
    } else if (memcmp(now->strides, before->strides, sizeof now->strides) != 0) {
        if (!begin(d)) return;
        label_tensor(d->signature, d->values, number, out);
        strbuf_add(out, " has strides ");
        print_strides(out, now);
        strbuf_add(out, ", had ");
        print_strides(out, before);
    } else if (now->bits != before->bits && begin(d)) {
        label_tensor(d->signature, d->values, number, out);
        strbuf_add(out, " is a scalar of another value");
    }
    if (now->handle != before->handle)
        compare_sharing(d, number, now->handle, before->handle, "are one tensor");
    else
        compare_sharing(d, number, now->memory, before->memory, "begin at one element");
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* Words that the scalars of a described struct take; see put_tree in key.c. */
static size_t tree_words(const sn_tree *tree, const char *data) {
    size_t words = 0;
    for (int32_t i = 0; i < tree->n_fields; i++) {
        const sn_field *field = &tree->fields[i];
        int32_t count = tree_field_count(field, data);
        const char *from = data + field->offset;
        words += field->counted;
        if (field->kind == SN_FIELD_SCALAR) words += key_words_of(field->bytes * (size_t)count);
        for (int32_t j = 0; field->kind == SN_FIELD_STRUCT && j < count; j++)
            words += tree_words(field->nested, from + (size_t)j * field->bytes);
    }
    return words;
}

static size_t value_words(const ParamSpec *param, const sn_value *value) {
    if (param->tree) return tree_words(param->tree, value->as.pointer);
    if (param->kind == 't') return param->array;
    return param->kind != 'r' && param->kind != 'p';
}

static void print_number(StrBuf *out, char kind, uint64_t word) {
    double real;
    memcpy(&real, &word, sizeof real);
    if (kind == 'f' || kind == 'd')
        strbuf_addf(out, "%.9g", real);
    else
        strbuf_addf(out, "%lld", (long long)word);
}

static const uint64_t *compare_value(Difference *d, int32_t number, const uint64_t *now,
                                     const uint64_t *before) {
    const ParamSpec *param = &d->signature->params[number];
    size_t words = value_words(param, &d->values[number]);
    if (memcmp(now, before, words * sizeof *now) == 0 || !begin(d)) return now + words;
    if (param->tree) {
        strbuf_addf(d->out, "numbers in {%d} are others", (int)number);
    } else if (param->array) {
        strbuf_addf(d->out, "{%d} has %d tensors, had %d", (int)number, (int)*now, (int)*before);
    } else {
        strbuf_addf(d->out, "{%d} is ", (int)number);
        print_number(d->out, param->kind, *now);
        strbuf_add(d->out, ", was ");
        print_number(d->out, param->kind, *before);
    }
    return now + words;
}

/* What stands behind the tensors, where both keys have as many words of it. */
static void compare_rest(Difference *d, const sn_compiled *c, const Key *key, const uint64_t *now,
                         const uint64_t *before) {
    const uint64_t *end = key->words + key->count;
    ptrdiff_t apart = before - now;
    for (int32_t i = 0; i < d->signature->n_params; i++)
        if (!d->signature->params[i].moves) now = compare_value(d, i, now, now + apart);
    for (int32_t i = 1; i < d->signature->n_generators; i++)
        for (int32_t j = 0; j < i; j++, now++)
            if (*now != now[apart] && begin(d))
                strbuf_add(d->out, "other generators are one and the same");
    for (int32_t i = 0; i < c->options.n_watch; i++) {
        size_t words = key_words_of(c->options.watch[i].bytes);
        if (memcmp(now, now + apart, words * sizeof *now) != 0 && begin(d))
            strbuf_addf(d->out, "declared memory %d holds other bytes", (int)i);
        now += words;
    }
    for (int32_t i = 0; i < d->signature->n_moving; i++)
        now = compare_value(d, d->signature->moving[i], now, now + apart);
    SN_ASSERT(now == end);
    (void)end;
}

static int32_t compare_keys(const sn_compiled *c, const CallArgs *args, const Key *key,
                            const Entry *entry, StrBuf *out) {
    Difference d = {.signature = &c->signature, .values = args->values, .out = out};
    const uint64_t *now = key->words, *before = entry->key;
    uint64_t n_before = *before++;
    if (*now++ != n_before) {
        strbuf_addf(out, "there are %d tensors, there were %d", (int)args->n_tensors,
                    (int)n_before);
        return INT32_MAX;
    }
    for (int32_t i = 0; i < args->n_tensors; i++) {
        KeyTensor own, other;
        now = read_tensor(now, &own);
        before = read_tensor(before, &other);
        compare_tensor(&d, i, &own, &other);
    }
    if (key->words + key->count - now == entry->key + entry->key_words - before)
        compare_rest(&d, c, key, now, before);
    else if (begin(&d))
        strbuf_add(out, "structs hold as much as they did not before");
    if (d.count > TOLD_MOST) strbuf_addf(out, "; %d more", (int)d.count - TOLD_MOST);
    return d.count;
}

char *key_difference(sn_compiled *c, const CallArgs *args, const Key *key) {
    Entry *latest[ENTRIES_COMPARED];
    StrBuf best = {0}, text = {0};
    int32_t least = INT32_MAX;
    uint32_t count = entries_latest(&c->entries, ENTRIES_COMPARED, latest);
    if (count > ENTRIES_COMPARED) count = ENTRIES_COMPARED;
    for (uint32_t i = count; i-- > 0;) {
        strbuf_clear(&text);
        int32_t differences = compare_keys(c, args, key, latest[i], &text);
        if (differences < least || !best.text) {
            StrBuf other = best;
            best = text;
            text = other;
            least = differences;
        }
        entry_release(latest[i]);
    }
    if (count && !least) strbuf_add(&best, "arguments overlap in another way");
    strbuf_free(&text);
    return count ? strbuf_take(&best) : NULL;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void print_argument(const Signature *s, int32_t number, uint64_t word, StrBuf *out) {
    strbuf_addf(out, "; {%d} is ", (int)number);
    print_number(out, s->params[number].kind, word);
}

/* Those before the first struct, whose length is known from a call alone, and the numbers of the call, which
 * come last. */
void key_print_numbers(const Signature *s, const Entry *entry, StrBuf *out) {
    const uint64_t *at = entry->key, *end = entry->key + entry->key_words;
    uint64_t tensors = *at++;
    for (uint64_t i = 0; i < tensors; i++) {
        KeyTensor tensor;
        at = read_tensor(at, &tensor);
        if (tensor.kind != TENSOR_WEAK) continue;
        strbuf_add(out, "; ");
        label_tensor(s, NULL, (int32_t)i, out);
        strbuf_add(out, " is the scalar ");
        print_number(out, tensor.type.dtype == SN_F64 ? 'd' : 'l', tensor.bits);
    }
    for (int32_t i = 0; i < s->n_params && !s->params[i].tree; i++) {
        const ParamSpec *param = &s->params[i];
        bool number = param->kind != 't' && param->kind != 'r' && param->kind != 'p';
        if (number && !param->moves) print_argument(s, i, *at, out);
        if (!param->moves) at += number || param->array;
    }
    for (int32_t i = 0; i < s->n_moving; i++)
        print_argument(s, s->moving[i], end[i - s->n_moving], out);
}
