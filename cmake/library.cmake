# libsinter.so from all layers, and the `sinter` tool.
set(map ${PROJECT_SOURCE_DIR}/cmake/library.map)
add_library(sinter SHARED)
add_library(sinter::sinter ALIAS sinter)
foreach(layer IN LISTS SINTER_LAYERS)
    target_sources(sinter PRIVATE $<TARGET_OBJECTS:${layer}>)
endforeach()
target_link_libraries(sinter PRIVATE sinter_flags $<TARGET_NAME_IF_EXISTS:sinter_pack>
    ${SINTER_LAYERS_LINK})
target_include_directories(sinter INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_options(sinter PRIVATE -Wl,--version-script=${map} ${SINTER_SHARED_LINK_OPTIONS})
set_target_properties(sinter PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    LINKER_LANGUAGE C
    LINK_DEPENDS ${map}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
add_dependencies(sinter sinter_modules)

file(GLOB tool_sources CONFIGURE_DEPENDS tools/sinter*.c)
if(tool_sources)
    add_executable(sinter_tool ${tool_sources})
    set_target_properties(sinter_tool PROPERTIES
        OUTPUT_NAME sinter RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tools)
    target_link_libraries(sinter_tool PRIVATE
        sinter_flags sinter PkgConfig::cjson PkgConfig::xxhash Threads::Threads m)
    sinter_needs_ops(sinter_tool)
endif()
