/* Arguments that are more than a tensor: a struct of weights (S), an array of tensors (t*), a number that is
 * handed on (f~), and a closure of a language binding (a payload). */
#include <sinter/sinter.h>
#include <stdio.h>

/* ---- a struct -------------------------------------------------------------------------------- */

/* A layer's weights and settings. */
typedef struct Layer {
    sn_tensor *weight, *bias; /* [in, out], [out] */
    int32_t relu;             /* is there one behind it */
    int32_t unused;           /* every byte of a struct is described, padding too */
} Layer;

static const sn_field layer_fields[] = {
    {"weight", SN_FIELD_TENSOR, offsetof(Layer, weight), sizeof(sn_tensor *), 0, 0, false, NULL},
    {"bias", SN_FIELD_TENSOR, offsetof(Layer, bias), sizeof(sn_tensor *), 0, 0, false, NULL},
    {"relu", SN_FIELD_SCALAR, offsetof(Layer, relu), sizeof(int32_t), 0, 0, false, NULL},
    {"unused", SN_FIELD_IGNORED, offsetof(Layer, unused), sizeof(int32_t), 0, 0, false, NULL},
};
static const sn_tree layer_tree = {sizeof(Layer), layer_fields, 4};

static sn_tensor *apply_layer(sn_tensor *x, const Layer *layer) {
    sn_tensor *y = sn_add(sn_matmul(x, layer->weight), layer->bias);
    return layer->relu ? sn_relu(y) : y;
}

static void use_struct(sn_tensor *x, sn_tensor *weight, sn_tensor *bias) {
    const sn_tree *trees[] = {&layer_tree};
    sn_compile_options options = {.trees = trees, .n_trees = 1};
    sn_compiled *c = sn_compile(apply_layer, "tS:t", &options);
    sn_tensor *(*fast)(sn_tensor *, const Layer *) = SN_FN(c, apply_layer);
    char text[128] = "";
    sn_format(fast(x, &(Layer){weight, bias, 1, 0}), text, sizeof text);
    printf("S: %s\n", text);
    sn_compiled_release(c);
}

/* ---- an array, and a number ------------------------------------------------------------------ */

static sn_tensor *weighted_sum(sn_tensor *const *xs, int32_t n, float factor) {
    sn_tensor *sum = xs[0];
    for (int32_t i = 1; i < n; i++) sum = sn_add(sum, sn_mul(xs[i], sn_c((double)factor)));
    return sum;
}

static void use_array(sn_tensor *x) {
    sn_compiled *c = sn_compile(weighted_sum, "t*f~:t", NULL);
    sn_tensor *(*fast)(sn_tensor *const *, int32_t, float) = SN_FN(c, weighted_sum);
    char text[128] = "";
    sn_format(fast((sn_tensor *[]){x, x, x}, 3, 0.5f), text, sizeof text);
    printf("t*: %s\n", text);
    sn_compiled_release(c);
}

/* ---- a closure ------------------------------------------------------------------------------- */

/* What a binding's function object may be. */
typedef struct Closure {
    double power; /* of x */
} Closure;

static sn_status call_closure(void *payload, const sn_value *inputs, int32_t n_inputs,
                              sn_outputs *outputs) {
    const Closure *closure = payload;
    (void)n_inputs;
    outputs->tensors[0] = sn_pow(inputs[0].as.tensor, sn_c(closure->power));
    return outputs->tensors[0] ? SN_OK : sn_error_status();
}

static void use_closure(sn_tensor *x) {
    Closure square = {2};
    sn_error error;
    sn_compiled *c = sn_compile_payload(call_closure, &square, NULL, "square", "t:t", NULL, &error);
    sn_value input = {.kind = SN_VALUE_TENSOR, .as = {.tensor = x}};
    sn_tensor *result;
    int32_t n;
    char text[128] = "";
    if (c && sn_call(c, &input, 1, &result, 1, &n, NULL, &error) == SN_OK) {
        sn_format(result, text, sizeof text);
        sn_release(result); /* results of sn_call are the caller's */
        printf("payload: %s\n", text);
    } else {
        fprintf(stderr, "%s\n", error.text);
    }
    sn_compiled_release(c);
}

int main(void) {
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_reshape(sn_arange(0, 3, 1, SN_F32), SN_I(1, 3));
    use_struct(x, sn_ones(SN_I(3, 2), SN_F32), sn_arange(0, 2, 1, SN_F32));
    use_array(x);
    use_closure(x);
    if (sn_error_status() != SN_OK) fprintf(stderr, "%s\n", sn_error_text());
    int failed = sn_error_take(NULL) != SN_OK;
    sn_scope_end(scope, NULL);
    return failed;
}
