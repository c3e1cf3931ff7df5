# ir/attr_names.h and the tables of signatures are generated from the op table, before ir is compiled. The
# generators know the table and nothing else of ir: they have to come before what includes their output,
# and nothing else in ir can change that.
add_library(sinter_generator STATIC tools/generator.c tools/op_rows.c tools/op_signature.c)
target_link_libraries(sinter_generator PRIVATE sinter_flags PUBLIC sinter_base)

set(generated ${PROJECT_BINARY_DIR}/generated)
set(SINTER_ATTR_NAMES ${generated}/ir/attr_names.h)
set(SINTER_SIGNATURES ${generated}/op_signatures.c)

add_executable(sinter_gen_signatures tools/gen_signatures.c)
target_link_libraries(sinter_gen_signatures PRIVATE sinter_flags sinter_generator)
add_custom_command(
    OUTPUT ${SINTER_ATTR_NAMES} ${SINTER_SIGNATURES}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}/ir
    COMMAND sinter_gen_signatures names ${SINTER_ATTR_NAMES}
    COMMAND sinter_gen_signatures tables ${SINTER_SIGNATURES}
    DEPENDS sinter_gen_signatures
    COMMENT "Generating ir/attr_names.h and op_signatures.c from ir/op/op.def"
    VERBATIM)
target_sources(sinter_ir PRIVATE ${SINTER_ATTR_NAMES} ${SINTER_SIGNATURES})
