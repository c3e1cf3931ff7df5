# sinter_internal: all layers, for programs that look inside (tests, benchmarks); and sinter_modules, what
# they load.
if(SINTER_SHARED_INTERNAL)
    set(SINTER_INTERNAL_KIND PRIVATE)
    add_library(sinter_internal SHARED)
    foreach(layer IN LISTS SINTER_LAYERS)
        target_sources(sinter_internal PRIVATE $<TARGET_OBJECTS:${layer}>)
    endforeach()
    target_link_libraries(sinter_internal PUBLIC ${SINTER_LAYERS_LINK})
    set_target_properties(sinter_internal PROPERTIES
        LINKER_LANGUAGE C
        LIBRARY_OUTPUT_DIRECTORY ${SINTER_MODULE_DIR})
else()
    set(SINTER_INTERNAL_KIND INTERFACE)
    add_library(sinter_internal INTERFACE)
    target_link_libraries(sinter_internal INTERFACE sinter_frontend)
endif()

get_property(modules GLOBAL PROPERTY SINTER_MODULES)
add_custom_target(sinter_modules DEPENDS ${modules})
add_dependencies(sinter_internal sinter_modules)
