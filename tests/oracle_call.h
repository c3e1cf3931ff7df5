/* One op being interpreted by the oracle, and what its rules share: attributes by name, indices,
 * numbers of the ten dtypes. Rules by subject: oracle_pointwise.c, oracle_reduce.c, oracle_move.c. */
#ifndef SN_TESTS_ORACLE_CALL_H
#define SN_TESTS_ORACLE_CALL_H

#include "tests/oracle.h"

typedef struct OracleCall {
    OpCode op;              /* what is computed */
    const OracleTensor *in; /* operands; rank -1 where absent */
    int32_t n_in;           /* how many */
    uint32_t weak;          /* operands that are weak scalars */
    const AttrList *attrs;  /* normalised */
    OracleTensor *out;      /* dtype and dims set, allocated */
} OracleCall;

typedef OracleStatus OracleRule(const OracleCall *call);

/* A float format: digits of the significand, exponent of the least normal number, largest number. */
typedef struct OracleFormat {
    int digits;          /* of the significand, the hidden one included */
    int least;           /* exponent of the least normal number */
    long double largest; /* finite number */
} OracleFormat;
OracleFormat oracle_format(sn_dtype dtype);
/* To nearest even, once. */
long double oracle_round_to(sn_dtype dtype, long double value);
/* Distance of neighbouring numbers at a value. */
long double oracle_ulp(sn_dtype dtype, long double value);
/* The type that a float is computed in: f32 for halves. */
sn_dtype oracle_compute(sn_dtype dtype);
/* Relative distance of neighbours, and least number, of that type. */
long double oracle_epsilon(sn_dtype dtype);
long double oracle_tiny(sn_dtype dtype);
/* A wrapped integer. */
int64_t oracle_wrap(sn_dtype dtype, uint64_t value);

/* A number of any dtype. */
typedef struct OracleNumber {
    long double real; /* of a float */
    int64_t integer;  /* of bool and integers */
} OracleNumber;
OracleNumber oracle_number(const OracleTensor *tensor, int64_t i);
/* With the rules of cast. */
OracleNumber oracle_convert(sn_dtype to, sn_dtype from, OracleNumber x);
/* A number as a float, or a double as a number. */
long double oracle_real(sn_dtype dtype, OracleNumber x);
OracleNumber oracle_of_double(sn_dtype dtype, double value);
/* out[i] := x, exactly. */
void oracle_put(OracleTensor *out, int64_t i, OracleNumber x);
/* out[i] := value, within bound; an integer result is not meant. */
void oracle_put_real(OracleTensor *out, int64_t i, long double value, long double bound);

int64_t oracle_int(const OracleCall *call, AttrName name);
bool oracle_bool(const OracleCall *call, AttrName name);
double oracle_double(const OracleCall *call, AttrName name);
const int64_t *oracle_list(const OracleCall *call, AttrName name, int32_t *count);
bool oracle_absent(const OracleCall *call, int32_t input);

void oracle_unravel(int64_t flat, const int64_t *dims, int32_t rank, int64_t *index);
int64_t oracle_ravel(const int64_t *index, const int64_t *dims, int32_t rank);
/* Position in x, whose dims broadcast to those that index belongs to. */
int64_t oracle_broadcast(const OracleTensor *x, const int64_t *index, int32_t rank);

/* Elements of x by what lies outside the axes of a mask: `count` buckets of `size` positions each, in
 * row-major order. */
typedef struct OracleBuckets {
    int64_t *at;   /* count * size positions in x */
    int64_t count; /* buckets */
    int64_t size;  /* of each */
} OracleBuckets;
bool oracle_buckets(const OracleTensor *x, uint32_t mask, OracleBuckets *buckets);

/* How the oracle computes an op; NULL for one that it does not know. */
OracleRule *oracle_rule(OpCode op);
/* The rules, one a file; NULL for ops that are not its subject. */
OracleRule *oracle_pointwise_rule(OpCode op);
OracleRule *oracle_reduce_rule(OpCode op);
OracleRule *oracle_move_rule(OpCode op);
OracleRule *oracle_window_rule(OpCode op);

#endif
