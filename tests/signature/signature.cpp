/* What C++ knows of a function's signature; needs no library. */
#include <sinter/sinter.h>

#include <cstdio>
#include <cstring>

struct Net;
enum Mode { MODE_A, MODE_B };

static int failed;

static void expect(const char *got, const char *want) {
    if (got == want || (got && want && std::strcmp(got, want) == 0)) return;
    std::printf("signature: %s, expected %s\n", got ? got : "none", want ? want : "none");
    failed = 1;
}

/* The signature of functions of this type. */
template <class F> static const char *letters() {
    return SN_SIG_OF(static_cast<F *>(nullptr));
}

int main() {
    expect(letters<sn_tensor *(sn_tensor *)>(), "t:t");
    expect(letters<sn_tensor *(sn_tensor *, float, double)>(), "tfd:t");
    expect(letters<sn_tensor *(sn_tensor *, bool, int, Mode, unsigned)>(), "tbiii:t");
    expect(letters<sn_tensor *(sn_tensor *, int64_t, long long)>(), "tll:t");
    expect(letters<sn_tensor *(Net *, void *, sn_rng *)>(), "PPr:t");
    expect(letters<sn_tensor *(sn_tensor *const *, int32_t, sn_tensor **, int32_t)>(), "t*t*:t");
    expect(letters<sn_status(sn_tensor *)>(), "t:");
    expect(letters<sn_status(sn_tensor *, sn_tensor **, sn_tensor **)>(), "t:tt");
    expect(letters<sn_status(sn_tensor **, int32_t, sn_tensor **, sn_tensor **)>(), "t*:tt");
    /* no signature has one output that is no result, an output before a parameter, a letter for these */
    expect(letters<sn_status(sn_tensor *, sn_tensor **)>(), "t:!");
    expect(letters<sn_status(sn_tensor *, sn_tensor **, float)>(), "t:t!");
    expect(letters<sn_tensor *(char, short, int &)>(), "!!!:t");
    expect(letters<int(sn_tensor *)>(), "t:!");
    expect(letters<void()>(), nullptr);
    return failed;
}
