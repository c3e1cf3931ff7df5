# Libraries that Sinter stands on. tools/packages.txt lists the Debian packages that hold them;
# `tools/setup` installs what is missing.
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ffi REQUIRED IMPORTED_TARGET libffi)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)
pkg_check_modules(cjson REQUIRED IMPORTED_TARGET libcjson)

# LLVM's package is compatible only with the very same major.minor, so each is asked for by name.
foreach(wanted 19.1 18.1 17.0)
    find_package(LLVM ${wanted} CONFIG QUIET)
    if(LLVM_FOUND)
        break()
    endif()
endforeach()
if(NOT LLVM_FOUND)
    message(FATAL_ERROR "LLVM 19, 18 or 17 is missing: run tools/setup, or install llvm-19-dev")
endif()
message(STATUS "LLVM ${LLVM_PACKAGE_VERSION} in ${LLVM_LIBRARY_DIRS}")
add_library(sinter_llvm INTERFACE)
target_include_directories(sinter_llvm SYSTEM INTERFACE ${LLVM_INCLUDE_DIRS})
target_compile_definitions(sinter_llvm INTERFACE SINTER_LLVM_VERSION="${LLVM_PACKAGE_VERSION}")
target_link_libraries(sinter_llvm INTERFACE LLVM)

# oneDNN, for benchmarks/onednn alone.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h)
find_library(DNNL_LIBRARY dnnl)
mark_as_advanced(DNNL_INCLUDE_DIR DNNL_LIBRARY)
if(DNNL_INCLUDE_DIR AND DNNL_LIBRARY)
    add_library(sinter_dnnl INTERFACE)
    target_include_directories(sinter_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
    target_link_libraries(sinter_dnnl INTERFACE ${DNNL_LIBRARY} gomp) # its threads
else()
    message(STATUS "oneDNN is not installed: no benchmarks/onednn")
endif()
