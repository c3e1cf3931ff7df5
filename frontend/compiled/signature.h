/* Signatures of compiled functions, "tt?l:t", and the layouts of described structs; see
 * sinter/compile.h. */
#ifndef SN_FRONTEND_COMPILED_SIGNATURE_H
#define SN_FRONTEND_COMPILED_SIGNATURE_H

#include "base/arena.h"

#include <sinter/compile.h>
#include <sinter/error.h>

#include <ffi.h>

enum { SIGNATURE_MOST_PARAMS = 64, SIGNATURE_MOST_TENSORS = 65536 };

typedef struct ParamSpec {
    char kind;           /* t b i l f d r S p */
    bool optional;       /* t? */
    bool array;          /* t*: two C parameters */
    bool moves;          /* l~: a number that the function only hands to ops */
    const sn_tree *tree; /* S: its layout, in the signature's arena */
} ParamSpec;

typedef struct Signature {
    ParamSpec params[SIGNATURE_MOST_PARAMS];    /* in order */
    int32_t n_params;                           /* how many */
    int32_t n_moving;                           /* of them numbers with a ~ … */
    int32_t moving[SIGNATURE_MOST_PARAMS];      /* … and which those are */
    int32_t n_generators;                       /* of them r */
    int32_t n_arrays;                           /* of them t* */
    size_t n_tensors;                           /* in a call at most, but for those in arrays */
    int32_t n_outputs;                          /* tensors returned */
    bool returns_tensor;                        /* exactly one: it is the return value */
    bool opaque;                                /* has a p: always run */
    int32_t n_arguments;                        /* C parameters, outputs included */
    ffi_type *types[3 * SIGNATURE_MOST_PARAMS]; /* of them: a t* is two, an output may be one */
    ffi_type *result;                           /* of the function */
    size_t key_words; /* that arguments but tensors take in a key at most */
    Arena layouts;    /* copies of the described structs' layouts */
} Signature;

/* Parses into a signature that is zero. `trees`: the layouts of the S, in order; copied. After a
 * failure too signature_free frees what there is. */
sn_status signature_parse(const char *text, const sn_tree *const *trees, int32_t n_trees,
                          Signature *signature, sn_error *error);
void signature_free(Signature *signature);
/* Is number `i` of those with a ~ a float or double? */
static inline bool signature_moving_is_real(const Signature *s, int32_t i) {
    char kind = s->params[s->moving[i]].kind;
    return kind == 'f' || kind == 'd';
}
/* Elements of a struct's field that are in use. */
int32_t tree_field_count(const sn_field *field, const char *data);

#endif
