/** @file signature.h
 *  What the compiler knows of a function's signature, so that sn_compile can refuse another. In C++ that is
 *  every function. In C it is the forms listed at SN_SIG; of any other function the letters, their order and
 *  their number are the program's to get right: with wrong ones, arguments are read as what they are not. */
#ifndef SINTER_SIGNATURE_H
#define SINTER_SIGNATURE_H

#include <sinter/random.h>

#if !defined(__cplusplus)

/* clang-format off */
#define SN_SIG_T1 sn_tensor *
#define SN_SIG_T2 SN_SIG_T1, sn_tensor *
#define SN_SIG_T3 SN_SIG_T2, sn_tensor *
#define SN_SIG_T4 SN_SIG_T3, sn_tensor *
#define SN_SIG_T5 SN_SIG_T4, sn_tensor *
#define SN_SIG_T6 SN_SIG_T5, sn_tensor *
#define SN_SIG_T7 SN_SIG_T6, sn_tensor *
#define SN_SIG_T8 SN_SIG_T7, sn_tensor *
/* Functions that begin with these parameters, whose letters are `t`: alone, with a scalar, with two. */
#define SN_SIG_SCALARS(t, ...)                                                                     \
    sn_tensor *(*)(__VA_ARGS__, bool): t "b:t",                                                    \
    sn_tensor *(*)(__VA_ARGS__, int32_t): t "i:t",                                                 \
    sn_tensor *(*)(__VA_ARGS__, int64_t): t "l:t",                                                 \
    sn_tensor *(*)(__VA_ARGS__, float): t "f:t",                                                   \
    sn_tensor *(*)(__VA_ARGS__, double): t "d:t",                                                  \
    sn_tensor *(*)(__VA_ARGS__, sn_rng *): t "r:t"
#define SN_SIG_FORMS(t, ...)                                                                       \
    sn_tensor *(*)(__VA_ARGS__): t ":t",                                                           \
    sn_status (*)(__VA_ARGS__, sn_tensor **, sn_tensor **): t ":tt",                               \
    sn_status (*)(__VA_ARGS__, sn_tensor **, sn_tensor **, sn_tensor **): t ":ttt",                \
    SN_SIG_SCALARS(t, __VA_ARGS__)
#define SN_SIG_PAIRS(t, ...)                                                                       \
    sn_tensor *(*)(__VA_ARGS__, int32_t, int32_t): t "ii:t",                                       \
    sn_tensor *(*)(__VA_ARGS__, int64_t, int64_t): t "ll:t",                                       \
    sn_tensor *(*)(__VA_ARGS__, float, float): t "ff:t",                                           \
    sn_tensor *(*)(__VA_ARGS__, double, double): t "dd:t"
#define SN_SIG_CASES                                                                               \
    SN_SIG_FORMS("t", SN_SIG_T1),                                                                  \
    SN_SIG_FORMS("tt", SN_SIG_T2),                                                                 \
    SN_SIG_FORMS("ttt", SN_SIG_T3),                                                                \
    SN_SIG_FORMS("tttt", SN_SIG_T4),                                                               \
    SN_SIG_PAIRS("t", SN_SIG_T1),                                                                  \
    SN_SIG_PAIRS("tt", SN_SIG_T2),                                                                 \
    SN_SIG_PAIRS("ttt", SN_SIG_T3),                                                                \
    sn_tensor *(*)(SN_SIG_T5): "ttttt:t",                                                          \
    sn_tensor *(*)(SN_SIG_T6): "tttttt:t",                                                         \
    sn_tensor *(*)(SN_SIG_T7): "ttttttt:t",                                                        \
    sn_tensor *(*)(SN_SIG_T8): "tttttttt:t",                                                       \
    sn_tensor *(*)(sn_tensor **, int32_t): "t*:t",                                                 \
    sn_tensor *(*)(sn_tensor *const *, int32_t): "t*:t",                                           \
    sn_tensor *(*)(SN_SIG_T1, sn_tensor **, int32_t): "tt*:t",                                     \
    sn_tensor *(*)(SN_SIG_T1, sn_tensor *const *, int32_t): "tt*:t"
/* clang-format on */

/** The signature of a function of one of these forms. With one result: up to eight tensors; up to four, then
 *  a scalar or a generator; up to three, then two scalars of one type; an array of tensors and its count,
 *  alone or behind a tensor. With two or three results: up to four tensors. */
#define SN_SIG(f) _Generic((f), SN_SIG_CASES)
/* The same, NULL for any other function. */
#define SN_SIG_OF(f) _Generic((f), SN_SIG_CASES, default : (const char *)0)

#else

/* Letters of a function's type. 'P' is a pointer that may be S or p, '!' a type that no letter takes. */
namespace sinter_signature {

template <char... C> struct Text {
    static const char *get() {
        static const char text[] = {C..., 0};
        return text;
    }
};

/* An integer is known by its size and its sign, an enumeration by its size. */
template <unsigned long Size, bool Integral> struct Whole { static const char letter = '!'; };
template <> struct Whole<4, true> { static const char letter = 'i'; };
template <> struct Whole<8, true> { static const char letter = 'l'; };
template <class T> struct IsWhole { static const bool value = __is_enum(T); };
template <> struct IsWhole<int> { static const bool value = true; };
template <> struct IsWhole<unsigned> { static const bool value = true; };
template <> struct IsWhole<long> { static const bool value = true; };
template <> struct IsWhole<unsigned long> { static const bool value = true; };
template <> struct IsWhole<long long> { static const bool value = true; };
template <> struct IsWhole<unsigned long long> { static const bool value = true; };

template <class T> struct Letter : Whole<sizeof(T), IsWhole<T>::value> {};
template <class T> struct Letter<T *> { static const char letter = 'P'; };
template <class T> struct Letter<T &> { static const char letter = '!'; };
template <> struct Letter<sn_tensor *> { static const char letter = 't'; };
template <> struct Letter<sn_rng *> { static const char letter = 'r'; };
template <> struct Letter<bool> { static const char letter = 'b'; };
template <> struct Letter<float> { static const char letter = 'f'; };
template <> struct Letter<double> { static const char letter = 'd'; };

/* Appends the letters of the parameters that are left to `Done`, then those of the result. */
template <class Result, class Done, class... Left> struct Letters;
/* Behind the first output all parameters are outputs. */
template <class Done, class... Left> struct Outputs;
template <char... C> struct Outputs<Text<C...>> : Text<C...> {};
template <char... C, class... Left>
struct Outputs<Text<C...>, sn_tensor **, Left...> : Outputs<Text<C..., 't'>, Left...> {};
template <char... C, class T, class... Left>
struct Outputs<Text<C...>, T, Left...> : Outputs<Text<C..., '!'>, Left...> {};

template <class Result, char... C> struct Letters<Result, Text<C...>> : Text<C..., ':', '!'> {};
template <char... C> struct Letters<sn_tensor *, Text<C...>> : Text<C..., ':', 't'> {};
template <char... C> struct Letters<sn_status, Text<C...>> : Text<C..., ':'> {};
template <class Result, char... C, class T, class... Left>
struct Letters<Result, Text<C...>, T, Left...>
    : Letters<Result, Text<C..., Letter<T>::letter>, Left...> {};
template <class Result, char... C, class... Left>
struct Letters<Result, Text<C...>, sn_tensor **, int32_t, Left...>
    : Letters<Result, Text<C..., 't', '*'>, Left...> {};
template <class Result, char... C, class... Left>
struct Letters<Result, Text<C...>, sn_tensor *const *, int32_t, Left...>
    : Letters<Result, Text<C..., 't', '*'>, Left...> {};
/* One output would be the result. */
template <char... C> struct Letters<sn_status, Text<C...>, sn_tensor **> : Text<C..., ':', '!'> {};
template <char... C, class... Left>
struct Letters<sn_status, Text<C...>, sn_tensor **, Left...>
    : Outputs<Text<C..., ':', 't'>, Left...> {};
template <char... C, class... Left>
struct Letters<sn_status, Text<C...>, sn_tensor **, int32_t, Left...>
    : Letters<sn_status, Text<C..., 't', '*'>, Left...> {};

template <class Result, class... Parameters> inline const char *of(Result (*)(Parameters...)) {
    return Letters<Result, Text<>, Parameters...>::get();
}

/* Whose type was cast away is not known. */
inline const char *of(void (*)()) {
    return nullptr;
}

} // namespace sinter_signature

#define SN_SIG_OF(f) ::sinter_signature::of(f)

#endif

#endif
