/* The program of the README: a layer with a GELU, compiled, called and printed. */
#include <sinter/sinter.h>
#include <stdio.h>

static sn_tensor *layer(sn_tensor *x, sn_tensor *w, sn_tensor *b) {
    return sn_gelu(sn_add(sn_matmul(x, w), b), SN_GELU_TANH);
}

int main(void) {
    char text[128];
    sn_scope scope = sn_scope_begin();
    sn_rng rng = {.seed = 42};
    sn_tensor *x = sn_randn(&rng, SN_I(2, 768), SN_F32);
    sn_tensor *w = sn_div(sn_randn(&rng, SN_I(768, 3), SN_F32), sn_c(768));
    sn_tensor *b = sn_ones(SN_I(3), SN_F32);
    sn_compiled *compiled = sn_compile(layer, "ttt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *, sn_tensor *) = SN_FN(compiled, layer);
    sn_tensor *y = fast ? fast(x, w, b) : NULL;
    puts(sn_format(y, text, sizeof text) > 0 ? text : sn_error_text());
    sn_compiled_release(compiled);
    sn_scope_end(scope, NULL);
}
