# Programs in tests/: test_NAME.c becomes the test NAME, anything else (fuzz, opinfo) a program that
# is built only. Tests see the modules of this build and no disk cache but one they make themselves.
sinter_programs(tests LINK sinter_internal PkgConfig::cmocka PkgConfig::cjson ZLIB::ZLIB m)
target_link_libraries(tests_test_op_rows PRIVATE sinter_generator)
# tests/ulp checks f64 with it; without, with long double alone.
pkg_check_modules(mpfr QUIET IMPORTED_TARGET mpfr)
if(mpfr_FOUND)
    target_link_libraries(tests_shared PRIVATE PkgConfig::mpfr)
    target_link_libraries(tests_ulp PRIVATE PkgConfig::mpfr)
    target_compile_definitions(tests_shared PRIVATE ULP_MPFR)
    target_compile_definitions(tests_ulp PRIVATE ULP_MPFR)
endif()
target_sources(tests_replay PRIVATE tools/sinter_workloads.c tools/sinter_models.c
        tools/sinter_decode.c tools/sinter_resnet.c)

# Against hanging only: a machine with other work may be ten times slower than a quiet one.
if(SINTER_SANITIZERS)
    set(timeout 3600)
else()
    set(timeout 900)
endif()
set(environment
    SINTER_MODULE_DIR=${SINTER_MODULE_DIR}
    SINTER_CACHE_DIR=off
    SINTER_VERIFY=1
    ASAN_OPTIONS=intercept_tls_get_addr=0 # else gcc 12's leak check dies once LLVM is loaded
    LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/lsan.supp:print_suppressions=0
    TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan.supp
    UBSAN_OPTIONS=print_stacktrace=1)

# Those that start threads run under the thread sanitizer too: ctest -L concurrent. The target of that
# name builds them alone.
set(concurrent "^(thread.*|pool|lock|fork|kernel_cache|memory|scope|pages)$")
add_custom_target(concurrent)

foreach(program IN LISTS SINTER_PROGRAMS)
    if(NOT program MATCHES "^test_(.*)$")
        continue()
    endif()
    set(test ${CMAKE_MATCH_1})
    add_test(NAME ${test} COMMAND tests_${program})
    set_tests_properties(${test} PROPERTIES
        TIMEOUT ${timeout}
        ENVIRONMENT "${environment}"
        WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_compile_definitions(tests_${program} PRIVATE
        SN_TESTS_DIR="${PROJECT_SOURCE_DIR}/tests")
    if(test MATCHES "${concurrent}")
        set_tests_properties(${test} PROPERTIES LABELS concurrent)
        add_dependencies(concurrent tests_${program})
    endif()
endforeach()
# Of a library of objects a program gets what it calls, but nobody calls for pages.
target_link_options(tests_test_pages PRIVATE -Wl,--undefined=pages_hooks)
add_dependencies(tests_test_pages examples_hello) # which it runs
set_tests_properties(scale PROPERTIES RUN_SERIAL TRUE) # it takes times
# Children that may open nothing cannot be searched for leaks.
set_tests_properties(limits PROPERTIES
    ENVIRONMENT "${environment};ASAN_OPTIONS=detect_leaks=0:intercept_tls_get_addr=0")

# No function is farther off than the page says, of which these are some of the arguments.
add_test(NAME ulp COMMAND tests_ulp --stride 400009 --count 20000 --pairs 20000 --hold
    ${PROJECT_SOURCE_DIR}/docs/numerics.md)
add_test(NAME ulp_refuses_what_it_does_not_know COMMAND tests_ulp exp no_function)
set_tests_properties(ulp_refuses_what_it_does_not_know PROPERTIES PASS_REGULAR_EXPRESSION
    "no_function is none of the functions that are measured")
# The fuzzer: some seconds of it, and bugs put in, which it must find and cut down.
add_test(NAME fuzz COMMAND tests_fuzz --count 2000 --seconds 8 --jobs 1)
add_test(NAME fuzz_finds_a_bug
    COMMAND tests_fuzz --plant argmax --count 400 --jobs 1 --expect-finding 3)
# The same with broken programs: what eager refuses, compiled functions refuse in the same words.
add_test(NAME fuzz_invalid COMMAND tests_fuzz --invalid --count 500 --seconds 10 --jobs 1)
add_test(NAME fuzz_invalid_finds_a_bug
    COMMAND tests_fuzz --invalid --plant argmax --count 2000 --jobs 1 --expect-finding 3)
# Calls inside and outside of guards, and guards that leave something out.
add_test(NAME fuzz_guards COMMAND tests_fuzz --guards --count 4000 --seconds 8 --jobs 1)
add_test(NAME fuzz_guards_finds_hidden_state
    COMMAND tests_fuzz --guards --plant hidden --count 20000 --jobs 1 --expect-finding 3)
add_test(NAME fuzz_guards_finds_mixed_entries
    COMMAND tests_fuzz --guards --plant mixed --count 8000 --jobs 1 --expect-finding 3)
add_test(NAME fuzz_guards_finds_unguarded_sizes
    COMMAND tests_fuzz --guards --plant sizes --seed 500 --count 20000 --jobs 1 --expect-finding 3)
# Products are what a plain loop gives, convolutions and pools too, with either instruction set.
foreach(isa IN ITEMS avx2 avx512)
    add_test(NAME products_${isa} COMMAND tests_products --count 400)
    add_test(NAME convolutions_${isa} COMMAND tests_convolutions --count 300)
    set_tests_properties(products_${isa} convolutions_${isa} PROPERTIES
        TIMEOUT ${timeout}
        ENVIRONMENT "${environment};SINTER_ISA=${isa}"
        WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
endforeach()
# Fast code keeps to its error.
add_test(NAME fast COMMAND tests_fast --count 300)
set_tests_properties(fast fuzz fuzz_finds_a_bug fuzz_invalid fuzz_invalid_finds_a_bug
    fuzz_guards fuzz_guards_finds_hidden_state fuzz_guards_finds_mixed_entries
    fuzz_guards_finds_unguarded_sizes PROPERTIES
    TIMEOUT ${timeout}
    ENVIRONMENT "${environment}"
    WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)

# What needs no sanitizer.
if(NOT SINTER_SANITIZERS)
    add_test(NAME layers COMMAND ${PROJECT_SOURCE_DIR}/tools/check_layers)
    add_test(NAME circles COMMAND ${PROJECT_SOURCE_DIR}/tools/check_circles ${PROJECT_BINARY_DIR})
    add_test(NAME circles_are_found
        COMMAND ${PROJECT_SOURCE_DIR}/tests/circles/run ${CMAKE_C_COMPILER})
    add_test(NAME signature_cxx
        COMMAND ${PROJECT_SOURCE_DIR}/tests/signature/run ${PROJECT_BINARY_DIR}/generated/include)
    add_test(NAME docs COMMAND ${PROJECT_SOURCE_DIR}/tools/check_docs ${PROJECT_BINARY_DIR})
    set_tests_properties(docs PROPERTIES ENVIRONMENT SINTER_CACHE_DIR=off)
    add_test(NAME headers
        COMMAND ${PROJECT_SOURCE_DIR}/tools/check_headers ${PROJECT_BINARY_DIR}/generated/include)
    if(EXISTS ${PROJECT_SOURCE_DIR}/include/sinter/sinter.h)
        add_test(NAME install_outside
            COMMAND ${PROJECT_SOURCE_DIR}/tests/outside/run ${PROJECT_BINARY_DIR}
                    ${CMAKE_C_COMPILER})
        set_tests_properties(install_outside PROPERTIES TIMEOUT ${timeout})
    endif()
endif()
