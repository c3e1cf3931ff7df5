# The pack: kernels of the common eager ops, made at build time by our own code generator and linked
# in as read-only data, so that eager starts at once and needs no LLVM. runtime/kernels/pack.c refers to it
# weakly: the generator itself is linked without one.
option(SINTER_PACK "Generate the pack of eager kernels (most of a minute of a build)" ON)
set(SINTER_PACK_FROM "" CACHE PATH
    "A folder `generated` of another build, whose pack is copied where it would be the same")

add_executable(sinter_make_pack tools/make_pack.c)
target_link_libraries(sinter_make_pack PRIVATE sinter_flags sinter_frontend)
sinter_needs_ops(sinter_make_pack)

if(SINTER_PACK)
    # Any source may change the pack, so its contents are listed again after every change, in a second,
    # and the pack itself is made again only where the list changed. Besides the list, what writes the
    # file decides it. The library uses no stale pack whatever the build does: a pack holds the identity
    # of its compiler (codegen_id.cmake), and the text of each kernel.
    set(SINTER_PACK_FILE ${PROJECT_BINARY_DIR}/generated/pack.bin)
    set(contents ${PROJECT_BINARY_DIR}/generated/pack.contents)
    # LLVM's own allocations live until exit; a leak checker would stop the build for them.
    set(make_pack ${CMAKE_COMMAND} -E env
        SINTER_MODULE_DIR=${SINTER_MODULE_DIR} SINTER_CACHE_DIR=off ASAN_OPTIONS=detect_leaks=0
        $<TARGET_FILE:sinter_make_pack>)
    add_custom_command(
        OUTPUT ${contents}
        COMMAND ${make_pack} contents ${contents}.new
        COMMAND ${CMAKE_COMMAND} -E copy_if_different ${contents}.new ${contents}
        DEPENDS sinter_make_pack ${modules}
        COMMENT "Listing the pack of eager kernels"
        VERBATIM)
    set(script ${PROJECT_SOURCE_DIR}/cmake/write_pack.cmake)
    set(decides ${contents} ${PROJECT_SOURCE_DIR}/runtime/kernels/pack.c
        ${PROJECT_SOURCE_DIR}/tools/make_pack.c)
    add_custom_command(
        OUTPUT ${SINTER_PACK_FILE}
        COMMAND ${CMAKE_COMMAND} "-DDECIDES=${decides}" -DFROM=${SINTER_PACK_FROM}
                -DOUTPUT=${SINTER_PACK_FILE} -P ${script} -- ${make_pack} pack
        DEPENDS ${decides} ${script}
        COMMENT "Generating the pack of eager kernels"
        VERBATIM)

    # The file's bytes between two symbols; -u because a weak reference draws in no library member.
    enable_language(ASM)
    set(assembly ${PROJECT_BINARY_DIR}/generated/pack.S)
    configure_file(cmake/pack.S.in ${assembly} @ONLY)
    set_source_files_properties(${assembly} PROPERTIES OBJECT_DEPENDS ${SINTER_PACK_FILE})
    add_library(sinter_pack STATIC ${assembly})
    target_link_options(sinter_pack INTERFACE -Wl,-u,sinter_pack_size)
    target_link_libraries(sinter_internal ${SINTER_INTERNAL_KIND} sinter_pack)
endif()
