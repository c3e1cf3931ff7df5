/* One recorded call of a PyTorch operator: a line of index.jsonl and the tensors that it names in
 * the .safetensors file beside it. A tensor whose memory was not contiguous gets its strides
 * back. */
#ifndef SN_TESTS_OPINFO_CASE_H
#define SN_TESTS_OPINFO_CASE_H

#include <cjson/cJSON.h>

#include <sinter/sinter.h>

enum { OPINFO_MOST_TENSORS = 32 };

typedef struct OpinfoCase {
    cJSON *json;         /* the whole line, owned */
    const char *op;      /* "clamp" */
    char variant[40];    /* "binary", mostly "" */
    const char *dtype;   /* "F32": of the first input as recorded */
    const char *file;    /* name of the .safetensors file */
    const cJSON *input;  /* first operand: a tensor, a list of tensors, a number */
    const cJSON *args;   /* the other positional arguments */
    const cJSON *kwargs; /* and those by name */
    int32_t n_inputs;    /* tensors among input, args, kwargs */
    const cJSON *nodes[OPINFO_MOST_TENSORS]; /* where each stands */
    sn_tensor *inputs[OPINFO_MOST_TENSORS];  /* each; of the scope */
    int32_t n_results;                       /* tensors of the recorded result */
    sn_tensor *results[OPINFO_MOST_TENSORS]; /* each, contiguous; of the scope */
} OpinfoCase;

/* Parses a line of the index; false when it is none. Free with opinfo_case_free in any case. */
bool opinfo_case_parse(OpinfoCase *c, const char *line);
/* Loads the tensors from the open file into the scope. NULL among them: see the thread's error. */
void opinfo_case_load(OpinfoCase *c, const sn_safetensors *file);
void opinfo_case_free(OpinfoCase *c);

/* A number as JSON could not hold it stands as {"f": "inf"}; so does, once parsed, every number
 * with a decimal point or exponent, so that 2.0 stays apart from 2. False when `node` is no such
 * float. */
bool opinfo_is_float(const cJSON *node, double *value);
/* The dtype of a safetensors name such as "BF16"; false when Sinter has none such. */
bool opinfo_dtype(const char *name, sn_dtype *dtype);

#endif
