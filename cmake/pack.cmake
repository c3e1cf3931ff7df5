# The pack: kernels of the common eager ops, made at build time by our own code generator and linked
# in as read-only data, so that eager starts at once and needs no LLVM. runtime/pack.c refers to it
# weakly: the generator itself is linked without one.
option(SINTER_PACK "Generate the pack of eager kernels (most of a minute of a build)" ON)

# All layers for programs that look inside: tests, benchmarks.
add_library(sinter_internal INTERFACE)
target_link_libraries(sinter_internal INTERFACE
    sinter_frontend sinter_runtime sinter_passes sinter_ir sinter_base)
get_property(modules GLOBAL PROPERTY SINTER_MODULES)
if(modules)
    add_custom_target(sinter_modules)
    add_dependencies(sinter_modules ${modules})
    add_dependencies(sinter_internal sinter_modules)
endif()

add_executable(sinter_make_pack tools/make_pack.c)
target_link_libraries(sinter_make_pack PRIVATE
    sinter_flags sinter_frontend sinter_runtime sinter_passes sinter_ir sinter_base)
sinter_needs_ops(sinter_make_pack)

if(SINTER_PACK)
    # LLVM's own allocations live until exit; a leak checker would stop the build for them.
    set(SINTER_PACK_FILE ${PROJECT_BINARY_DIR}/generated/pack.bin)
    add_custom_command(
        OUTPUT ${SINTER_PACK_FILE}
        COMMAND ${CMAKE_COMMAND} -E env
                SINTER_MODULE_DIR=${SINTER_MODULE_DIR} SINTER_CACHE_DIR=off
                ASAN_OPTIONS=detect_leaks=0
                $<TARGET_FILE:sinter_make_pack> ${SINTER_PACK_FILE}
        DEPENDS sinter_make_pack ${modules}
        COMMENT "Generating the pack of eager kernels"
        VERBATIM)

    # The file's bytes between two symbols; -u because a weak reference draws in no library member.
    enable_language(ASM)
    set(assembly ${PROJECT_BINARY_DIR}/generated/pack.S)
    configure_file(cmake/pack.S.in ${assembly} @ONLY)
    set_source_files_properties(${assembly} PROPERTIES OBJECT_DEPENDS ${SINTER_PACK_FILE})
    add_library(sinter_pack STATIC ${assembly})
    target_link_options(sinter_pack INTERFACE -Wl,-u,sinter_pack_size)
    target_link_libraries(sinter_internal INTERFACE sinter_pack)
endif()
