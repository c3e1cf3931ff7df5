# <sinter/ops.h> and the functions behind it are generated from the op table.
set(generated ${PROJECT_BINARY_DIR}/generated)
set(SINTER_OPS_HEADER ${generated}/include/sinter/ops.h)
set(SINTER_OPS_SOURCE ${generated}/ops_gen.c)

add_executable(sinter_gen_ops tools/gen_ops.c ir/op/op.c ${SINTER_SIGNATURES})
target_link_libraries(sinter_gen_ops PRIVATE sinter_flags sinter_generator)
add_custom_command(
    OUTPUT ${SINTER_OPS_HEADER} ${SINTER_OPS_SOURCE}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}/include/sinter
    COMMAND sinter_gen_ops header ${SINTER_OPS_HEADER}
    COMMAND sinter_gen_ops source ${SINTER_OPS_SOURCE}
    DEPENDS sinter_gen_ops
    COMMENT "Generating sinter/ops.h and ops_gen.c from ir/op/op.def"
    VERBATIM)
add_custom_target(sinter_ops DEPENDS ${SINTER_OPS_HEADER} ${SINTER_OPS_SOURCE})

# docs/ops.md, which is kept with the sources: `ninja ops_page` prints it anew, tools/check_docs compares.
if(TARGET sinter_ir)
    add_executable(sinter_list_ops tools/list_ops.c)
    set_target_properties(sinter_list_ops PROPERTIES
        OUTPUT_NAME list_ops RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tools)
    target_link_libraries(sinter_list_ops PRIVATE
        sinter_flags sinter_generator sinter_ir sinter_base m)
    add_custom_target(ops_page COMMAND sinter_list_ops page ${PROJECT_SOURCE_DIR}/docs/ops.md)
endif()

# Makes sure that the header is there before `target` is compiled.
function(sinter_needs_ops target)
    add_dependencies(${target} sinter_ops)
endfunction()

if(SINTER_HAS_frontend)
    target_sources(sinter_frontend PRIVATE ${SINTER_OPS_SOURCE})
    sinter_needs_ops(sinter_frontend)
endif()
