# The identity of the code generator: a hash of the sources that decide what machine code a kernel's
# text becomes and how that code is called. It is part of every key of the kernel cache and of the
# pack, so that a newer Sinter never runs what an older one compiled. One small header holds it, and
# one source includes it: a change of the sources compiles that one again, no more.
file(GLOB_RECURSE codegen_sources CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
    codegen/*.c codegen/*.h ir/*.c ir/*.h ir/*.def passes/*.c passes/*.h
    runtime/executable.c runtime/executable.h)
list(SORT codegen_sources)
list(TRANSFORM codegen_sources PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE codegen_files)

set(script ${PROJECT_SOURCE_DIR}/cmake/write_codegen_id.cmake)
set(SINTER_CODEGEN_ID_HEADER ${PROJECT_BINARY_DIR}/generated/runtime/codegen_id.h)
add_custom_command(
    OUTPUT ${SINTER_CODEGEN_ID_HEADER}
    COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} "-DFILES=${codegen_sources}"
            -DOUTPUT=${SINTER_CODEGEN_ID_HEADER} -P ${script}
    DEPENDS ${codegen_files} ${script}
    COMMENT "Hashing the code generator's sources"
    VERBATIM)
if(SINTER_HAS_runtime)
    target_sources(sinter_runtime PRIVATE ${SINTER_CODEGEN_ID_HEADER})
endif()
