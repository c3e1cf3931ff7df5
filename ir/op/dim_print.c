/* Expressions of sizes, and guards of them, as text; see dim.h. */
#include "ir/op/dim_value.h"

/* How tightly a text holds together: a sum least, what is one word most. */
static int binding_of(const DimTable *table, Dim d) {
    if (dim_is_number(d)) return d.word < 0 ? 0 : 2;
    switch ((DimKind)dim_expression(table, d)->kind) {
    case DIM_SUM:
        return 0;
    case DIM_SYMBOL:
    case DIM_LARGER:
        return 2;
    default:
        return 1;
    }
}

/* In parentheses where it would fall apart: products and quotients are read from the left. */
static void print_operand(StrBuf *out, const DimTable *table, int64_t word, int least) {
    Dim d = {word};
    bool loose = binding_of(table, d) < least;
    if (loose) strbuf_add(out, "(");
    dim_print(out, table, d);
    if (loose) strbuf_add(out, ")");
}

static void print_sum(StrBuf *out, const DimTable *table, const int64_t *words, uint32_t count) {
    for (uint32_t i = 1; i < count; i += 2) {
        int64_t coef = words[i];
        if (i > 1) strbuf_add(out, coef < 0 ? " - " : " + ");
        if (i == 1 && coef < 0) strbuf_add(out, "-");
        print_operand(out, table, words[i + 1], 1);
        uint64_t size = coef < 0 ? 0 - (uint64_t)coef : (uint64_t)coef;
        if (size != 1) strbuf_addf(out, "*%llu", (unsigned long long)size);
    }
    if (words[0] > 0) strbuf_addf(out, " + %lld", (long long)words[0]);
    if (words[0] < 0) strbuf_addf(out, " - %llu", 0ull - (unsigned long long)words[0]);
}

/* The first operand may be a quotient as it is, the others may not; a product's may only be words. */
static void print_joined(StrBuf *out, const DimTable *table, const int64_t *words, uint32_t count,
                         const char *sign) {
    for (uint32_t i = 0; i < count; i++) {
        if (i) strbuf_add(out, sign);
        print_operand(out, table, words[i], i ? 2 : 1);
    }
}

void dim_print(StrBuf *out, const DimTable *table, Dim d) {
    if (dim_is_number(d)) {
        strbuf_addf(out, "%lld", (long long)d.word);
        return;
    }
    const DimExpression *e = dim_expression(table, d);
    const int64_t *words = dim_words(table, e);
    const DimSymbol *symbol = NULL;
    switch ((DimKind)e->kind) {
    case DIM_SYMBOL:
        symbol = &table->symbols.data[words[0]];
        if (symbol->name)
            strbuf_add(out, symbol->name);
        else
            strbuf_addf(out, "s%lld", (long long)words[0]);
        return;
    case DIM_SUM:
        print_sum(out, table, words, e->count);
        return;
    case DIM_PRODUCT:
        print_joined(out, table, words, e->count, "*");
        return;
    case DIM_QUOTIENT:
        print_joined(out, table, words, e->count, "/");
        return;
    case DIM_REMAINDER:
        print_joined(out, table, words, e->count, "%");
        return;
    case DIM_LARGER:
        strbuf_add(out, "max(");
        dim_print(out, table, (Dim){words[0]});
        strbuf_add(out, ", ");
        dim_print(out, table, (Dim){words[1]});
        strbuf_add(out, ")");
        return;
    }
}

void dim_print_guard(StrBuf *out, const DimTable *table, const DimGuard *guard) {
    static const char *const texts[] = {[DIM_IS_ZERO] = " == 0",
                                        [DIM_NOT_ZERO] = " != 0",
                                        [DIM_NOT_NEGATIVE] = " >= 0",
                                        [DIM_NEGATIVE] = " < 0"};
    dim_print(out, table, guard->dim);
    strbuf_add(out, texts[guard->relation]);
}
