/* Prints docs/ops.md, the list of all that there is to call: `page FILE`. Ops come from the op table, with
 * the dtypes that inference takes; what is no row of it stands in a table here. tools/check_docs sees to it
 * that the page is up to date, and that no function of the public headers is missing. */
#include "ir/infer/infer.h"
#include "ir/op/dtype.h"
#include "tools/generator.h"

#include <string.h>

/* ---- what is no op --------------------------------------------------------------------------- */

/* A function of the public headers. */
typedef struct Function {
    const char *call;  /* as it is written; NULL: a section begins */
    const char *about; /* what it does, or the section's title */
    const char *torch; /* what PyTorch calls it */
    const char *numpy; /* what NumPy calls it */
} Function;

static const Function functions[] = {
    {NULL, "Making tensors", NULL, NULL},
    {"sn_zeros(SN_I(2, 3), SN_F32)", "all 0", "torch.zeros", "numpy.zeros"},
    {"sn_ones(SN_I(2, 3), SN_F32)", "all 1", "torch.ones", "numpy.ones"},
    {"sn_from_copy(data, bytes, SN_I(2, 3), SN_F32)", "a copy of the program's memory",
     "torch.tensor", "numpy.array"},
    {"sn_from_borrow(data, bytes, SN_I(2, 3), SN_F32, release, context)",
     "the program's memory itself", "torch.from_blob", "numpy.frombuffer"},
    {"sn_c(0.5)", "a number as an operand; it leaves the dtype of the others as it is", "0.5",
     "0.5"},
    {"sn_ci(2)", "the same of an integer", "2", "2"},
    {"sn_from_dlpack(managed)", "memory of another library; `sn_from_dlpack_versioned` too",
     "torch.from_dlpack", "numpy.from_dlpack"},
    {"sn_to_dlpack(tensor)", "the way back; `sn_to_dlpack_versioned` too", "to_dlpack",
     "\\_\\_dlpack\\_\\_"},
    {NULL, "Reading them", NULL, NULL},
    {"sn_item(tensor)", "its one element as a double", "Tensor.item", "ndarray.item"},
    {"sn_item_int(tensor)",
     "as an int64_t: fractions are cut off, NaN is 0, what is too large the nearest int64_t",
     "int(x)", "int(x)"},
    {"sn_read(tensor, SN_F32, out, bytes)", "all elements, converted, in row-major order",
     "Tensor.tolist", "ndarray.tolist"},
    {"sn_map(tensor)", "a pointer to the elements, until `sn_unmap(tensor)`", "Tensor.data_ptr",
     "ndarray.ctypes"},
    {"sn_freeze(tensor)", "its memory is never written again: products pack it at once", "-", "-"},
    {"sn_format(tensor, text, n)", "prints like NumPy, snprintf-style", "str(x)", "str(x)"},
    {NULL, "Shape", NULL, NULL},
    {"sn_size(tensor, axis)", "a size", "Tensor.size", "x.shape[i]"},
    {"sn_rank(tensor)", "how many dims", "Tensor.dim", "ndarray.ndim"},
    {"sn_count(tensor)", "how many elements", "Tensor.numel", "ndarray.size"},
    {"sn_shape(tensor, dims, strides)", "all sizes and strides", "Tensor.shape", "ndarray.shape"},
    {"sn_stride(tensor, axis)", "a stride, in elements", "Tensor.stride", "ndarray.strides"},
    {"sn_dtype_of(tensor)", "its dtype", "Tensor.dtype", "ndarray.dtype"},
    {"sn_is_contiguous(tensor)", "is it dense, row-major", "Tensor.is_contiguous", "ndarray.flags"},
    {"sn_dtype_size(dtype)", "bytes of an element; `sn_dtype_name(dtype)` is \"f32\"",
     "dtype.itemsize", "dtype.itemsize"},
    {NULL, "Indexing, copies", NULL, NULL},
    {"sn_index(x, SN_IX(SN_ALL, SN_AT(3), SN_RANGE(0, 10), SN_NEW))",
     "a view; SN_STEP(start, stop, step), too", "x[:, 3, 0:10, None]", "x[:, 3, 0:10, None]"},
    {"sn_split(x, SN_I(2, 3), axis, parts)", "views of pieces", "torch.split", "numpy.split"},
    {"sn_contiguous(x)", "x itself where it is dense, else a copy", "Tensor.contiguous",
     "numpy.ascontiguousarray"},
    {"sn_copy_(x, source)", "writes over x, which may be a view; broadcasts and converts",
     "Tensor.copy\\_", "numpy.copyto"},
    {"sn_fill_(x, value)", "writes one value over x", "Tensor.fill\\_", "ndarray.fill"},
    {NULL, "Functions made of ops", NULL, NULL},
    {"sn_einsum(\"bij,bjk->bik\", SN_T(x, y))",
     "sums of products by labels, from the left; labels in order of occurrence", "torch.einsum",
     "numpy.einsum"},
    {"sn_tensordot(x, y, SN_I(dims_x), SN_I(dims_y))", "sums of products over pairs of axes",
     "torch.tensordot", "numpy.tensordot"},
    {"sn_batch_norm_training(x, running_mean?, running_var?, weight?, bias?, momentum, eps)",
     "batch_norm by the statistics of x, towards which it moves the running ones",
     "F.batch_norm with training", "-"},
    {NULL, "Sizes that depend on data", NULL, NULL},
    {"sn_nonzero(x)", "where x is not 0: i64[n, rank]", "torch.nonzero", "numpy.argwhere"},
    {"sn_masked_select(x, mask)", "the elements where mask is not 0", "torch.masked_select",
     "x[mask]"},
    {"sn_unique(x, &inverse, &counts)", "the distinct elements, ascending", "torch.unique",
     "numpy.unique"},
    {NULL, "Ownership, errors", NULL, NULL},
    {"sn_scope_begin()", "results belong to it from here on", "-", "-"},
    {"sn_scope_end(scope, result)", "frees them, but for one", "-", "-"},
    {"sn_retain(tensor)", "it outlives its scope, until `sn_release(tensor)`", "-", "-"},
    {"sn_mark()", "around a longjmp: `sn_unwind(mark)` where it lands", "-", "-"},
    {"sn_error_text()", "the thread's error in words; `sn_error_status()` its code", "-", "-"},
    {"sn_error_take(&error)", "hands it over and clears it", "-", "-"},
    {"sn_error_raise(status, file, line, format, …)", "an error of the program's own", "-", "-"},
    {"sn_status_name(status)", "\"shape\" of SN_ERROR_SHAPE", "-", "-"},
    {NULL, "Files", NULL, NULL},
    {"sn_npy_load(path)", "a .npy file; `sn_npy_save(path, tensor)` writes one", "-",
     "numpy.load, numpy.save"},
    {"sn_safetensors_open(path)",
     "`sn_safetensors_count`, `sn_safetensors_name`, `sn_safetensors_get` read it, "
     "`sn_safetensors_close` closes it",
     "safetensors.safe_open", "-"},
    {"sn_safetensors_save(path, names, tensors, n)", "writes one", "safetensors.save_file", "-"},
    {NULL, "Compiling", NULL, NULL},
    {"sn_compile(function, \"tt:t\", &options)", "wraps a function", "torch.compile", "-"},
    {"SN_FN(compiled, function)", "a pointer of its type; `sn_compiled_fn(compiled)` in plain C",
     "-", "-"},
    {"sn_compiled_release(compiled)", "gives it back", "-", "-"},
    {"sn_set_stance(compiled, stance)", "eager, asynchronous …; `sn_set_thread_stance(stance)` too",
     "torch.compiler.set_stance", "-"},
    {"sn_compile_wait()", "until nothing is compiled in the background", "-", "-"},
    {NULL, "Looking inside", NULL, NULL},
    {"sn_explain_text(compiled)",
     "what fused, what did not and why, guards; `sn_explain(compiled, &explanation)` as a struct",
     "torch.\\_dynamo.explain", "-"},
    {"sn_dump(compiled, \"fuse\", &error)", "a stage in text; `sn_text_free(text)` frees it", "-",
     "-"},
    {"sn_counters_get(&counters)", "what was counted: kernels, compilations, guard hits …", "-",
     "-"},
    {"sn_history_begin()", "records launches until `sn_history_end(records, capacity)`", "-", "-"},
    {"sn_timeline_begin()", "records a trace until `sn_timeline_end()`, for a trace viewer",
     "torch.profiler", "-"},
    {"sn_kernel_seconds(compiled, inputs, n_inputs, repeats)", "of the kernels alone", "-", "-"},
    {"sn_graph_parse(text, length, &error)",
     "a graph from its text; `sn_graph_print`, `sn_graph_dump`, `sn_graph_run`, `sn_graph_free`",
     "-", "-"},
    {NULL, "The process", NULL, NULL},
    {"sn_set_threads(threads)", "of the calling thread; `sn_threads()`", "torch.set_num_threads",
     "-"},
    {"sn_memory()",
     "bytes; `sn_memory_reset_peak()`, `sn_memory_trim()`, `sn_memory_set_limit(bytes)`",
     "torch.cuda.memory_stats", "-"},
    {"sn_set_log(sink, context)", "where log lines go", "-", "-"},
    {"sn_version()", "of the library; `sn_version_text()`", "torch.\\_\\_version\\_\\_",
     "numpy.\\_\\_version\\_\\_"},
    {"sn_test_fail_allocation(n, sticky)", "for tests; `sn_test_allocations()`", "-", "-"},
    {NULL, "For language bindings", NULL, NULL},
    {"sn_apply(op, inputs, n_inputs, outputs, …)", "an op by number; `sn_op_info` describes it",
     "-", "-"},
    {"sn_compile_payload(function, payload, destroy, …)",
     "wraps a closure; `sn_call(compiled, …)` calls it", "-", "-"},
};

/* ---- dtypes of an op ------------------------------------------------------------------------- */

/* The result's dtype by DtypeRule. */
static const char *const results[DTYPE_RULE_COUNT] = {
    [DTYPE_PROMOTE] = "promoted",
    [DTYPE_FLOAT] = "promoted; f32 of integers",
    [DTYPE_BOOL] = "bool",
    [DTYPE_SAME] = "as the first",
    [DTYPE_TAIL] = "promoted",
    [DTYPE_SUM] = "as the first; i64 of integers",
    [DTYPE_I64] = "i64",
    [DTYPE_ATTR] = "`dtype`",
    [DTYPE_FLOATING] = "as the first",
    [DTYPE_PROMOTE_FLOATING] = "promoted",
    [DTYPE_INTEGRAL] = "promoted",
    [DTYPE_NUMERIC] = "as the first; i64 of bool",
};

/* Dtypes as bits, by sn_dtype. */
enum {
    BITS_BOOL = 1 << SN_BOOL,
    BITS_FLOAT = 1 << SN_F16 | 1 << SN_BF16 | 1 << SN_F32 | 1 << SN_F64,
    BITS_ALL = (1 << SN_DTYPE_COUNT) - 1,
};

static bool is_index(const OpParam *param) {
    return strcmp(param->name, "index") == 0 || strcmp(param->name, "target") == 0;
}

/* Does inference take tensors of this dtype? What else is wrong does not matter. */
static bool takes(OpCode op, sn_dtype dtype) {
    int32_t n_params, n_inputs = 0;
    const OpParam *params = op_params(op, &n_params);
    TensorType inputs[OP_MOST_PARAMS], result;
    AttrList attrs;
    bool tensors = false;
    attrs.count = 0;
    for (int32_t i = 0; i < n_params; i++) {
        bool lone = op_operands(op)->count == 1;
        TensorType type = {.dtype = (uint8_t)dtype, .rank = 2, .strength = STRENGTH_FULL};
        type.dims[0] = type.dims[1] = dim_of(2);
        if (params[i].suffix == '?') type.rank = RANK_ABSENT;
        if (params[i].kind == 'r' || (is_index(&params[i]) && !lone)) type.dtype = SN_I64;
        if (params[i].kind == 'r') type.rank = 1;
        tensors = tensors || params[i].kind == 't';
        if (params[i].kind == 't' || params[i].kind == 'r')
            inputs[n_inputs++] = type;
        else if (params[i].kind == 'L')
            attr_add_list(&attrs, NULL, 0);
        else if (params[i].kind == 'd')
            attr_add_double(&attrs, 0);
        else
            attr_add_int(&attrs, params[i].kind == 'y' && !tensors ? dtype : 0);
    }
    return op_infer(NULL, op, inputs, n_inputs, &attrs, &result, NULL) != SN_ERROR_DTYPE;
}

static const char *dtypes_taken(OpCode op) {
    int bits = 0;
    for (int d = 0; d < SN_DTYPE_COUNT; d++) bits |= takes(op, (sn_dtype)d) << d;
    switch (bits) {
    case BITS_ALL:
        return "all";
    case BITS_ALL & ~BITS_BOOL:
        return "numbers";
    case BITS_FLOAT:
        return "floats";
    case BITS_ALL & ~BITS_FLOAT:
        return "integers, bool";
    case BITS_ALL & ~BITS_FLOAT & ~BITS_BOOL:
        return "integers";
    case 1 << SN_I32 | 1 << SN_I64:
        return "i32, i64";
    default:
        return "?";
    }
}

/* ---- the page -------------------------------------------------------------------------------- */

static const char page_top[] =
    "# What there is to call\n\n"
    "Printed by `tools/list_ops.c` from `ir/op/op.def`; do not edit. [guide.md](guide.md) is the "
    "way in.\n"
    "The headers say more of each.\n\n"
    "- `SN_I(axes)` is a list of integers, `SN_I(0, 1)`; `SN_I0` is the empty one: all axes. Axes "
    "may be\n"
    "  negative. `low?` may be `SN_NONE`. `xs, n` is an array and its length.\n"
    "- *numbers* are all dtypes but bool. *promoted*: the dtype that holds those of the operands, "
    "as in PyTorch.\n"
    "  Indices are i32 or i64.\n"
    "- `sn_add_` and the like write their result into the first tensor, in its dtype and shape.\n"
    "- `F.` is torch.nn.functional; what PyTorch and NumPy have under that name may take more "
    "arguments.\n";

static const char *const class_titles[CLASS_COUNT] = {
#define OP_CLASS(id, heading) [CLASS_##id] = heading,
#include "ir/op/op_rules.def"
};

static void add_parameter(StrBuf *out, const OpParam *param, const char **comma) {
    if (param->kind == 'h') return;
    strbuf_add(out, *comma);
    *comma = ", ";
    if (param->kind == 'L')
        strbuf_addf(out, "SN_I(%s)", param->name);
    else if (param->suffix == '*')
        strbuf_addf(out, "%s, n", param->name);
    else
        strbuf_addf(out, "%s%s", param->name, param->suffix == '?' ? "?" : "");
}

/* A cell of Markdown. */
static void add_text(StrBuf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '|' || *text == '*') strbuf_add_char(out, '\\');
        strbuf_add_char(out, *text);
    }
}

static void add_op(StrBuf *out, OpCode op) {
    int32_t count;
    const OpParam *params = op_params(op, &count);
    const char *comma = "", *elsewhere = op_rows[op].elsewhere;
    strbuf_addf(out, "| `sn_%s(", op_info[op].name);
    for (int32_t i = 0; i < count; i++) add_parameter(out, &params[i], &comma);
    strbuf_add(out, ")`");
    if (op_has(op, F_INPLACE)) strbuf_addf(out, ", `sn_%s_`", op_info[op].name);
    strbuf_add(out, " | ");
    add_text(out, op_info[op].about);
    strbuf_addf(out, " | %s | %s | ", dtypes_taken(op), results[op_info[op].dtype_rule]);
    strbuf_add_bytes(out, elsewhere, strcspn(elsewhere, ","));
    strbuf_addf(out, " | %s |\n", strchr(elsewhere, ',') + 2);
}

static void add_ops(StrBuf *out) {
    strbuf_add(out, "\n## Ops\n");
    for (int klass = 0; klass < CLASS_COUNT; klass++) {
        bool any = false;
        for (int op = 0; op < OP_COUNT; op++) {
            if (op_info[op].klass != klass || !op_has((OpCode)op, F_PUBLIC)) continue;
            if (!any)
                strbuf_addf(out,
                            "\n### %s\n\n| op | what it computes | takes | gives | PyTorch | NumPy "
                            "|\n| --- | --- | --- | --- | --- | --- |\n",
                            class_titles[klass]);
            any = true;
            add_op(out, (OpCode)op);
        }
    }
}

static void add_functions(StrBuf *out) {
    strbuf_add(out, "\n## All else\n");
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const Function *f = &functions[i];
        if (f->call)
            strbuf_addf(out, "| `%s` | %s | %s | %s |\n", f->call, f->about, f->torch, f->numpy);
        else
            strbuf_addf(out,
                        "\n### %s\n\n| function | what it does | PyTorch | NumPy |\n| --- | --- | "
                        "--- | --- |\n",
                        f->about);
    }
}

static void print_page(StrBuf *out) {
    strbuf_add(out, page_top);
    add_ops(out);
    add_functions(out);
}

int main(int argc, char **argv) {
    static const GeneratorForm forms[] = {
        {"page", print_page},
        {NULL, NULL},
    };
    return generator_main(argc, argv, forms);
}
