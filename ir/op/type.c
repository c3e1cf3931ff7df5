/* Types of values: how many elements they have, and how they read. */
#include "ir/op/type.h"

#include <stdio.h>

/* ---- elements -------------------------------------------------------------------------------- */

int64_t type_count(const TensorType *type) {
    return sizes_count(type_sizes(type), type->rank);
}

int64_t sizes_count(const int64_t *sizes, int32_t rank) {
    SN_ASSERT(rank >= 0 && rank <= SN_MAX_RANK);
    int64_t count = 1;
    bool empty = false;
    for (int32_t i = 0; i < rank; i++) {
        if (sizes[i] < 0) return -1;
        if (sizes[i] == 0)
            empty = true;
        else if (count > SIZE_MOST / sizes[i])
            return -1;
        else
            count *= sizes[i];
    }
    return empty ? 0 : count;
}

/* The product of positive numbers that is not too large; 0: there are others, or it is. */
static int64_t plain_count(const Dim *dims, int32_t rank) {
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++)
        if (dims[i].word <= 0 || __builtin_mul_overflow(count, dims[i].word, &count)) return 0;
    return count <= SIZE_MOST ? count : 0;
}

/* Expressions apart: they are never negative, and too large ones fail in the table. */
Dim dims_count(DimTable *table, const Dim *dims, int32_t rank) {
    int64_t plain = plain_count(dims, rank);
    if (plain) return dim_of(plain);
    SN_ASSERT(rank >= 0 && rank <= SN_MAX_RANK);
    int64_t numbers[SN_MAX_RANK];
    int32_t n_numbers = 0;
    Dim count = dim_of(1);
    for (int32_t i = 0; i < rank; i++) {
        if (dim_is_number(dims[i]))
            numbers[n_numbers++] = dims[i].word;
        else
            count = dim_mul(table, count, dims[i]);
    }
    Dim known = dim_of(sizes_count(numbers, n_numbers));
    if (n_numbers == rank || known.word <= 0) return known;
    return dim_mul(table, count, known);
}

/* ---- types as text --------------------------------------------------------------------------- */

_Static_assert(sizeof((TypeText){0}.text) >= sizeof "bf16[]" + SN_MAX_RANK * 21,
               "the longest type must fit");

static int print_size(char *text, size_t size, const char *before, Dim d, bool is_number) {
    if (!is_number) return snprintf(text, size, "%s?", before);
    return snprintf(text, size, "%s%lld", before, (long long)d.word);
}

static TypeText print_type(const TensorType *type, bool all_numbers) {
    TypeText out;
    size_t size = sizeof out.text;
    if (type_absent(type)) {
        snprintf(out.text, size, "absent");
        return out;
    }
    size_t length = (size_t)snprintf(out.text, size, "%s[", sn_dtype_name((sn_dtype)type->dtype));
    for (int32_t i = 0; i < type->rank && i < SN_MAX_RANK; i++)
        length += (size_t)print_size(out.text + length, size - length, i ? "," : "", type->dims[i],
                                     all_numbers || dim_is_number(type->dims[i]));
    snprintf(out.text + length, size - length, "]");
    return out;
}

TypeText type_text(const TensorType *type) {
    return print_type(type, false);
}

TypeText type_text_as_written(const TensorType *type) {
    return print_type(type, true);
}

void type_print(StrBuf *out, const TensorType *type) {
    TypeText text = type_text(type);
    strbuf_add(out, text.text);
}
