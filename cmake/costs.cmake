# The table of op costs is counted in the ops' scalar definitions, which are of ir.
set(SINTER_COSTS ${PROJECT_BINARY_DIR}/generated/op_costs.c)

add_executable(sinter_gen_costs tools/gen_costs.c)
target_link_libraries(sinter_gen_costs PRIVATE sinter_flags sinter_generator sinter_ir sinter_base)
add_custom_command(
    OUTPUT ${SINTER_COSTS}
    COMMAND sinter_gen_costs table ${SINTER_COSTS}
    DEPENDS sinter_gen_costs
    COMMENT "Generating op_costs.c from ir/op/op.def and ir/scalar"
    VERBATIM)
target_sources(sinter_passes PRIVATE ${SINTER_COSTS})
