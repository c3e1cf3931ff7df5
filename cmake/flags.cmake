# Compiler flags of everything that is built here, as the interface target sinter_flags.
option(SINTER_CCACHE "Compile through ccache where it is installed" OFF)
option(SINTER_SHARED_INTERNAL
    "Programs that look inside share one library: after a change it is linked again, and no program" OFF)
option(SINTER_WERROR "Treat the warnings of gcc <= 12 and clang <= 14 as errors" OFF)
set(SINTER_SANITIZE "" CACHE STRING "Sanitizers: address, undefined, thread, or a list of them")

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()

if(SINTER_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
    find_program(SINTER_CCACHE_PROGRAM ccache)
    mark_as_advanced(SINTER_CCACHE_PROGRAM)
    if(SINTER_CCACHE_PROGRAM)
        set(CMAKE_C_COMPILER_LAUNCHER ${SINTER_CCACHE_PROGRAM})
    endif()
endif()

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
if(SINTER_SHARED_INTERNAL)
    set(CMAKE_LINK_DEPENDS_NO_SHARED ON)
else()
    set(CMAKE_C_VISIBILITY_PRESET hidden)
endif()
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(sinter_flags INTERFACE)
target_compile_definitions(sinter_flags INTERFACE _GNU_SOURCE)
# Bits are a promise: the compiler may not contract a * b + c.
target_compile_options(sinter_flags INTERFACE
    -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion)
# __FILE__ is written from the top folder, in messages and dumps.
target_compile_options(sinter_flags INTERFACE -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
# Recording an op copies lists of a few words: gcc would make `rep movs` of each, which takes longer
# to start than the C library to copy them.
include(CheckCCompilerFlag)
set(small_copies -mmemcpy-strategy=libcall:-1:noalign -mmemset-strategy=libcall:-1:noalign)
check_c_compiler_flag("${small_copies}" SINTER_HAS_COPY_STRATEGIES)
if(SINTER_HAS_COPY_STRATEGIES)
    target_compile_options(sinter_flags INTERFACE ${small_copies})
endif()
target_link_options(sinter_flags INTERFACE -Wl,--as-needed)
# What an overflow of a buffer would need is guarded: frames with text in them, sizes that the compiler
# knows, and the tables of functions in other libraries, which are filled at once and then read only.
target_compile_options(sinter_flags INTERFACE -fstack-protector)
target_link_options(sinter_flags INTERFACE -Wl,-z,relro,-z,now)
if(NOT SINTER_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(sinter_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
target_include_directories(sinter_flags INTERFACE
    ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include
    ${PROJECT_BINARY_DIR}/generated ${PROJECT_BINARY_DIR}/generated/include)
# Errors with the compilers that .ci/run uses; what a newer one has to say must not stop a build.
if(SINTER_WERROR AND
   ((CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13) OR
    (CMAKE_C_COMPILER_ID STREQUAL "Clang" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 15)))
    target_compile_options(sinter_flags INTERFACE -Werror)
endif()

string(REPLACE "," ";" SINTER_SANITIZERS "${SINTER_SANITIZE}")
foreach(sanitizer IN LISTS SINTER_SANITIZERS)
    target_compile_options(sinter_flags INTERFACE -fsanitize=${sanitizer})
    target_link_options(sinter_flags INTERFACE -fsanitize=${sanitizer})
    if(sanitizer STREQUAL "undefined")
        target_compile_options(sinter_flags INTERFACE -fno-sanitize-recover=all)
    endif()
endforeach()

# gcc finds more than there is in instrumented code.
if(SINTER_SANITIZERS AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(sinter_flags INTERFACE -Wno-maybe-uninitialized)
endif()

# A shared object names all it needs; clang leaves a sanitizer's runtime to the program.
if(NOT SINTER_SANITIZERS)
    set(SINTER_SHARED_LINK_OPTIONS -Wl,-z,defs)
endif()
# Threads of the library outlive dlclose, and its keys of threads do.
list(APPEND SINTER_SHARED_LINK_OPTIONS -Wl,-z,nodelete)
