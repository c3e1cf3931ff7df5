/* What a program outside sees of an installed Sinter: headers, library, and the modules beside it,
 * which the compiled function makes it load. Built and run by tests/outside/run. */
#include <sinter/sinter.h>

#include <stdio.h>

static sn_tensor *model(sn_tensor *x, sn_tensor *w) {
    return sn_relu(sn_add(sn_matmul(x, w), sn_c(0.25)));
}

int main(void) {
    float out[6] = {0};
    bool right = true;
    sn_scope scope = sn_scope_begin();
    sn_tensor *x = sn_full(SN_I(2, 4), 0.5, SN_F32);
    sn_tensor *w = sn_full(SN_I(4, 3), 2.0, SN_F32);
    sn_compiled *compiled = sn_compile(model, "tt:t", NULL);
    sn_tensor *(*fast)(sn_tensor *, sn_tensor *) = SN_FN(compiled, model);
    for (int call = 0; call < 3 && fast; call++) {
        if (!sn_read(fast(x, w), SN_F32, out, sizeof out)) right = false;
        for (int i = 0; i < 6; i++) right = right && out[i] == 4.25f;
    }
    right = right && fast;
    if (!right) fprintf(stderr, "outside: %s\n", sn_error_text());
    sn_compiled_release(compiled);
    sn_scope_end(scope, NULL);
    if (right) printf("outside: sinter %s works\n", sn_version_text());
    return right ? 0 : 1;
}
